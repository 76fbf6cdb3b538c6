"""How much memory the daemon holds; and what a burst of work has left behind goes back to the system."""

import ctypes
import gc
import os
from contextlib import suppress
from pathlib import Path


def give_back() -> None:
    """Collect what is unreachable, and return free pages of the C library's heap; some milliseconds.

    glibc keeps what was freed for later; after a large backlog that is more than what is in use.
    Other C libraries have no such call, and then nothing happens.
    """
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def resident_bytes() -> int:
    """Memory that this process holds; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    except (OSError, ValueError, IndexError):
        return 0
