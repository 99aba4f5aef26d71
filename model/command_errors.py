"""Errors of the model commands as one line, and silent libraries."""

from collections.abc import Generator
from contextlib import contextmanager

import click

from .errors import ModelError


@contextmanager
def one_line_errors() -> Generator[None]:
    """Turn what can go wrong with files and models into a message and exit code 1.

    With `twinhead --debug` the traceback stays.

    Raises:
        click.ClickException: in place of a ModelError or an OSError.
    """
    from transformers.utils import logging as transformers_logging

    # It reports on standard error which tensors it did not find; where that matters, we say so.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    except (ModelError, OSError) as error:
        if click.get_current_context().find_root().params.get("debug"):
            raise
        raise click.ClickException(str(error)) from error
