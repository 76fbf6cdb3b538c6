"""One probe at a time for a whole house, however many processes it has."""

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

PROBES = ".probes"
"""Where the claims lie in a telemetry folder, beside what the daemon reads."""
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_DIGITS = 16


class ProbeClaims:
    """Claims by files that can be made only once: one for each slot of `probe_every` and breaker.

    A published-open breaker has one time for its next probe, at which every process of the house
    would try it. Whoever makes the slot's file first does.

    Args:
        folder: In the house's own directory; made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, breaker: str, now: float, every_s: float) -> bool:
        """Whether this process may probe now; yes, too, where no file can be made: that stops nobody.

        Args:
            breaker: Names the breaker; any text.
            now: Unix seconds.
            every_s: Seconds between two probes.
        """
        slot = int(now // every_s)
        mark = sha256(breaker.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
        try:
            self._make(f"{mark}-{slot}")
        except FileExistsError:
            return False
        except OSError:
            return True
        self._sweep(mark, slot)
        return True

    def _make(self, name: str) -> None:
        try:
            fd = os.open(self._folder / name, _FLAGS, 0o600)
        except FileNotFoundError:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._folder / name, _FLAGS, 0o600)
        os.close(fd)

    def _sweep(self, mark: str, slot: int) -> None:
        """Remove the claims of other slots; the next one's may be there already."""
        with suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                found, _, number = entry.name.partition("-")
                if found == mark and number not in (str(slot), str(slot + 1)):
                    with suppress(OSError):
                        os.unlink(entry.path)  # noqa: PTH108 - the entry has the path as text
