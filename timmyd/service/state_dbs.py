"""Follows the `state.db` of every Hermes home and profile: a cheap look, then a bounded piece of what is new."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from timmyd.clock import Clock, monotonic
from timmyd.errors import SessionError
from timmyd.ingest import Origin
from timmyd.ingest_rows import RowIngest
from timmyd.service.files import Directory, judge, open_home
from timmyd.service.inbox import Place, house_of_profile
from timmyd.service.logs import EventLogger, Once
from timmyd.service.metrics import Metrics
from timmyd.service.reading import SLICE_S, Progress
from timmyd.service.refusal import FileRefusedError, Reason
from timmyd.sources import state_db
from timmyd.sources.state_db import HEADER_BYTES, READ_S, Chunk, Cursor, Found
from timmyd.store.batch import FileRow
from timmyd.store.database import PatternDatabase

FILE_NAME: Final = "state.db"
POLL_S: Final = 0.5
"""Seconds between two looks at databases that changed lately; others are looked at half as often."""

_PROFILES: Final = "profiles"
_ANY_SIZE: Final = 1 << 62
_LIVELY_S: Final = 300.0
_RETRY_S: Final = 1.0
_CLOCK_GRAIN_S: Final = 0.05
_FIRST_ROWS: Final = 500
_LEAST_ROWS: Final = 50
_MOST_ROWS: Final = 4_000
_NOTHING: Final = Progress(0, 0, 0)
_PASSING: Final = frozenset({"locked", "busy", "replaced"})
_IGNORED: Final = frozenset({"empty"})

_cursors = msgspec.msgpack.Decoder(Cursor)
_encode = msgspec.msgpack.Encoder().encode


class Finding(NamedTuple):
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
        home: The root that its session ids are unique within.
        seen: How it lay there when it was last read to the end.
        more: It was not read to its end yet.
    """

    def __init__(self, place: Place, home: Path, house: str, parts: tuple[str, ...]) -> None:
        self.place = place
        self.home = home
        self.house = house
        self.parts = parts
        self.path = home / FILE_NAME
        self.key = os.fsencode(self.path)
        self.directory: Directory | None = None
        self.cursor: Cursor | None = None
        self.seen: Found | None = None
        self.more = False
        self.due_at = 0.0
        self.changed_at = 0.0
        self.trouble: SessionError | None = None
        self.schema: int | None = None
        self.is_newer = False
        self.highest_id = 0

    def reopen(self) -> None:
        """Make `directory` lead to the home as it is now."""
        if self.directory is not None and self.directory.is_current():
            return
        self.close()
        try:
            inner = open_home(self.place.root)
            for part in self.parts:
                outer = inner
                try:
                    inner = outer.folder(part)
                finally:
                    outer.close()
            self.directory = inner
        except FileRefusedError as refusal:
            self.trouble = refusal

    def close(self) -> None:
        """Let go of the directory."""
        if self.directory is not None:
            self.directory.close()
            self.directory = None

    def look(self) -> Found:
        """How the database lies there now.

        Raises:
            FileRefusedError: It is missing, or not what it should be.
        """
        directory = self.directory
        if directory is None:
            raise self._refusal(Reason.VANISHED)
        try:
            for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"):
                try:
                    status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
                except FileNotFoundError:
                    if name == FILE_NAME:
                        raise
                    continue
                reason = judge(status, owner_uid=directory.owner_uid, largest_bytes=_ANY_SIZE)
                if reason is not None and (name == FILE_NAME or reason is not Reason.VANISHED):
                    raise self._refusal(reason, name)
            return state_db.look(FILE_NAME, dir_fd=directory.fd)
        except OSError as error:
            raise FileRefusedError.of(error, FILE_NAME) from error

    def _refusal(self, reason: Reason, name: str = FILE_NAME) -> FileRefusedError:
        return FileRefusedError(reason, name)

    def read(self, *, read_s: float, rows: int) -> tuple[Chunk, Found]:
        """The next piece, and how the database lay there.

        Raises:
            SessionError: It cannot be read, with the reason.
        """
        found = self.look()
        directory = self.directory
        if directory is None:
            raise self._refusal(Reason.VANISHED)
        fd = directory.open(FILE_NAME, largest_bytes=_ANY_SIZE)
        try:
            header = os.pread(fd, HEADER_BYTES, 0)
        except OSError as error:
            raise FileRefusedError.of(error, FILE_NAME) from error
        finally:
            os.close(fd)
        path = str(self.path.absolute())
        chunk = state_db.read(path, header, found, self.cursor, read_s=read_s, largest_rows=rows)
        return chunk, found


class StateDbs:
    """Finds the databases and hands their rows to the ingest. One database's trouble is its own."""

    def __init__(
        self,
        places: Iterable[Place],
        database: PatternDatabase,
        ingest: RowIngest,
        *,
        log: EventLogger,
        metrics: Metrics,
        clock: Clock,
        settle_s: float = 0.25,
    ) -> None:
        """Look nowhere yet.

        Args:
            places: Where Hermes homes may be; they need not exist yet.
            database: Where rows go, and where it is written how far each file was read.
            ingest: Takes rows in.
            log: Told what was taken and what could not be.
            metrics: Counts the same.
            clock: Gives the time of what is recorded, Unix seconds.
            settle_s: A database is read again at most once in this time.
        """
        self.places = list(places)
        self.database = database
        self.ingest = ingest
        self.log = log
        self.metrics = metrics
        self.clock = clock
        self.once = Once()
        self.files: dict[Path, StateDb] = {}
        self.restarts = 0
        self._settle_s = settle_s
        self._slice_rows = _FIRST_ROWS

    # ------------------------------------------------------------------ finding
    def find(self) -> list[StateDb]:
        """Look for homes and profiles that appeared, were replaced or went; returns all databases."""
        for place in self.places:
            if not place.is_home or "state_db" not in place.sources:
                continue
            for home, house, parts in _homes(place):
                if home / FILE_NAME not in self.files:
                    self.files[home / FILE_NAME] = self._known(StateDb(place, home, house, parts))
        for file in self.files.values():
            file.reopen()
        return list(self.files.values())

    def _known(self, file: StateDb) -> StateDb:
        row = self.database.file(file.key)
        if row is not None and row.cursor is not None:
            file.cursor = _cursors.decode(row.cursor)
        return file

    def close(self) -> None:
        """Let go of every directory."""
        for file in self.files.values():
            file.close()

    # ------------------------------------------------------------------ reading
    def look(self, slice_s: float = SLICE_S) -> Progress:
        """Look at the databases that are due, and read a piece of the first one that has news.

        Raises:
            StoreError: Nothing of the piece stands; it will be read again.
        """
        now = monotonic()
        for file in sorted(self.files.values(), key=lambda file: (file.more, file.due_at)):
            if file.due_at > now or file.directory is None:
                continue
            if file.more or self._has_news(file, now):
                return self._read(file, now, slice_s)
        return _NOTHING

    @property
    def backlog(self) -> int:
        """How many databases were not read to their end yet."""
        return sum(file.more for file in self.files.values())

    def due_in_s(self) -> float | None:
        """Seconds until `look` has something to do; None if there is no database."""
        due = [file.due_at for file in self.files.values() if file.directory is not None]
        return max(0.0, min(due) - monotonic()) if due else None

    def _has_news(self, file: StateDb, now: float) -> bool:
        lively = now - file.changed_at < _LIVELY_S
        file.due_at = now + (POLL_S if lively else 2 * POLL_S)
        try:
            return file.look() != file.seen
        except FileRefusedError as refusal:
            file.trouble = refusal
            if refusal.reason is not Reason.VANISHED and self.once.first(file.key, refusal.code):
                self._note(file, None, refusal)
            return False

    def _read(self, file: StateDb, now: float, slice_s: float) -> Progress:
        try:
            chunk, found = file.read(read_s=min(READ_S, slice_s), rows=self._slice_rows)
        except SessionError as error:
            return self._failed(file, now, error)
        began = self.clock()
        origin = Origin(
            home=str(file.home),
            house=file.house,
            source="state_db",
            name=FILE_NAME,
            written_at=_written_at(found),
            now=began,
        )
        with self.database.batch() as batch:
            taken = self.ingest.take(
                batch, origin, chunk.rows, chunk.sessions, times_tell=chunk.schema.each_call
            )
            batch.save_file(_ledger_row(file, found, began, _encode(chunk.cursor)))
            batch.count("duplicates", taken.duplicates)
            batch.count("source.state_db", taken.executions)
        self._was_read(file, chunk, found, now)
        self._adjust(monotonic() - now, slice_s)
        self.metrics.file("state_db", "taken")
        self.metrics.duplicates("state_db", taken.duplicates)
        self.metrics.ingested(began, monotonic() - now)
        if taken.executions or taken.amended:
            self.log.event(
                "file_taken",
                house=file.house,
                source="state_db",
                file=str(file.path),
                executions=taken.executions,
                amended=taken.amended,
            )
        return Progress(1, taken.executions, taken.amended)

    def _adjust(self, took_s: float, slice_s: float) -> None:
        """Let the next slice take about as long as it should, reading and recording together."""
        wanted = int(self._slice_rows * min(2.0, slice_s / max(took_s, 1e-4)))
        self._slice_rows = max(_LEAST_ROWS, min(_MOST_ROWS, wanted))

    def _was_read(self, file: StateDb, chunk: Chunk, found: Found, now: float) -> None:
        if chunk.restarted is not None:
            self.restarts += 1
            self.log.event("session_rewritten", file=str(file.path), reason=chunk.restarted)
        settled = self.clock() - _written_at(found) > _CLOCK_GRAIN_S
        file.cursor = chunk.cursor
        file.more = chunk.more
        # within a grain of the file system's clock another write would not show: look once more
        file.seen = found if settled and not chunk.more else None
        file.due_at = now if chunk.more else now + self._settle_s
        file.changed_at = now
        file.trouble = None
        file.schema, file.is_newer = chunk.schema.version, chunk.schema.is_newer
        file.highest_id = chunk.highest_id
        self.once.forget(file.key)

    def _failed(self, file: StateDb, now: float, error: SessionError) -> Progress:
        file.trouble = error
        file.due_at = now + _RETRY_S
        if error.code in _PASSING:
            return _NOTHING
        file.more = False
        try:
            file.seen = found = file.look()
        except FileRefusedError:
            file.seen = found = None
        if self.once.first(file.key, error.code):
            self._note(file, found, error)
        return _NOTHING

    def _note(self, file: StateDb, found: Found | None, error: SessionError) -> None:
        """Write into the ledger why a database cannot be read; how far it was read before stands."""
        cursor = None if file.cursor is None else _encode(file.cursor)
        row = _ledger_row(file, found, self.clock(), cursor)
        ignored = error.code in _IGNORED
        row.state = "ignored" if ignored else "failed"
        row.reason, row.place, row.detail = error.code, error.place, error.detail
        with self.database.batch() as batch:
            batch.save_file(row)
            batch.count("files_ignored" if ignored else "files_failed")
        self.metrics.file("state_db", row.state)
        if not ignored:
            self.metrics.rejected(error.code)
            self.log.event(
                "file_failed",
                house=file.house,
                source="state_db",
                file=str(file.path),
                reason=error.code,
                place=error.place,
                detail=error.detail,
            )

    # ------------------------------------------------------------------ telling
    def findings(self) -> list[Finding]:
        """How it stands with each database."""
        return [_finding(file) for file in self.files.values()]


def _finding(file: StateDb) -> Finding:
    trouble = file.trouble
    if trouble is not None:
        code = "missing" if trouble.code == Reason.VANISHED.value else trouble.code
        words = trouble.detail
    elif file.is_newer:
        code, words = "newer_schema", "is of a newer Hermes than this timmyd was tried with"
    elif file.more or file.cursor is None:
        code, words = "reading", "is being read"
    else:
        code, words = "ok", "is read to its end"
    cursor = file.cursor or Cursor()
    changed_at = None if file.seen is None else _written_at(file.seen)
    return Finding(
        file.path, file.house, code, words, file.schema, cursor.last_id, file.highest_id, changed_at
    )


def _written_at(found: Found) -> float:
    return max(found.file[3], found.wal[3] if found.wal is not None else 0) / 1e9


def _ledger_row(file: StateDb, found: Found | None, now: float, cursor: bytes | None) -> FileRow:
    device, inode, size, mtime_ns = (0, 0, 0, 0) if found is None else found.file
    return FileRow(
        path=file.key,
        house=file.house,
        source="state_db",
        dev=device,
        ino=inode,
        size=size,
        mtime_ns=mtime_ns,
        read_at=now,
        cursor=cursor,
    )


def _homes(place: Place) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """(home, house, parts from the root) of a home and of every profile in it."""
    yield place.root, place.house, ()
    try:
        root = open_home(place.root)
    except FileRefusedError:
        return
    try:
        profiles = root.folder(_PROFILES)
    except FileRefusedError:
        return
    finally:
        root.close()
    try:
        for entry in profiles.scan(largest_bytes=0):
            house = house_of_profile(entry.name)
            if entry.is_directory and house is not None:
                yield place.root / _PROFILES / entry.name, house, (_PROFILES, entry.name)
    except FileRefusedError:
        return
    finally:
        profiles.close()
