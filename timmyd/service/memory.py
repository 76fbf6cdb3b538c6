"""Gives memory that a burst of work has left behind back to the system."""

import ctypes
import gc
from contextlib import suppress


def give_back() -> None:
    """Collect what is unreachable, and return free pages of the C library's heap; some milliseconds.

    glibc keeps what was freed for later; after a large backlog that is more than what is in use.
    Other C libraries have no such call, and then nothing happens.
    """
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
