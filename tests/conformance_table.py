"""A plugin of pytest: what of the example clients' tests held, by language."""

from collections import defaultdict
from collections.abc import Generator

import pytest

_outcomes: defaultdict[str, dict[str, str]] = defaultdict(dict)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    parameters = dict(item.callspec.params) if isinstance(item, pytest.Function) else {}
    language = parameters.pop("language", None)
    if language is not None and (report.when == "call" or report.failed):
        name = item.originalname.removeprefix("test_").replace("_", " ")
        check = " ".join([name, *(f"({value})" for value in parameters.values())])
        _outcomes[check][language] = "yes" if report.passed else "NO"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    languages = sorted({language for held in _outcomes.values() for language in held})
    width = max((len(check) for check in _outcomes), default=0)
    terminalreporter.write_line("")
    heads = (language.ljust(5) for language in languages)
    terminalreporter.write_line("  ".join(["".ljust(width), *heads]))
    for check, held in _outcomes.items():
        row = (held.get(language, "-").ljust(5) for language in languages)
        terminalreporter.write_line("  ".join([check.ljust(width), *row]))
