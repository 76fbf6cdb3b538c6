"""Hints at files that may have changed: posted by any thread, taken by the loop, which waits here."""

import queue


class Hints:
    """A queue of paths. What it holds is never believed, only looked at."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def put(self, path: bytes) -> None:
        """A file may have changed."""
        self._queue.put(path)

    def wake(self) -> None:
        """End the wait; also from a signal handler."""
        self._queue.put(None)

    def take(self, timeout_s: float) -> list[bytes]:
        """Wait at most so long for the first, then take all that are there."""
        found: list[bytes] = []
        try:
            hint = self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
            while True:
                if hint is not None:
                    found.append(hint)
                hint = self._queue.get_nowait()
        except queue.Empty:
            return found
