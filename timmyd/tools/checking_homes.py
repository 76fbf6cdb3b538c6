"""`timmyd check`, the part about Hermes homes: which sources are there, alive, and what each cannot show."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from timmyd.errors import SessionError
from timmyd.house import KIT_VERSION
from timmyd.house.answers import MODES
from timmyd.house.recorder import SCHEMA
from timmyd.house.seam import Caps
from timmyd.house.units import DAY_S
from timmyd.service import kit_status
from timmyd.service.files import Entry
from timmyd.service.homes import Folder, Place, homes_of
from timmyd.service.inbox import Inbox
from timmyd.service.kit_status import KitStatus, is_newer
from timmyd.service.looks import Looks
from timmyd.service.privilege import as_owner
from timmyd.service.refusal import FileRefusedError
from timmyd.service.state_db_file import StateDb
from timmyd.sources import TELEMETRY_FOLDER, classify
from timmyd.tools.checking import Finding, fine, note, wrong

ALIVE_S: Final = 7 * 86_400.0
"""A source that wrote nothing for so long is called silent."""

CANNOT_SHOW: Final = {
    "telemetry": "calls that never ran because they named no tool or had broken arguments",
    "state_db": "calls made inside execute_code, exact latencies, and under which policy a call ran",
    "snapshot": "calls that Hermes compacted away or undid, times of single calls, the policy",
    "session": "more than its writer put in",
}
_INSTALL: Final = "timmyd hermes install --home"
_CAPS_REMEDY: Final = {
    Caps.NO_WAY: "Hermes 0.17 or later, with its plugins in its own process",
    Caps.UNKNOWN_MODE: f"a provider whose api_mode is one of {', '.join(MODES)}",
}
_CLAIMS_MOST: Final = 50
_HEADER_BYTES: Final = 4096


class _Claim(msgspec.Struct):
    schema: str = ""
    house: str = ""


_headers = msgspec.json.Decoder(_Claim)


def check_homes(places: Iterable[Place], *, now: float, largest_bytes: int) -> list[Finding]:
    """Look at every home, profile and session directory."""
    known = list(places)
    inbox = Inbox(known, Looks({}), largest_bytes=largest_bytes, settle_s=0.0)
    try:
        inbox.find_folders()
        found: list[Finding] = []
        for place in known:
            with as_owner(place.root):
                found += _check_place(place, inbox, now=now, largest_bytes=largest_bytes)
        return [*found, *_check_claims(inbox, largest_bytes)]
    finally:
        inbox.close()


def watched_folders(places: Iterable[Place]) -> int:
    """How many directories the daemon would watch."""
    inbox = Inbox(places, Looks({}), largest_bytes=0, settle_s=0.0)
    try:
        inbox.find_folders()
        return sum(folder.opened is not None for folder in inbox.folders.values())
    finally:
        inbox.close()


def _check_place(
    place: Place, inbox: Inbox, *, now: float, largest_bytes: int
) -> Iterator[Finding]:
    if not place.root.is_dir():
        what = "Hermes home" if place.is_home else "directory of sessions"
        yield note(
            "home_missing",
            place.root,
            f"there is no {what} yet; the daemon waits for it",
            "start Hermes once, or name another: timmyd run --home DIR",
        )
        return
    if not place.is_home:
        yield from _check_files(place.root, place.house, inbox, now, largest_bytes)
        return
    for home, house, parts in homes_of(place):
        yield from _check_home(home, house, now)
        yield from _check_state_db(StateDb(place, home, house, parts), now)
        yield from _check_files(home / "sessions", house, inbox, now, largest_bytes)


def _check_home(home: Path, house: str, now: float) -> Iterator[Finding]:
    kit = kit_status.status(home)
    version = kit.hermes or "of unknown version"
    yield fine("home_found", home, f"is house {house}, Hermes {version}")
    if kit.kit is None:
        yield note(
            "kit_missing",
            home,
            "the house kit is not installed: the house obeys nothing, and is seen less exactly",
            f"{_INSTALL} {home}",
        )
        return
    if kit.enabled is None:
        words = f"nobody can tell whether Hermes loads the house kit: {kit.trouble}"
        yield note("kit_unclear", home, words, "hermes plugins list")
    elif not kit.enabled:
        yield wrong("kit_disabled", home, "the house kit is not enabled", f"{_INSTALL} {home}")
    yield _check_version(kit)
    if kit.caps in _CAPS_REMEDY:
        yield wrong("caps_not_held", home, f"caps are {kit.caps.words}", _CAPS_REMEDY[kit.caps])
    if kit.grace_until is not None and now < kit.grace_until:
        until = f"{datetime.fromtimestamp(kit.grace_until, UTC):%Y-%m-%d %H:%M} UTC"
        words = f"took the place of {kit.upgraded_from}: new kinds of refusal are advice only until {until}"
        yield note("kit_grace", home, f"the house kit {words}")
    if (written := kit.written).kit not in {None, kit.kit} and _is_later(
        written.last_at, kit.since
    ):
        words = f"the last agent that wrote still ran the house kit {written.kit}, not {kit.kit}"
        yield note("kit_not_loaded", home, words, "start its agents and its gateway again")


def _check_version(kit: KitStatus) -> Finding:
    """Whether the kit and this timmyd are of one version."""
    words = f"the house kit is {kit.kit}, timmyd is {KIT_VERSION}"
    if kit.damaged:
        words = f"files of the house kit {kit.kit} are missing or were changed"
        return wrong("kit_damaged", kit.home, words, f"{_INSTALL} {kit.home}")
    if kit.current:
        in_mode = f"the house kit {kit.kit} is in, mode {kit.mode}"
        return fine("kit_installed", kit.home, in_mode)
    if is_newer(kit):
        return note("kit_newer", kit.home, words, "upgrade timmyd, which reads what it writes")
    return note("kit_old", kit.home, words, f"{_INSTALL} {kit.home}")


def _is_later(at: float | None, since: str | None) -> bool:
    """Whether a time is after that of an installation that said when it was."""
    if at is None or since is None:
        return False
    with suppress(ValueError):
        return at > datetime.fromisoformat(since).timestamp()
    return False


def _check_state_db(file: StateDb, now: float) -> Iterator[Finding]:
    if "state_db" not in file.place.sources:
        return
    try:
        file.reopen()
        chunk, found = file.read(read_s=0.05, rows=1)
    except SessionError as error:
        if error.code in {"vanished", "empty"}:
            yield note("state_db_missing", file.path, "is not there", f"{_INSTALL} {file.home}")
        elif error.code in {"busy", "locked"}:
            yield note("state_db_busy", file.path, "was being written to; try again")
        else:
            yield wrong(f"state_db_{error.code}", file.path, error.detail, "the others go on")
        return
    finally:
        file.close()
    if chunk.schema.is_newer:
        words = f"schema {chunk.schema.version} is newer than this timmyd was tried with"
        yield note("state_db_newer", file.path, words, "upgrade timmyd")
    wal = 0 if found.wal is None else found.wal[3]
    yield _alive("state_db", file.path, max(found.file[3], wal) / 1e9, now)


def _check_files(
    sessions: Path, house: str, inbox: Inbox, now: float, largest_bytes: int
) -> Iterator[Finding]:
    folder = inbox.folders.get(sessions)
    if folder is None or folder.opened is None:
        code = "vanished" if folder is None or folder.refusal is None else folder.refusal.code
        if code == "vanished":
            yield note("sessions_missing", sessions, f"house {house} has no session files")
        else:
            words = (
                "cannot be read"
                if folder is None or folder.refusal is None
                else folder.refusal.detail
            )
            yield wrong("sessions_refused", sessions, words, "run the daemon as its owner")
        return
    newest: dict[str, float] = {}
    refused: dict[str, int] = {}
    for one in (folder, inbox.folders.get(sessions / TELEMETRY_FOLDER)):
        for entry in _entries(one, largest_bytes):
            source = classify(entry.name, "" if one is None else one.sub)
            if source is None or entry.is_directory:
                continue
            if entry.refusal is not None:
                refused[entry.refusal.value] = refused.get(entry.refusal.value, 0) + 1
                continue
            newest[source] = max(newest.get(source, 0.0), entry.mtime_ns / 1e9)
    for name, at in sorted(newest.items()):
        yield _alive(name, sessions, at, now)
    for code, count in sorted(refused.items()):
        words = f"{count} files are not read: {code}"
        yield wrong(f"files_{code}", sessions, words, "timmyd status names them")


def _alive(source: str, place: Path, at: float, now: float) -> Finding:
    days = (now - at) / DAY_S
    cannot = f"it cannot show {CANNOT_SHOW[source]}"
    if now - at > ALIVE_S:
        words = f"{source} wrote nothing for {days:.0f} days; {cannot}"
        return note(f"{source}_silent", place, words)
    return fine(
        f"{source}_alive", place, f"{source} last wrote {max(0.0, days):.1f} days ago; {cannot}"
    )


def _entries(folder: Folder | None, largest_bytes: int) -> Iterator[Entry]:
    if folder is None or folder.opened is None:
        return
    try:
        yield from folder.opened.scan(largest_bytes=largest_bytes)
    except FileRefusedError:
        return


def _check_claims(inbox: Inbox, largest_bytes: int) -> Iterator[Finding]:
    """Newest telemetry first: whether a file names another house than its place gives it."""
    for folder in inbox.folders.values():
        if folder.sub != TELEMETRY_FOLDER or folder.opened is None:
            continue
        usable = (e for e in _entries(folder, largest_bytes) if e.refusal is None)
        newest = sorted(usable, key=lambda entry: -entry.mtime_ns)[:_CLAIMS_MOST]
        claims = {_claim(folder, entry, largest_bytes) for entry in newest} - {None, folder.house}
        for claim in sorted(str(one) for one in claims):
            yield note(
                "house_contradicted",
                folder.path,
                f"files claim to be of house {claim}; their place says {folder.house}, which counts",
                f"timmyd run --home DIR={claim}, or [[houses]] in the settings",
            )


def _claim(folder: Folder, entry: Entry, largest_bytes: int) -> str | None:
    if folder.opened is None or not entry.name.endswith(".jsonl"):
        return None
    try:
        fd = folder.opened.open(entry.name, largest_bytes=largest_bytes)
    except FileRefusedError:
        return None
    try:
        line = os.read(fd, _HEADER_BYTES).partition(b"\n")[0]
        header = _headers.decode(line)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    finally:
        os.close(fd)
    return header.house if header.schema == SCHEMA and header.house else None
