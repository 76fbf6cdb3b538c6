"""The clock that is written down: the system's, while its witnesses agree with it (`core.clock_trust`)."""

import ctypes
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from timmyd.clock import boottime, now as wall_clock
from timmyd.core.clock_trust import SLACK_S, ClockReading, ClockTrust, first_look
from timmyd.service.homes import Place, homes_of
from timmyd.store.database import PatternDatabase

_ASK_EVERY_S: Final = 10.0
_NEWEST_EXECUTIONS: Final = 500
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
_STA_UNSYNC: Final = 0x40
_WITNESSES: Final = ("", "timmy", "state.db", "state.db-wal", "sessions", "sessions/timmy")
"""The files and folders of a home, or of a directory of sessions, whose times tell how new it is."""


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2), up to its time; the rest is room that the kernel fills."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
        ("constant", ctypes.c_long), ("precision", ctypes.c_long), ("tolerance", ctypes.c_long),
        ("seconds", ctypes.c_long), ("fraction", ctypes.c_long), ("rest", ctypes.c_byte * 256),
    )  # fmt: skip


def is_synchronised(reading: ClockReading) -> bool:
    """Whether the system says that its time is synchronised, and means the clock that we see."""
    found = _Timex()
    with suppress(OSError, AttributeError):
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(found))
        is_ours = abs(found.seconds - reading.wall) <= SLACK_S
        if state >= 0 and is_ours and not found.status & _STA_UNSYNC:
            return True
    with suppress(OSError):  # systemd-timesyncd's mark, made in this boot
        age_s = reading.wall - _SYNCHRONISED.stat().st_mtime
        return -SLACK_S <= age_s <= reading.steady + SLACK_S
    return False


def read_clocks() -> ClockReading:
    """Both clocks of this machine."""
    boot = None
    with suppress(OSError, UnicodeDecodeError):
        boot = _BOOT_ID.read_text("ascii").strip()
    return ClockReading(wall_clock(), boottime(), boot)


class Reckoning:
    """A clock to record by: call it for Unix seconds. It asks the witnesses at every look.

    Attributes:
        trust: What is held of the system's clock.
    """

    def __init__(
        self,
        trust: ClockTrust,
        *,
        read: Callable[[], ClockReading] = read_clocks,
        synchronised: Callable[[ClockReading], bool] = is_synchronised,
    ) -> None:
        self.trust = trust
        self._read = read
        self._synchronised = synchronised
        self._asked_at = -_ASK_EVERY_S
        self.look()

    @classmethod
    def begin(
        cls,
        database: PatternDatabase,
        places: Iterable[Place],
        *,
        read: Callable[[], ClockReading] = read_clocks,
        synchronised: Callable[[ClockReading], bool] = is_synchronised,
    ) -> "Reckoning":
        """Judge the clock at the start of a process by what the database and the homes say."""
        newest = [*_newest_calls(database), *_newest_files(places)]
        trust = first_look(read(), last=last_trust(database), newest=newest)
        return cls(trust, read=read, synchronised=synchronised)

    def __call__(self) -> float:
        """Unix seconds, as they are believed."""
        self.look()
        return self.trust.now

    def look(self) -> None:
        """Look at both clocks; ask the system now and then whether a doubted one is right."""
        reading = self._read()
        self.trust = self.trust.look(reading)
        if self.trust.ahead_s and reading.steady - self._asked_at >= _ASK_EVERY_S:
            self._asked_at = reading.steady
            if self._synchronised(reading):
                self.trust = self.trust.synchronised()

    def wall(self) -> float:
        """Unix seconds, as everybody else on this machine sees them."""
        self.look()
        return self.trust.wall

    def held(self) -> ClockTrust:
        """What is held of the system's clock now."""
        self.look()
        return self.trust


def last_trust(database: PatternDatabase) -> ClockTrust | None:
    """What was held at the last tick of an earlier process; None where none is known."""
    with suppress(msgspec.MsgspecError, ValueError):
        return msgspec.json.decode(database.state("status") or b"{}", type=_Status).clock
    return None


class _Status(msgspec.Struct):
    clock: ClockTrust | None = None


def _newest_calls(database: PatternDatabase) -> list[float]:
    """When the newest call of each owner ran, among the last that came in."""
    newest: dict[str, float] = {}
    last = database.last_execution_id()
    for execution in database.executions_between(last - _NEWEST_EXECUTIONS, last):
        newest[execution.owner] = max(newest.get(execution.owner, 0.0), execution.at)
    return list(newest.values())


def _newest_files(places: Iterable[Place]) -> list[float]:
    """When a file or a folder of each owner's homes was last written."""
    newest: dict[int, float] = {}
    for place in places:
        for home, _, _ in homes_of(place):
            for name in _WITNESSES:
                with suppress(OSError):
                    found = (home / name).stat(follow_symlinks=False)
                    newest[found.st_uid] = max(newest.get(found.st_uid, 0.0), found.st_mtime)
    return list(newest.values())
