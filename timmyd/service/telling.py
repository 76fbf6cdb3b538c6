"""What the daemon says of itself: one line to systemd, and the whole of it to `timmyd status`."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from timmyd import __version__
from timmyd.config import database_path
from timmyd.core.clock_trust import ClockTrust
from timmyd.errors import PublishError
from timmyd.service.deadline import Deadline
from timmyd.service.lookout import Lookout
from timmyd.service.outside import Outside
from timmyd.service.publish import RealDisk, publish
from timmyd.service.publisher import Publisher

_REFUSED_MOST = 50
_STATUS_S = 5.0


def status_line(
    publisher: Publisher, lookout: Lookout, *, open_breakers: int, trouble: str | None
) -> str:
    """The line that `systemctl status` shows."""
    parts = [f"revision {publisher.revision}", f"{lookout.intake.inbox.backlog} files waiting"]
    if open_breakers:
        parts.append(f"{open_breakers} breakers open")
    if trouble is not None:
        parts.insert(0, f"in trouble: {trouble}")
    return ", ".join(parts)


class ClockNews:
    """Logs that the clock jumped, or is believed again."""

    def __init__(self, outside: Outside) -> None:
        """What was held when the process started is news, too."""
        self._outside = outside
        self._before = ClockTrust(jumps=outside.trust().jumps)
        if outside.trust().ahead_s:
            self._before = ClockTrust(jumps=outside.trust().jumps - 1)

    def look(self) -> bool:
        """Look at the clock; True if there is news."""
        before, after = self._before, self._outside.trust()
        self._before = after
        if after.jumps != before.jumps:
            believed = "no" if after.ahead_s else "yes"
            self._outside.log.event("clock_jumped", by_s=round(after.jump_s), believed=believed)
            return True
        if before.ahead_s and not after.ahead_s:
            self._outside.log.event("clock_believed", by_s=round(before.ahead_s))
            return True
        return False


class StatusFile:
    """What the daemon says of itself, in a small file beside the database.

    It needs neither the database nor much room, so it tells of trouble with both. Nothing is lost
    with it, so it is not synced; where even it cannot be written, its age tells that.
    """

    def __init__(self, state: Path) -> None:
        self._path = status_path(state)
        self._due = Deadline(_STATUS_S)
        self._words: str | None = None

    def write_if_due(self, now: float, status: Callable[[], object], *, words: str | None) -> None:
        """Replace it every few seconds, and at once when trouble of other `words` begins or ends."""
        is_news, self._words = words != self._words, words
        if self._due.is_due(now) or is_news:
            with suppress(OSError, PublishError):
                publish(msgspec.json.encode(status()), self._path, disk=_FLEETING)


def status_path(state: Path) -> Path:
    """Where the status file of a state directory is."""
    return database_path(state).with_name("status.json")


def read_status(state: Path) -> dict[str, Any]:
    """What the daemon said of itself last, and when; nothing where it never did."""
    with suppress(OSError, ValueError):
        found = json.loads(status_path(state).read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


class _FleetingDisk(RealDisk):
    """For a file that need not survive a crash, and that only its owner reads."""

    mode = 0o600

    def sync(self, fd: int) -> None:
        """Set the mode only."""
        os.fchmod(fd, self.mode)

    def sync_folder(self, folder: Path) -> None:
        """Do nothing."""


_FLEETING = _FleetingDisk()


def status_of(
    publisher: Publisher,
    lookout: Lookout,
    *,
    trust: ClockTrust,
    trouble: str | None,
    now: float,
    started_at: float,
    ingested_at: float | None,
) -> dict[str, object]:
    """What `timmyd status` shows, as plain JSON; times are Unix seconds, `now` as all others see it."""
    intake = lookout.intake
    return {
        "pid": os.getpid(),
        "version": __version__,
        "started_at": started_at,
        "seen_at": now,
        "trouble": trouble,
        "clock": msgspec.structs.asdict(trust),
        "ingested_at": ingested_at,
        "published_at": publisher.published_at,
        "revision": publisher.revision,
        "backlog": intake.inbox.backlog,
        "ignored": intake.inbox.ignored,
        "observer": "polling" if lookout.is_polling else "inotify",
        "policy": str(publisher.target),
        "folders": [
            {
                "path": str(folder.path),
                "house": folder.house,
                "state": "open" if folder.opened is not None else "missing",
                "reason": None if folder.refusal is None else folder.refusal.code,
            }
            for folder in intake.folders
        ],
        "databases": [
            {
                "path": str(finding.path),
                "house": finding.house,
                "state": finding.code,
                "words": finding.words,
            }
            for finding in intake.state_dbs.findings()
            if finding.code != "missing"
        ],
        "quotas": intake.inbox.reached.told(),
        "refused": [
            {
                "file": os.fsencode(refusal.name).decode("utf-8", "backslashreplace"),
                "reason": refusal.code,
            }
            for refusal in list(intake.inbox.refused.values())[:_REFUSED_MOST]
        ],
    }
