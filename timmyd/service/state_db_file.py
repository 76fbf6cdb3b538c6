"""One `state.db` of a Hermes home: reached by descriptors, checked for its owner, then read in pieces."""

import os
from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Final, NamedTuple

from timmyd.errors import SessionError
from timmyd.service.files import Directory, judge
from timmyd.service.homes import HouseOf, Place, as_claimed, enter, house_in
from timmyd.service.refusal import FileRefusedError, Reason
from timmyd.sources import state_db
from timmyd.sources.state_db import Chunk, StateDbCursor
from timmyd.sources.state_db_open import HEADER_BYTES, DbStamp, look
from timmyd.store.batch import FileRow

FILE_NAME: Final = "state.db"
CLOCK_GRAIN_S: Final = 0.05
"""Within it two writes may leave the same time."""


POLL_S: Final = 0.5
"""Seconds between two looks at databases that changed lately; others are looked at half as often, and
those that rest for long a third as often."""

_LIVELY_S: Final = 300.0
_RESTING_S: Final = 1800.0
_ABSENT_S: Final = 1.5
"""Between looks for a database that is not there, or has not changed for long."""
_ANY_SIZE: Final = 1 << 62
_MASK: Final = (1 << 63) - 1
_BESIDE: Final = ("-wal", "-shm", "-journal")
"""What SQLite opens as well; it would wait for ever on a FIFO of such a name."""


class StateDbFinding(NamedTuple):
    """How it stands with one database, for `status` and `check`.

    Attributes:
        path: Of the database.
        house: Whose it is.
        code: `ok`, `reading`, `newer_schema`, `missing`, or why it cannot be read.
        words: The same for people.
        schema: Hermes' version of its tables, None where it was not seen yet.
        read_rows: Up to which row it was read, and `rows`: the highest there is.
        changed_at: When it was last written, Unix seconds.
    """

    path: Path
    house: str
    code: str
    words: str
    schema: int | None
    read_rows: int
    rows: int
    changed_at: float | None


class StateDb:
    """One database: where it is, how far it was read, how it lay there then.

    Attributes:
        home: The root that its session ids are unique within, `home_key` its name.
        read_as: How it lay there when it was last read to the end.
        seen: The same, once it is sure that no write of that moment was missed.
        more: It was not read to its end yet.
        failures: How often in a row it could not be read.
        rows_most: The most rows of the next piece while one that cannot be taken in is looked for.
        skipped: Elements that could not be used since the start, by reason.
        unsettled: Why it is not known, or not to be known, whose it is.
    """

    def __init__(
        self, place: Place, home: Path, claimed: str, parts: tuple[str, ...], name: str = FILE_NAME
    ) -> None:
        self.place = place
        self.home = home
        self.home_key = str(home)
        self.claimed = self.house = claimed
        self.parts = parts
        self.name = name
        self.path = home / name
        self.key = os.fsencode(self.path)
        self.directory: Directory | None = None
        self.cursor: StateDbCursor | None = None
        self.read_as: DbStamp | None = None
        self.seen: DbStamp | None = None
        self.more = False
        self.due_at = 0.0
        self.retry_at = 0.0
        self.changed_at = 0.0
        self.trouble: SessionError | None = None
        self.unsettled: FileRefusedError | None = None
        self.failures = 0
        self.rows_most: int | None = None
        self.schema: int | None = None
        self.is_newer = False
        self.highest_id = 0
        self.skipped: dict[str, int] = {}

    def reopen(self, house_of: HouseOf = as_claimed) -> None:
        """Make `directory` lead to the home as it is now, and know whose it is.

        Raises:
            StoreError: It cannot be written down whose it is.
        """
        directory = self.directory
        if directory is None or not directory.is_current():
            self.close()
            try:
                directory = enter(self.place.root, self.parts)
            except FileRefusedError as refusal:
                self.trouble = refusal
                return
        self.directory = directory
        try:
            self.house = house_in(self.place, self.home, self.claimed, directory, house_of)
        except FileRefusedError as refusal:
            self.close()
            self.trouble = self.unsettled = refusal
            return
        if self.unsettled is not None and self.trouble is self.unsettled:
            self.trouble = None
        self.unsettled = None

    def close(self) -> None:
        """Let go of the directory."""
        if self.directory is not None:
            self.directory.close()
            self.directory = None

    def look(self) -> DbStamp:
        """How the database lies there now.

        Raises:
            FileRefusedError: It is missing, or not what it should be.
        """
        directory = self.directory
        if directory is None:
            raise self._refusal(Reason.VANISHED)
        try:
            for name in (self.name, *(self.name + end for end in _BESIDE)):
                try:
                    status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
                except FileNotFoundError:
                    if name == self.name:
                        raise
                    continue
                reason = judge(status, owner_uid=directory.owner_uid, largest_bytes=_ANY_SIZE)
                if reason is not None and (name == self.name or reason is not Reason.VANISHED):
                    raise self._refusal(reason, name)
            return look(self.name, dir_fd=directory.fd)
        except OSError as error:
            raise FileRefusedError.of(error, self.name) from error

    def _refusal(self, reason: Reason, name: str | None = None) -> FileRefusedError:
        return FileRefusedError(reason, name or self.name)

    def read(
        self, *, read_s: float, rows: int, zone: tzinfo | None = None
    ) -> tuple[Chunk, DbStamp]:
        """The next piece, and how the database lay there; `zone` is that of times without one.

        Raises:
            SessionError: It cannot be read, with the reason.
        """
        found = self.look()
        directory = self.directory
        if directory is None:
            raise self._refusal(Reason.VANISHED)
        fd = directory.open(self.name, largest_bytes=_ANY_SIZE)
        try:
            header = os.pread(fd, HEADER_BYTES, 0)
        except OSError as error:
            raise FileRefusedError.of(error, self.name) from error
        finally:
            os.close(fd)
        path = str(self.path.absolute())
        chunk = state_db.read(
            path, header, found, self.cursor, read_s=read_s, largest_rows=rows, zone=zone
        )
        return chunk, found


def finding_of(file: StateDb) -> StateDbFinding:
    """How it stands with a database."""
    trouble = file.trouble
    if trouble is not None:
        code = "missing" if trouble.code == Reason.VANISHED.value else trouble.code
        words = trouble.detail
    elif file.is_newer:
        code, words = "newer_schema", "is of a newer Hermes than this timmyd was tried with"
    elif file.more or file.cursor is None:
        code, words = "reading", "is being read"
    else:
        code, words = "ok", "is read to its end" + _but(file.skipped)
    cursor = file.cursor or StateDbCursor()
    changed_at = None if file.read_as is None else written_at(file.read_as)
    return StateDbFinding(
        file.path, file.house, code, words, file.schema, cursor.last_id, file.highest_id, changed_at
    )


def _but(skipped: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(skipped.items()))
    return f", but for {reasons}" if reasons else ""


def written_at(found: DbStamp) -> float:
    """When a database was last written, Unix seconds."""
    return max(0, found.file[3], found.wal[3] if found.wal is not None else 0) / 1e9


def ledger_row(file: StateDb, found: DbStamp | None, now: float, cursor: bytes | None) -> FileRow:
    """What the ledger says of a database at `now`, Unix seconds; its owner can set any time and size."""
    device, inode, size, mtime_ns = (0, 0, 0, 0) if found is None else found.file
    return FileRow(
        path=file.key,
        house=file.house,
        source="state_db",
        dev=device & _MASK,
        ino=inode & _MASK,
        size=size & _MASK,
        mtime_ns=mtime_ns & _MASK,
        read_at=now,
        cursor=cursor,
    )


def is_written_at(found: DbStamp, now: float) -> bool:
    """Whether a write at this moment might leave the times of the files as they are.

    Only nearness counts, never the order: times may lie ahead of the clock, by any amount.
    """
    looks = [found.file] if found.wal is None else [found.file, found.wal]
    return any(abs(now - look[3] / 1e9) <= CLOCK_GRAIN_S for look in looks)


def look_again_s(file: StateDb, now: float, began_at: float) -> float:
    """Seconds until a database is looked at again, by how long ago it changed.

    Args:
        file: Which.
        now: Of the monotonic clock, as `began_at`.
        began_at: Since when it is followed.
    """
    if file.trouble is not None and file.trouble.code == Reason.VANISHED.value:
        return _ABSENT_S
    if now - file.changed_at < _LIVELY_S:
        return POLL_S
    rests = now - max(file.changed_at, began_at) > _RESTING_S
    return _ABSENT_S if rests else 2 * POLL_S
