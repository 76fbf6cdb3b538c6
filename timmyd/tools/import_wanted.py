"""What `timmyd import` is given and what it answers: paths and whose they are, progress, a report."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from timmyd.errors import SessionError
from timmyd.house.keys import FALLBACK_HOUSE
from timmyd.service.homes import house_of_profile
from timmyd.service.plain import open_plain
from timmyd.service.state_db_file import FILE_NAME, StateDb
from timmyd.sources import TELEMETRY_FOLDER, export

SESSIONS: Final = "sessions"
NO_CALLS: Final = "nothing in it is a call of a tool"

_SQLITE: Final = b"SQLite format 3\0"


class ImportProgress(NamedTuple):
    """How far an import is.

    Attributes:
        path: What is being read.
        done_bytes: Of `total_bytes`, over all that was asked for; a database counts by its rows.
        executions: Counted for the first time so far.
        rate: Executions a second so far.
        left_s: Seconds to the end at this rate, None while that cannot be said.
    """

    path: Path
    done_bytes: int
    total_bytes: int
    executions: int
    rate: float
    left_s: float | None


class Unread(NamedTuple):
    """What could not be read, and why."""

    path: Path
    code: str
    words: str


class ImportReport(msgspec.Struct, kw_only=True):
    """What came of an import.

    Attributes:
        executions: Taken: counted for the first time.
        duplicates: Known already.
        amended: Known, and answered or known better now.
        too_old: Rows older than anything is kept.
        files: How many files were read.
        ignored: How many are none of the sources.
        by_source: Executions taken by source.
        unread: What could not be read and why.
    """

    executions: int = 0
    duplicates: int = 0
    amended: int = 0
    too_old: int = 0
    files: int = 0
    ignored: int = 0
    by_source: dict[str, int] = msgspec.field(default_factory=dict)
    unread: list[Unread] = msgspec.field(default_factory=list)


class Wanted(NamedTuple):
    """One path of the command line: what it is, and whose."""

    path: Path
    kind: str
    house: str
    size_bytes: int


def split_house(argument: str) -> tuple[Path, str | None]:
    """`PATH` or `PATH=HOUSE`; a path that exists as it stands wins.

    Raises:
        ValueError: The house is no name of a house.
    """
    whole = Path(argument)
    head, mark, house = argument.rpartition("=")
    if not mark or not head or whole.exists():
        return whole, None
    if house_of_profile(house) != house:
        message = f"{house!r} is no name of a house: up to 32 of a-z, 0-9, _ and -"
        raise ValueError(message)
    return Path(head), house


def recognise(path: Path, house: str | None = None) -> Wanted:
    """What a path holds: `home`, `sessions`, `state_db`, `export`, `collection` or `file`.

    Raises:
        SessionError: There is nothing there, or it cannot be read.
    """
    path = path.absolute()
    whose = house or _house_of(path)
    try:
        if path.is_dir():
            kind = "home" if _is_home(path) else "sessions"
            return Wanted(path, kind, whose, sum(_sizes(path, kind)))
        with open_plain(path) as file:
            head = file.readline(export.LONGEST_LINE)
        size = path.stat().st_size
    except OSError as error:
        code = "vanished" if isinstance(error, FileNotFoundError) else "unreadable"
        raise SessionError(code, "file", error.strerror or "cannot be read") from error
    if head.startswith(_SQLITE) or path.name == FILE_NAME:
        return Wanted(path, "state_db", whose, size)
    if path.suffix == ".jsonl" and export.is_export(head):
        return Wanted(path, "export", whose, size)
    if path.parent.name == TELEMETRY_FOLDER and path.suffix == ".jsonl":
        return Wanted(path, "file", whose, size)
    return Wanted(path, "collection", whose, size)


def _is_home(path: Path) -> bool:
    return (path / FILE_NAME).exists() or (path / SESSIONS).is_dir()


def _sizes(path: Path, kind: str) -> Iterator[int]:
    patterns = (FILE_NAME, "sessions/*", "sessions/timmy/*") if kind == "home" else ("*", "timmy/*")
    deeper = [f"profiles/*/{pattern}" for pattern in patterns] if kind == "home" else []
    for pattern in (*patterns, *deeper):
        for file in path.glob(pattern):
            with suppress(OSError):
                if file.is_file():
                    yield file.stat().st_size


def _house_of(path: Path) -> str:
    """CONTRACT §1: the house of the profile that a path lies in."""
    for folder, parent in zip(path.parts[1:], path.parts, strict=False):
        if parent == "profiles":
            return house_of_profile(folder) or FALLBACK_HOUSE
    return FALLBACK_HOUSE


def transcripts_in(folders: Iterable[Path]) -> list[Path]:
    """`<session id>.jsonl` of old gateways in folders of sessions."""
    return [
        path
        for folder in folders
        if folder.name != TELEMETRY_FOLDER and folder.is_dir()
        for path in sorted(folder.glob("*.jsonl"))
    ]


def is_worth_waiting(file: StateDb, tries: int) -> bool:
    """Whether there is more to be read of a database that could not be read just now."""
    return file.more and file.directory is not None and file.failures < tries
