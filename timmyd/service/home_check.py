"""What `timmyd check` says of a Hermes home: its version, its sources, what each cannot show, what would help."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from timmyd.core.model import Source
from timmyd.service.files import Directory, open_home
from timmyd.service.inbox import Place
from timmyd.service.refusal import FileRefusedError, Reason
from timmyd.service.state_db_file import StateDb, homes_of, inspect
from timmyd.sources import TELEMETRY_FOLDER, classify

ALIVE_S: Final = 7 * 86_400.0
"""A source that was not written to for longer is called idle."""

_SESSIONS: Final = "sessions"
_ANY_SIZE: Final = 1 << 62
_LINES: Final = ((30, "0.22"), (22, "0.19"), (16, "0.17"), (13, "0.15"), (11, "0.13"))
_CALL_BY_CALL: Final = 16

_SHOWS_NOT: Final = {
    "telemetry": "calls that never ran because they were unusable",
    "state_db": "exact latency, calls made inside execute_code, whether a plugin refused a call",
    "snapshot": "times and latency, and calls that a compaction or an undo removed",
}
_OLD_STATE_DB: Final = "latency, and calls before a compaction in mid-turn"


class HomeFinding(NamedTuple):
    """How it stands with one source of one home.

    Attributes:
        home: The Hermes home or profile.
        code: Stable: the source, a dot, and `ok`, `idle`, `missing`, `newer_schema`, or why it
            cannot be read.
        words: A sentence's end for people.
        shows_not: What this source cannot show even when all is well.
        remedy: The one command that would improve it, None where nothing needs to.
        hermes: The line of Hermes that its tables are of, None where that is not known.
        written_at: When the source was last written, Unix seconds.
    """

    home: Path
    house: str
    source: Source
    code: str
    words: str
    shows_not: str
    remedy: str | None
    hermes: str | None
    written_at: float | None

    @property
    def is_trouble(self) -> bool:
        """Whether somebody has to act."""
        state = self.code.partition(".")[2]
        return state not in {"ok", "idle", "missing", "newer_schema"}


def check_homes(places: Iterable[Place], *, now: float) -> list[HomeFinding]:
    """Look once at every home and profile of `places`; nothing is changed, nothing is kept open.

    Args:
        places: Hermes homes; directories of sessions alone are left out.
        now: Unix seconds, to tell what is alive.
    """
    found: list[HomeFinding] = []
    for place in places:
        if place.is_home:
            for home, house, parts in homes_of(place):
                found.extend(_check_home(place, home, house, parts, now))
    return found


def _check_home(
    place: Place, home: Path, house: str, parts: tuple[str, ...], now: float
) -> list[HomeFinding]:
    newest = _newest_files(place.root, (*parts, _SESSIONS))
    state_db, has_rows = _state_db(place, home, house, parts, now)
    telemetry = _file_source(home, house, "telemetry", newest.get("telemetry"), now)
    if newest.get("telemetry") is None:
        telemetry = telemetry._replace(remedy=f"timmyd hermes install --home {home}")
    snapshot = _file_source(home, house, "snapshot", newest.get("snapshot"), now)
    if newest.get("snapshot") is None and has_rows:
        words = "are not written, and are not needed beside its state.db"
        snapshot = snapshot._replace(words=words)
    findings = (telemetry, state_db, snapshot)
    return [finding for finding in findings if finding.source in place.sources]


def _state_db(
    place: Place, home: Path, house: str, parts: tuple[str, ...], now: float
) -> tuple[HomeFinding, bool]:
    file = StateDb(place, home, house, parts)
    try:
        found = inspect(file)
    finally:
        file.close()
    code, words, remedy = found.code, found.words, None
    if code == "ok":
        idle = found.changed_at is not None and now - found.changed_at > ALIVE_S
        code = "idle" if idle else "ok"
        words = f"can be read, {found.rows} messages were written so far"
    elif code in {Reason.UNREADABLE.value, Reason.FOREIGN_OWNER.value}:
        remedy = f"timmyd enrol {_owner(home)}"
    elif code == "needs_agent":
        remedy = "start Hermes once: it mends its own database"
    hermes = _line(found.schema)
    old = found.schema is not None and found.schema < _CALL_BY_CALL
    finding = HomeFinding(
        home=home,
        house=house,
        source="state_db",
        code=f"state_db.{code}",
        words=words,
        shows_not=_OLD_STATE_DB if old else _SHOWS_NOT["state_db"],
        remedy=remedy,
        hermes=hermes,
        written_at=found.changed_at,
    )
    return finding, found.rows > 0


def _file_source(
    home: Path, house: str, source: Source, written_at: float | None, now: float
) -> HomeFinding:
    if written_at is None:
        code, words = "missing", "are not there"
    elif now - written_at > ALIVE_S:
        code, words = "idle", f"were last written {int((now - written_at) // 86_400)} days ago"
    else:
        code, words = "ok", "are being written"
    return HomeFinding(
        home=home,
        house=house,
        source=source,
        code=f"{source}.{code}",
        words=words,
        shows_not=_SHOWS_NOT[source],
        remedy=None,
        hermes=None,
        written_at=written_at,
    )


def _newest_files(root: Path, parts: tuple[str, ...]) -> dict[Source, float]:
    """When the newest file of each source was written."""
    newest: dict[Source, float] = {}
    for deeper in ((), (TELEMETRY_FOLDER,)):
        with suppress(FileRefusedError):
            folder = _enter(root, (*parts, *deeper))
            try:
                for entry in folder.scan(largest_bytes=_ANY_SIZE):
                    source = classify(entry.name, deeper[0] if deeper else "")
                    if source is not None and entry.refusal is None:
                        newest[source] = max(newest.get(source, 0.0), entry.mtime_ns / 1e9)
            finally:
                folder.close()
    return newest


def _enter(root: Path, parts: Iterable[str]) -> Directory:
    inner = open_home(root)
    for part in parts:
        outer = inner
        try:
            inner = outer.folder(part)
        finally:
            outer.close()
    return inner


def _owner(home: Path) -> str:
    try:
        return home.owner()
    except (OSError, KeyError):
        return str(os.getuid())


def _line(schema: int | None) -> str | None:
    """The line of Hermes that has this version of the tables, or the next newer one that was tried."""
    if schema is None:
        return None
    return next((line for version, line in _LINES if schema >= version), "before 0.13")
