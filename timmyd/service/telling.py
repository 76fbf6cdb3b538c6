"""What the daemon says of itself: one line to systemd, and the whole of it to `timmyd status`."""

import os

import msgspec

from timmyd import __version__
from timmyd.core.clock_trust import ClockTrust
from timmyd.service.lookout import Lookout
from timmyd.service.outside import Outside
from timmyd.service.publisher import Publisher

_REFUSED_MOST = 50


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


def status_of(
    publisher: Publisher,
    lookout: Lookout,
    *,
    trust: ClockTrust,
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
