"""Hints at files that may have changed: posted by any thread, taken by the loop, which waits here.

A folder in which too many names change is hinted at as a whole, so that nobody's storm fills the memory.
"""

import queue
import threading
from typing import Final

NAMES_MOST: Final = 1_000
"""Names of one folder that are kept; above, the whole folder is hinted at."""


class Hints:
    """A set of paths. What it holds is never believed, only looked at."""

    def __init__(self) -> None:
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._names: dict[bytes, set[bytes]] = {}

    def put(self, path: bytes) -> None:
        """A file may have changed; a path that ends in a slash is a folder in which anything may have."""
        folder, _, name = path.rpartition(b"/")
        with self._lock:
            is_first = not self._names
            names = self._names.setdefault(folder, set())
            if len(names) >= NAMES_MOST or not name:
                names.clear()
                names.add(b"")
            elif b"" not in names:
                names.add(name)
        if is_first:
            self._wakes.put(None)

    def wake(self) -> None:
        """End the wait; also from a signal handler, which may interrupt any of the others."""
        self._wakes.put(None)

    def take(self, timeout_s: float) -> list[bytes]:
        """Wait at most so long for the first, then take all that are there."""
        try:
            if timeout_s > 0:
                self._wakes.get(timeout=timeout_s)
            while True:
                self._wakes.get_nowait()
        except queue.Empty:
            pass
        with self._lock:
            found, self._names = self._names, {}
        return [folder + b"/" + name for folder, names in found.items() for name in names]
