"""Imported before torch is: one thread for what the tests compute themselves.

Tiny models gain nothing from more, and threads that wait for each other crawl on a busy machine.
Workers set their own number.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
