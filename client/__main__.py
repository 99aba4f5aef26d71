"""`python -m twinhead.client` is the `twinhead` command."""

from .command_line import main

main()
