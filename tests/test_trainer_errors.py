"""The tree of errors is the one that its file draws."""

from twinhead.trainer import errors


def drawn_parents() -> dict[str, str]:
    """Class to parent, as the drawing in the docstring has them."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        words = [word for word in line.split() if word.endswith("Error")]
        if not words:
            continue
        depth = line.index(words[0]) // 4
        above[depth:] = [words[0]]
        if depth:
            parents[words[0]] = above[depth - 1]
    return parents


def test_the_drawing_is_the_tree():
    tree = {
        name: value.__base__.__name__
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.TrainerError)
    }
    assert drawn_parents() == tree


def test_whoever_catches_the_errors_of_the_client_catches_these():
    from twinhead.client import TwinheadError

    assert issubclass(errors.TrainerError, TwinheadError)
