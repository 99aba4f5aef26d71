"""The tree of errors is the one that its file draws."""

from twinhead.model import errors


def test_the_drawing_is_the_tree():
    names = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.ModelError)
    }
    drawn = {word for word in errors.__doc__.split() if word.endswith("Error")}
    assert drawn == names
