"""Reads what the inbox hands out into the database, in batches that end before the loop is late."""

import mmap
import os
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import xxhash

from timmyd.clock import Clock, monotonic
from timmyd.core.clock_trust import Skew
from timmyd.core.model import Checkpoint, Session
from timmyd.engine.ingest import Ingest
from timmyd.engine.intake import Cursor, Origin, Taken
from timmyd.errors import SessionError, StoreError
from timmyd.service.inbox import Inbox
from timmyd.service.logs import EventLogger, Once
from timmyd.service.looks import look_of, look_of_status
from timmyd.service.memory import give_back
from timmyd.service.metrics import Metrics
from timmyd.service.queues import Waiting
from timmyd.service.refusal import FileRefusedError, Reason
from timmyd.sources import snapshot
from timmyd.store.batch import Batch, FileRow
from timmyd.store.database import PatternDatabase

SLICE_S = 0.08
"""How long one batch reads on before it commits, in seconds."""

_SLICE_EXECUTIONS = 10_000
_BUFFER_BYTES = 1 << 20
_BUFFER_MOST = 8
_HEAD_BYTES = 256 << 10
_PART_BYTES = 256 << 10
_LINES_BYTES = 256 << 10
"""Of telemetry, at a time: a thousand calls, some tenths of a second."""

_UNREAD = (1 << 63) - 1
"""In place of a size: no file has it."""

_cursors = msgspec.msgpack.Decoder(Cursor)
_encode = msgspec.msgpack.Encoder().encode


class Progress(NamedTuple):
    """What one slice of reading did."""

    files: int
    executions: int
    amended: int


class Reader:
    """Opens, decodes, records. One file's trouble is that file's alone."""

    def __init__(
        self,
        database: PatternDatabase,
        ingest: Ingest,
        inbox: Inbox,
        *,
        log: EventLogger,
        metrics: Metrics,
        clock: Clock,
        largest_bytes: int,
        skew: Callable[[], Skew] = Skew,
    ) -> None:
        self.imported = False
        self.database = database
        self.ingest = ingest
        self.inbox = inbox
        self.log = log
        self.metrics = metrics
        self.clock = clock
        self.skew = skew
        self.once = Once()
        self._again: set[bytes] = set()
        self._largest_bytes = largest_bytes
        self._buffer = _buffer(_BUFFER_BYTES)

    def rest(self) -> None:
        """Let go of what a busy time has left behind: buffers, caches, pages."""
        self._buffer = _buffer(_BUFFER_BYTES)
        self.ingest.rest()
        self.inbox.rest()
        self.database.rest()
        give_back()

    def read_slice(self, *, slice_s: float = SLICE_S) -> Progress:
        """Read the files that are due until the slice is over, and commit.

        Raises:
            StoreError: Nothing of the slice stands; the files are still to be read.
        """
        first = self.inbox.next()
        if first is None:
            return Progress(0, 0, 0)
        end = monotonic() + slice_s
        taken_out = [first]
        unfinished: list[Waiting] = []
        executions = amended = 0
        try:
            with self.database.batch() as batch:
                while True:
                    began = monotonic()
                    taken = self._read(batch, taken_out[-1])
                    self.inbox.worked(taken_out[-1], monotonic() - began)
                    if taken.more:
                        unfinished.append(taken_out[-1])
                    executions += taken.executions
                    amended += taken.amended
                    if monotonic() >= end or executions >= _SLICE_EXECUTIONS:
                        break
                    waiting = self.inbox.next()
                    if waiting is None:
                        break
                    taken_out.append(waiting)
        except StoreError:
            for waiting in taken_out:
                self.inbox.put_back(waiting)
            raise
        except Exception:  # noqa: BLE001 - hostile input: one file must not stop the work on all others
            return self._read_one_by_one(taken_out)
        self.metrics.counted(batch.counted)
        for read in taken_out:
            self._was_read(read, more=read in unfinished)
        return Progress(len(taken_out), executions, amended)

    def _read_one_by_one(self, files: list[Waiting]) -> Progress:
        """Read files of which one raised what nobody foresaw: that one is noted as failed."""
        executions = amended = 0
        for place, waiting in enumerate(files):
            try:
                try:
                    with self.database.batch() as batch:
                        taken = self._read(batch, waiting)
                    self.metrics.counted(batch.counted)
                except StoreError:
                    raise
                except Exception as error:  # noqa: BLE001 - see above
                    taken = Taken(0, 0, 0, {}, None)
                    with self.database.batch() as batch:
                        self._note_unforeseen(batch, waiting, error)
            except StoreError:
                for again in files[place:]:
                    self.inbox.put_back(again)
                raise
            self._was_read(waiting, more=taken.more)
            executions += taken.executions
            amended += taken.amended
        return Progress(len(files), executions, amended)

    def _was_read(self, waiting: Waiting, *, more: bool) -> None:
        if more:
            self.inbox.put_back(waiting)
        else:
            self.inbox.was_read(waiting, again=waiting.path in self._again)
            self._again.discard(waiting.path)

    def _note_unforeseen(self, batch: Batch, waiting: Waiting, error: Exception) -> None:
        before = self.database.file(waiting.path)
        found = SessionError("unforeseen", "$", f"reading it raised {type(error).__name__}")
        self._failed(batch, self._row(waiting), found, before, "file_failed")

    def _row(self, waiting: Waiting) -> FileRow:
        device, inode, size, mtime_ns = look_of(waiting.entry)
        return FileRow(
            path=waiting.path,
            house=waiting.folder.house,
            source=waiting.source,
            dev=device,
            ino=inode,
            size=size,
            mtime_ns=mtime_ns,
            read_at=self.clock(),
        )

    def _read(self, batch: Batch, waiting: Waiting) -> Taken:
        began = monotonic()
        now = self.clock()
        path = waiting.path
        row = self._row(waiting)
        before = self.database.file(path)
        cursor = None
        if before is not None and before.cursor is not None:
            cursor = _cursors.decode(before.cursor)
        try:
            taken = self._take(batch, waiting, row, cursor, now)
        except FileRefusedError as refusal:
            return self._failed(batch, row, refusal, before, "file_refused")
        except SessionError as error:
            return self._failed(batch, row, error, before, "file_failed")
        if taken.cursor is None:
            row.state, row.reason = "ignored", "no_messages"
        else:
            row.cursor = _encode(taken.cursor)
        if taken.skipped:
            row.reason = max(taken.skipped, key=lambda code: taken.skipped[code])
            row.detail = f"{sum(taken.skipped.values())} elements could not be used"
            batch.skip(taken.skipped)
            for code, n in taken.skipped.items():
                self.metrics.rejected(code, count=n)
        if taken.more:
            row.size = _UNREAD  # so that a process that begins now reads on
        batch.save_file(row)
        batch.count("duplicates", taken.duplicates)
        batch.count(f"source.{waiting.source}", taken.executions)
        self.once.forget(path)
        self.metrics.file(waiting.source, row.state)
        self.metrics.duplicates(waiting.source, taken.duplicates)
        self.metrics.ingested(now, monotonic() - began)
        if taken.executions or taken.amended:
            self.log.event(
                "file_taken",
                house=row.house,
                source=waiting.source,
                file=os.fsdecode(path),
                executions=taken.executions,
                amended=taken.amended,
            )
        return taken

    def _take(
        self, batch: Batch, waiting: Waiting, row: FileRow, cursor: Cursor | None, now: float
    ) -> Taken:
        directory = waiting.folder.opened
        if directory is None:
            raise FileRefusedError(Reason.VANISHED, waiting.entry.name)
        fd = directory.open(waiting.entry.name, largest_bytes=self._largest_bytes)
        try:
            status = os.fstat(fd)
            row.dev, row.ino, row.size, row.mtime_ns = look_of_status(status)
            origin = Origin(
                home=str(waiting.folder.home),
                house=waiting.folder.house,
                source=waiting.source,
                name=waiting.entry.name.rpartition(".")[0],
                written_at=max(0.0, status.st_mtime_ns / 1e9),
                now=now,
                owner=status.st_uid,
                imported=self.imported,
                skew=self.skew(),
            )
            offset = 0
            if waiting.source == "snapshot" and cursor is not None:
                shown = self._grown(fd, status.st_size, cursor.checkpoint)
                if shown is not None:
                    return self.ingest.take_session(batch, origin, shown, cursor)
            elif waiting.source == "telemetry" and cursor is not None:
                cursor = cursor if _continues(fd, cursor) else Cursor()
                offset = cursor.offset
            size = status.st_size - offset
            is_cut = waiting.source == "telemetry" and size > _LINES_BYTES
            data = self._content(fd, _LINES_BYTES if is_cut else size, offset)
        finally:
            os.close(fd)
        return self.ingest.take(batch, origin, data, cursor, is_cut=is_cut)

    def _grown(self, fd: int, size: int, resume: Checkpoint | None) -> Session | None:
        """What a snapshot shows behind its settled part, if that is still what was read before.

        The settled part goes through a small buffer: most of the cost of a large file that grew by
        a turn is to bring its bytes through memory, and this brings them through once.
        """
        if resume is None or size < snapshot.TAIL_FROM_BYTES:
            return None
        head = bytes(self._content(fd, min(size, _HEAD_BYTES)))
        start = snapshot.messages_start(head)
        end = start + resume.offset
        if start < 0 or end >= size:
            return None
        proof = xxhash.xxh3_64(head[start:end])
        at = max(start, min(end, len(head)))
        while at < end:
            part = self._content(fd, min(end - at, _PART_BYTES), at)
            if not part:
                return None
            proof.update(part)
            at += len(part)
        if proof.intdigest() != resume.digest:
            return None
        tail = self._content(fd, size - end, end)
        return self.ingest.grown(snapshot.Grown(head[:start], tail, resume, proof))

    def _content(self, fd: int, size: int, offset: int = 0) -> memoryview:
        """The bytes of the file from `offset` on, in a buffer that the next file reuses.

        Memory that was touched before costs a fraction of fresh memory, and the kernel copies
        several times as fast to the start of a page as to elsewhere; so the buffer is a mapping.
        """
        if not size <= len(self._buffer) <= max(_BUFFER_MOST * size, _BUFFER_BYTES):
            self._buffer = _buffer(max(size + size // 4, _BUFFER_BYTES))
        view = memoryview(self._buffer)
        read = 0
        try:
            while read < size and (n := os.preadv(fd, [view[read:size]], offset + read)):
                read += n
        except OSError as error:
            raise FileRefusedError.of(error, "") from error
        return view[:read]

    def _failed(
        self, batch: Batch, row: FileRow, error: SessionError, before: FileRow | None, event: str
    ) -> Taken:
        """Note why a file was not taken; what was read of it before stands."""
        row.state, row.reason, row.place, row.detail = (
            "failed",
            error.code,
            error.place,
            error.detail,
        )
        if error.code == Reason.UNREADABLE.value:
            # a permission that is given changes nothing that can be seen: try with every scan
            self._again.add(row.path)
            row.mtime_ns = 0
            if before is not None and before.reason == row.reason:
                return Taken(0, 0, 0, {}, None)
        row.cursor = None if before is None else before.cursor
        batch.save_file(row)
        batch.count("files_failed")
        self.metrics.file(row.source, "failed")
        self.metrics.rejected(error.code)
        if self.once.first(row.path, error.code):
            self.log.event(
                event,
                house=row.house,
                source=row.source,
                file=os.fsdecode(row.path),
                reason=error.code,
                place=error.place,
                detail=error.detail,
            )
        return Taken(0, 0, 0, {}, None)


def _continues(fd: int, cursor: Cursor) -> bool:
    """Whether the file still is the one that the cursor was left in: its inode may be another's now."""
    try:
        proof = os.pread(fd, cursor.proof_bytes, cursor.offset - cursor.proof_bytes)
    except OSError:
        return False
    return len(proof) == cursor.proof_bytes and xxhash.xxh3_64_intdigest(proof) == cursor.proof


def _buffer(size: int) -> mmap.mmap:
    """Memory of this process alone, at the start of a page."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
