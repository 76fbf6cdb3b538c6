"""Hermes' own `state.db`, read-only in the strict sense: no lock kept, no file made, none removed.

A connection lives for one slice. While one is open, an agent that ends cannot clear its `-wal` away;
so nothing is kept open between slices, and whether there is news is asked of the file system alone
(`state_db_open.look`). Whatever was read is known again by times and ids, so any doubt is met by
reading from the first row once more.
"""

import sqlite3
from collections.abc import Sequence
from datetime import tzinfo
from typing import Any, Final, NamedTuple

import msgspec

from timmyd.clock import monotonic
from timmyd.core.counting.identity import hash_text
from timmyd.errors import SessionError
from timmyd.sources.state_db_open import (
    DbStamp,
    guarded,
    look,
    maybe_stat,
    opened,
    options_for,
)
from timmyd.sources.state_db_rows import Row, SessionRow, spent_in, to_row, to_session
from timmyd.sources.state_db_schema import GIST_BYTES, LONGEST_CONTENT, Schema, is_table, probe

READ_S: Final = 0.05
"""After how long a read gives what it has, in seconds."""

LONGEST_S: Final = 1.0
"""When SQLite is stopped wherever it is, in seconds: no honest statement here takes a tenth of it."""

PASSING: Final = frozenset({"locked", "busy", "replaced"})
"""Codes of what passes by itself."""

_CHUNK_ROWS: Final = 4_000
_CHUNK_CHARACTERS: Final = 8_000_000
_LONGEST_CHAIN: Final = 1_000


class StateDbCursor(msgspec.Struct, kw_only=True):
    """How far a database was read, and by what it is known again.

    Attributes:
        last_id: Messages up to this id were read.
        last_at: Time of that message.
        last_session: Hash of its session id; 0 where that message was left out.
        device: Of the file, with `inode`.
        restarts: How often reading began again because the ids or the file had changed.
    """

    last_id: int = 0
    last_at: float | None = None
    last_session: int = 0
    device: int = 0
    inode: int = 0
    restarts: int = 0


class Chunk(NamedTuple):
    """A piece of a database, in the order in which Hermes wrote it.

    Attributes:
        rows: Messages.
        sessions: Their sessions, and those that these continue.
        cursor: Where the next piece begins.
        more: There is more to read.
        schema: What the database has.
        restarted: Why reading began again at the first row; None if it did not.
        highest_id: The highest id that there is.
        skipped: How many messages were too large to be read.
    """

    rows: list[Row]
    sessions: dict[str, SessionRow]
    cursor: StateDbCursor
    more: bool
    schema: Schema
    restarted: str | None
    highest_id: int
    skipped: int = 0


def read(
    path: str,
    header: bytes,
    found: DbStamp,
    cursor: StateDbCursor | None,
    *,
    read_s: float = READ_S,
    largest_rows: int = _CHUNK_ROWS,
    zone: tzinfo | None = None,
    longest_s: float = LONGEST_S,
) -> Chunk:
    """Read the next piece of a database.

    Args:
        path: Absolute, its directories trusted; what SQLite opened there is checked to be `found`.
        header: The first `HEADER_BYTES` of the file.
        found: How it lay there when it was checked.
        cursor: Where the last piece ended, None to begin.
        read_s: After how long the piece ends with what there is.
        largest_rows: The most rows of a piece.
        zone: In which times without one are meant; None for the machine's own.
        longest_s: When every statement is stopped.

    Raises:
        SessionError: `locked` and `busy` pass by themselves; `replaced` is another file by now;
            `too_slow`: there was nothing in the longest time; anything else stays until the file
            changes.
    """
    began = monotonic()
    try:
        with guarded():
            options = options_for(header, found)
            with opened(path, found, options, began + longest_s) as connection:
                reading = _Reading(connection, probe(connection), zone, began + read_s)
                chunk = reading.run(found, cursor or StateDbCursor(), largest_rows)
    except SessionError as error:
        if error.code not in {*PASSING, "too_slow"} and _has_changed(path, found):
            raise SessionError("busy", "file", "it changed while it was read") from error
        raise
    if found.is_closed and maybe_stat(path + "-wal") != found.wal:
        raise SessionError("busy", "file", "an agent began to write while it was read")
    return chunk


def _has_changed(path: str, found: DbStamp) -> bool:
    try:
        return look(path) != found
    except OSError:
        return True


class _Piece(msgspec.Struct):
    """Rows, and how far they reach: beyond the last of them where one had to be left out."""

    rows: list[Row]
    last_id: int
    more: bool = True
    skipped: int = 0


class _Reading:
    """One look into one state of a database; `end` is when it gives what it has."""

    def __init__(
        self, connection: sqlite3.Connection, schema: Schema, zone: tzinfo | None, end: float
    ) -> None:
        self.connection = connection
        self.schema = schema
        self.zone = zone
        self.end = end
        self.sessions: dict[str, SessionRow] = {}

    def run(self, found: DbStamp, cursor: StateDbCursor, largest_rows: int) -> Chunk:
        highest = int(self._one("SELECT max(id) FROM messages")[0] or 0)
        restarted = self._restart(cursor, highest)
        after = 0 if restarted else cursor.last_id
        piece = self._rows(after, largest_rows)
        self._fetch_sessions(piece)
        result = StateDbCursor(
            last_id=after,
            last_at=None if restarted else cursor.last_at,
            last_session=0 if restarted else cursor.last_session,
            device=found.file[0],
            inode=found.file[1],
            restarts=cursor.restarts + (restarted is not None),
        )
        if piece.last_id > after:
            last = piece.rows[-1] if piece.rows else None
            left_out = last is None or last.id != piece.last_id
            result.last_id = piece.last_id
            result.last_at = None if last is None or left_out else last.at
            result.last_session = 0 if last is None or left_out else hash_text(last.session_id)
        return Chunk(
            piece.rows, self.sessions, result, piece.more, self.schema, restarted, highest,
            piece.skipped,
        )  # fmt: skip

    def _one(self, statement: str, *values: object) -> Any:
        return self.connection.execute(statement, values).fetchone()

    # --------------------------------------------------------------------- rows
    def _rows(self, after: int, largest: int) -> _Piece:
        piece = _Piece([], after)
        size = 0
        try:
            for values in self.connection.execute(self.schema.rows, (after, largest)):
                self._add(piece, values)
                size += sum(len(value) for value in values if isinstance(value, (str, bytes)))
                if size >= _CHUNK_CHARACTERS or monotonic() >= self.end:
                    return piece
        except sqlite3.Error as error:
            if not (piece.rows and _code(error) == sqlite3.SQLITE_INTERRUPT):
                if _code(error) != sqlite3.SQLITE_TOOBIG:
                    raise
                self._add_in_parts(piece)
            return piece
        piece.more = len(piece.rows) >= largest
        return piece

    def _add(self, piece: _Piece, values: Sequence[object]) -> None:
        row = to_row(dict(zip(self.schema.columns, values, strict=True)), self.zone)
        piece.rows.append(row)
        piece.last_id = row.id

    def _add_in_parts(self, piece: _Piece) -> None:
        """The row after the last one has a value that is not held at once: cut it, else leave it out."""
        row_id, is_tool, is_user = self._one(
            "SELECT id, role = 'tool', role = 'user' FROM messages WHERE id > ? ORDER BY id LIMIT 1",
            piece.last_id,
        )
        try:
            values = self._one(self.schema.rows_in_parts, row_id - 1, 1)
            if is_tool or is_user:
                with self.connection.blobopen(
                    "messages", "content", row_id, readonly=True
                ) as content:
                    most = LONGEST_CONTENT if is_tool else GIST_BYTES
                    values = (*values[:-1], content.read(most))
            self._add(piece, values)
        except sqlite3.DataError:
            piece.skipped += 1
        piece.last_id = row_id

    def _restart(self, cursor: StateDbCursor, highest: int) -> str | None:
        """Why the rows must be read from the first one again: this is not what was read before.

        Deleted rows, and a file that was vacuumed or moved, do not matter: `AUTOINCREMENT` gives no
        id twice. Reading again is safe, every call is known by what is remembered of it; so in doubt.
        """
        if cursor.last_id == 0:
            return None
        sequence = highest
        if is_table(self.connection, "sqlite_sequence"):
            row = self._one("SELECT seq FROM sqlite_sequence WHERE name = 'messages'")
            sequence = max(highest, row[0] if row and isinstance(row[0], int) else 0)
        if sequence < cursor.last_id:
            return "ids_went_back"
        if cursor.last_session == 0:
            return None
        values = self._one(self.schema.rows_in_parts, cursor.last_id - 1, 1)
        if values is None or values[0] != cursor.last_id:
            return None
        row = to_row(dict(zip(self.schema.columns, values, strict=True)), self.zone)
        same = row.at == cursor.last_at and hash_text(row.session_id) == cursor.last_session
        return None if same else "other_rows"

    # ----------------------------------------------------------------- sessions
    def _fetch_sessions(self, piece: _Piece) -> None:
        """Look the sessions of rows up; where the time is over, only rows with a known one stay."""
        try:
            for row in piece.rows:
                self._fetch_session(row.session_id)
        except sqlite3.OperationalError as error:
            known = next(
                (n for n, row in enumerate(piece.rows) if row.session_id not in self.sessions), 0
            )
            if _code(error) != sqlite3.SQLITE_INTERRUPT or not known:
                raise
            del piece.rows[known:]
            piece.last_id, piece.more, piece.skipped = piece.rows[-1].id, True, 0

    def _fetch_session(self, session_id: str) -> None:
        for _ in range(_LONGEST_CHAIN):
            if session_id in self.sessions:
                return
            values = self._one(self.schema.session, session_id)
            if values is None:
                self.sessions[session_id] = SessionRow(session_id)
                return
            session = to_session(
                dict(zip(self.schema.session_columns, values, strict=True)),
                self._usage(session_id),
                self.zone,
            )
            session.spent = spent_in(self.connection, self.schema, session_id) or session.spent
            self.sessions[session_id] = session
            if session.parent is None:
                return
            session_id = session.parent

    def _usage(self, session_id: str) -> tuple[tuple[str, float, float], ...]:
        if self.schema.usage is None:
            return ()
        return tuple(
            (model, first, last)
            for model, first, last in self.connection.execute(self.schema.usage, (session_id,))
            if isinstance(model, str) and isinstance(first, float) and isinstance(last, float)
        )


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
