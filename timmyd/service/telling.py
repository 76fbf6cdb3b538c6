"""What the daemon says of itself: one line to systemd, and the whole of it to `timmyd status`."""

import os

from timmyd import __version__
from timmyd.service.lookout import Lookout
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


def status_of(
    publisher: Publisher,
    lookout: Lookout,
    *,
    now: float,
    started_at: float,
    ingested_at: float | None,
) -> dict[str, object]:
    """What `timmyd status` shows, as plain JSON; times are Unix seconds."""
    intake = lookout.intake
    return {
        "pid": os.getpid(),
        "version": __version__,
        "started_at": started_at,
        "seen_at": now,
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
        "refused": [
            {
                "file": os.fsencode(refusal.name).decode("utf-8", "backslashreplace"),
                "reason": refusal.code,
            }
            for refusal in list(intake.inbox.refused.values())[:_REFUSED_MOST]
        ],
    }
