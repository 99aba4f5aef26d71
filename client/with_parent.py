"""`python -m twinhead.client.with_parent COMMAND ...`: the command line, while its parent lives.

Standard input is a pipe whose other end the parent holds and never writes to. However the parent
ends, also by SIGKILL, the system closes that end; then this process ends at once. (Linux can send a
signal instead, but when the parent's *thread* ends, which for an actor may be any time.)
"""

import os
import sys
import threading

from .command_line import main


def _end_with_parent() -> None:
    # Not through sys.stdin: its lock would be in the way when the interpreter ends.
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, name="with-parent", daemon=True).start()
    main(sys.argv[1:])
