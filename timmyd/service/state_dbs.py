"""Follows the `state.db` of every Hermes home and profile: a cheap look, then a bounded piece of what is new."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from timmyd.clock import Clock, monotonic
from timmyd.core.clock_trust import Skew
from timmyd.core.shares import Shares
from timmyd.engine.ingest_rows import RowIngest, TakenRows
from timmyd.engine.intake import Origin
from timmyd.errors import SessionError, StoreError
from timmyd.service.homes import PROFILES_MOST, HouseOf, Place, as_claimed, homes_of
from timmyd.service.logs import EventLogger, Once
from timmyd.service.metrics import Metrics
from timmyd.service.reading import SLICE_S, Progress
from timmyd.service.refusal import FileRefusedError, Reason
from timmyd.service.state_db_file import (
    CLOCK_GRAIN_S,
    FILE_NAME,
    StateDb,
    StateDbFinding,
    finding_of,
    is_written_at,
    ledger_row,
    look_again_s,
    written_at,
)
from timmyd.service.waits import growing_s
from timmyd.sources.state_db import PASSING, READ_S, Chunk, StateDbCursor
from timmyd.sources.state_db_open import DbStamp
from timmyd.store.database import PatternDatabase

_RETRY_S: Final = 0.5
_RETRY_MOST_S: Final = 60.0
_RETRY_FAILED_S: Final = 30.0
_RETRY_FAILED_MOST_S: Final = 3600.0
_FIRST_ROWS: Final = 500
_LEAST_ROWS: Final = 50
_MOST_ROWS: Final = 4_000
_NOTHING: Final = Progress(0, 0, 0)
_IGNORED: Final = frozenset({"empty"})

_cursors = msgspec.msgpack.Decoder(StateDbCursor)
_encode = msgspec.msgpack.Encoder().encode


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
        skew: Callable[[], Skew] = Skew,
        settle_s: float = 0.25,
        house_of: HouseOf = as_claimed,
        profiles: int = PROFILES_MOST,
    ) -> None:
        """Look nowhere yet.

        Args:
            places: Where Hermes homes may be; they need not exist yet.
            database: Where rows go, and where it is written how far each file was read.
            ingest: Takes rows in.
            log: Told what was taken and what could not be.
            metrics: Counts the same.
            clock: Gives the time of what is recorded, Unix seconds.
            skew: How wrong the system's clock is held to be.
            settle_s: A database is read again at most once in this time.
            house_of: Says whose each home is.
            profiles: Of one home, at most.
        """
        self._house_of = house_of
        self.shares: Shares[int] = Shares(per_s=float("inf"))
        self._profiles = profiles
        self.places = list(places)
        self.database = database
        self.ingest = ingest
        self.log = log
        self.metrics = metrics
        self.clock = clock
        self.skew = skew
        self.once = Once()
        self.files: dict[Path, StateDb] = {}
        self.restarts = 0
        self.too_old = 0
        self.imported = False
        self._began_at = monotonic()
        self._settle_s = settle_s
        self._slice_rows = _FIRST_ROWS

    # ------------------------------------------------------------------ finding
    def add(self, file: StateDb) -> None:
        """Follow this database as well, wherever it lies."""
        self.files[file.path] = self._known(file)
        file.reopen(self._house_of)

    def find(self) -> list[StateDb]:
        """Look for homes and profiles that appeared, were replaced or went; returns all databases."""
        for place in self.places:
            if not place.is_home or "state_db" not in place.sources:
                continue
            for home, house, parts in homes_of(place, self._profiles):
                if home / FILE_NAME not in self.files:
                    self.files[home / FILE_NAME] = self._known(StateDb(place, home, house, parts))
        for file in self.files.values():
            file.reopen(self._house_of)
        return list(self.files.values())

    def _known(self, file: StateDb) -> StateDb:
        row = self.database.file(file.key)
        if row is not None and row.cursor is not None:
            with suppress(msgspec.MsgspecError):
                file.cursor = _cursors.decode(row.cursor)
        return file

    def close(self) -> None:
        """Let go of every directory."""
        for file in self.files.values():
            file.close()

    # ------------------------------------------------------------------ reading
    def look(self, slice_s: float = SLICE_S, *, patient: bool = False) -> Progress:
        """Look at the databases that are due, and read a piece of the first one that has news.

        Args:
            slice_s: How long it may take, in seconds.
            patient: Go on for longer where some gave nothing; for who has nothing else to do.

        Raises:
            StoreError: Nothing of the piece stands; it will be read again.
        """
        began = now = monotonic()
        due: dict[int, list[StateDb]] = {}
        for file in self.files.values():
            if file.due_at <= now and file.directory is not None:
                due.setdefault(file.directory.owner_uid, []).append(file)
        for files in due.values():
            files.sort(key=lambda file: (file.more, file.due_at), reverse=True)
        while (owner := self.shares.next(due, now)) is not None:
            file = due[owner].pop()
            if not due[owner]:
                del due[owner]
            step = _NOTHING
            if file.more or self._has_news(file, now):
                step = self._read(file, now, slice_s)
            before, now = now, monotonic()
            self.shares.charge(owner, now - before)
            if step.files or (now >= began + slice_s and not patient):
                return step
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
        missing = file.trouble is not None and file.trouble.code == Reason.VANISHED.value
        again_s = growing_s(_RETRY_S, _RETRY_MOST_S, file.failures)
        file.due_at = now + max(again_s, look_again_s(file, now, self._began_at))
        try:
            if file.trouble is not None and not missing and now >= file.retry_at:
                return True  # a permission that was given changes nothing that can be seen
            return file.look() != file.seen or isinstance(file.trouble, FileRefusedError)
        except FileRefusedError as refusal:
            file.trouble = refusal
            if refusal.reason is not Reason.VANISHED and self.once.first(file.key, refusal.code):
                self._note(file, None, refusal)
            return False

    def _read(self, file: StateDb, now: float, slice_s: float) -> Progress:
        most = file.rows_most or self._slice_rows
        try:
            chunk, found = file.read(
                read_s=min(READ_S, slice_s), rows=most, zone=self.ingest.ingest.zone
            )
        except SessionError as error:
            return self._failed(file, now, error)
        began = self.clock()
        try:
            taken = self._take(file, chunk, found, began)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - hostile input: one file must not stop the work on all others
            self._take_apart(file, chunk, found, error)
            return Progress(1, 0, 0)
        self.too_old += taken.skipped.get("too_old", 0)
        self._skipped(file, {**taken.skipped, "too_large": chunk.skipped})
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

    def _take(self, file: StateDb, chunk: Chunk, found: DbStamp, now: float) -> TakenRows:
        origin = Origin(
            home=file.home_key,
            house=file.house,
            source="state_db",
            name=file.name,
            written_at=written_at(found),
            now=now,
            owner=None if file.directory is None else file.directory.owner_uid,
            imported=self.imported,
            skew=self.skew(),
        )
        with self.database.batch() as batch:
            taken = self.ingest.take(
                batch, origin, chunk.rows, chunk.sessions, times_tell=chunk.schema.each_call
            )
            batch.save_file(ledger_row(file, found, now, _encode(chunk.cursor)))
            batch.count("duplicates", taken.duplicates)
            batch.count("source.state_db", taken.executions)
            batch.skip({**taken.skipped, "too_large": chunk.skipped})
        self.metrics.counted(batch.counted)
        return taken

    def _take_apart(self, file: StateDb, chunk: Chunk, found: DbStamp, error: Exception) -> None:
        """A row raised what nobody foresaw: take smaller pieces, and in the end leave it out alone."""
        file.more = True
        if len(chunk.rows) > 1:
            file.rows_most = len(chunk.rows) // 2
            return
        file.rows_most = 1
        file.cursor = chunk.cursor
        with self.database.batch() as batch:
            batch.save_file(ledger_row(file, found, self.clock(), _encode(chunk.cursor)))
            batch.skip({"unforeseen": 1})
        self._skipped(file, {"unforeseen": 1})
        if self.once.first(file.key, "unforeseen"):
            self._say_failed(
                file, "unforeseen", f"row {chunk.cursor.last_id}", f"raised {type(error).__name__}"
            )

    def _skipped(self, file: StateDb, skipped: Mapping[str, int]) -> None:
        for reason, n in skipped.items():
            if n:
                self.metrics.rejected(reason, count=n)
                file.skipped[reason] = file.skipped.get(reason, 0) + n

    def _adjust(self, took_s: float, slice_s: float) -> None:
        """Let the next slice take about as long as it should, reading and recording together."""
        wanted = int(self._slice_rows * min(2.0, slice_s / max(took_s, 1e-4)))
        self._slice_rows = max(_LEAST_ROWS, min(_MOST_ROWS, wanted))

    def _was_read(self, file: StateDb, chunk: Chunk, found: DbStamp, now: float) -> None:
        if chunk.restarted is not None:
            self.restarts += 1
            self.log.event("session_rewritten", file=str(file.path), reason=chunk.restarted)
        # within a grain of the file system's clock another write would not show: look once more
        settled = found == file.read_as or not is_written_at(
            found, self.clock() + self.skew().ahead_s
        )
        file.cursor = chunk.cursor
        file.more = chunk.more
        file.read_as = None if chunk.more else found
        file.seen = found if settled and not chunk.more else None
        pause_s = self._settle_s if settled else max(self._settle_s, CLOCK_GRAIN_S)
        file.due_at = now if chunk.more else now + pause_s
        file.changed_at = now
        file.trouble, file.failures = None, 0
        file.rows_most = (
            (file.rows_most and min(2 * file.rows_most, _MOST_ROWS)) if chunk.more else None
        )
        file.schema, file.is_newer = chunk.schema.version, chunk.schema.is_newer
        file.highest_id = chunk.highest_id
        self.once.forget(file.key)

    def _failed(self, file: StateDb, now: float, error: SessionError) -> Progress:
        """Try again after growing waits, sooner where the file changes."""
        file.trouble = error
        file.failures += 1
        cost_s = monotonic() - now
        file.due_at = now + growing_s(_RETRY_S, _RETRY_MOST_S, file.failures, cost_s=cost_s)
        if error.code in PASSING:
            return _NOTHING
        file.more = False
        file.retry_at = now + growing_s(
            _RETRY_FAILED_S, _RETRY_FAILED_MOST_S, file.failures, cost_s=cost_s
        )
        try:
            file.seen = found = file.look()
        except FileRefusedError:
            file.seen = found = None
        if self.once.first(file.key, error.code):
            self._note(file, found, error)
        return _NOTHING

    def _note(self, file: StateDb, found: DbStamp | None, error: SessionError) -> None:
        """Write into the ledger why a database cannot be read; how far it was read before stands."""
        cursor = None if file.cursor is None else _encode(file.cursor)
        row = ledger_row(file, found, self.clock(), cursor)
        ignored = error.code in _IGNORED
        row.state = "ignored" if ignored else "failed"
        row.reason, row.place, row.detail = error.code, error.place, error.detail
        with self.database.batch() as batch:
            batch.save_file(row)
            batch.count("files_ignored" if ignored else "files_failed")
        self.metrics.file("state_db", row.state)
        if not ignored:
            self.metrics.rejected(error.code)
            self._say_failed(file, error.code, error.place, error.detail)

    def _say_failed(self, file: StateDb, reason: str, place: str, detail: str) -> None:
        self.log.event(
            "file_failed",
            house=file.house,
            source="state_db",
            file=str(file.path),
            reason=reason,
            place=place,
            detail=detail,
        )

    # ------------------------------------------------------------------ telling
    def findings(self) -> list[StateDbFinding]:
        """How it stands with each database."""
        return [finding_of(file) for file in self.files.values()]
