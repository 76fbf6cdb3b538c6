"""Hermes' own `state.db`, read-only in the strict sense: no lock kept, no file made, none removed.

A connection lives for one slice. While one is open, an agent that ends cannot clear its `-wal` away;
so nothing is kept open between slices, and whether there is news is asked of the file system alone
(`state_db_open.look`). Whatever was read is known again by times and ids, so any doubt is met by
reading from the first row once more.
"""

import sqlite3
from contextlib import suppress
from datetime import tzinfo
from typing import Final, NamedTuple

import msgspec

from timmyd.clock import monotonic
from timmyd.core.counting.identity import hash_text
from timmyd.errors import SessionError
from timmyd.sources.state_db_open import (
    Found,
    guarded,
    look,
    maybe_stat,
    opened,
    options_for,
)
from timmyd.sources.state_db_rows import Row, SessionRow, to_row, to_session
from timmyd.sources.state_db_schema import Schema, probe
from timmyd.sources.times import moment

READ_S: Final = 0.05
"""How long one read may hold the database, in seconds."""

PASSING: Final = frozenset({"locked", "busy", "replaced"})
"""Codes of what passes by itself."""

_OPS_BETWEEN_LOOKS: Final = 2_000
_FETCH: Final = 64
_CHUNK_ROWS: Final = 4_000
_CHUNK_CHARACTERS: Final = 8_000_000
_LONGEST_CHAIN: Final = 1_000


class Cursor(msgspec.Struct, kw_only=True):
    """How far a database was read, and by what it is known again.

    Attributes:
        last_id: Messages up to this id were read.
        last_at: Time of that message.
        last_session: Hash of its session id.
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
    """

    rows: list[Row]
    sessions: dict[str, SessionRow]
    cursor: Cursor
    more: bool
    schema: Schema
    restarted: str | None
    highest_id: int


def read(
    path: str,
    header: bytes,
    found: Found,
    cursor: Cursor | None,
    *,
    read_s: float = READ_S,
    largest_rows: int = _CHUNK_ROWS,
    zone: tzinfo | None = None,
) -> Chunk:
    """Read the next piece of a database.

    Args:
        path: Absolute, its directories trusted; what SQLite opened there is checked to be `found`.
        header: The first `HEADER_BYTES` of the file.
        found: How it lay there when it was checked.
        cursor: Where the last piece ended, None to begin.
        read_s: The time that the database may be held.
        largest_rows: The most rows of a piece.
        zone: In which times without one are meant; None for the machine's own.

    Raises:
        SessionError: `locked` and `busy` pass by themselves; `replaced` is another file by now;
            anything else stays until the file changes.
    """
    try:
        options = options_for(header, found)
        with guarded(), opened(path, found, options, read_s) as connection:
            chunk = _read(connection, found, cursor or Cursor(), read_s, largest_rows, zone)
    except SessionError as error:
        if error.code not in PASSING and _has_changed(path, found):
            raise SessionError("busy", "file", "it changed while it was read") from error
        raise
    if found.is_closed and maybe_stat(path + "-wal") != found.wal:
        raise SessionError("busy", "file", "an agent began to write while it was read")
    return chunk


def _has_changed(path: str, found: Found) -> bool:
    try:
        return look(path) != found
    except OSError:
        return True


def _read(
    connection: sqlite3.Connection,
    found: Found,
    cursor: Cursor,
    read_s: float,
    largest_rows: int,
    zone: tzinfo | None,
) -> Chunk:
    end = monotonic() + read_s
    schema = probe(connection)
    highest = connection.execute("SELECT max(id) FROM messages").fetchone()[0] or 0
    restarted = _restart(connection, cursor, int(highest), zone)
    after = 0 if restarted else cursor.last_id
    connection.set_progress_handler(_Watch(end), _OPS_BETWEEN_LOOKS)
    rows, more = _rows(connection, schema, after, end, largest_rows, zone)
    connection.set_progress_handler(None, 0)
    sessions: dict[str, SessionRow] = {}
    for row in rows:
        _fetch_session(connection, schema, row.session_id, sessions, zone)
    cursor = Cursor(
        last_id=after,
        last_at=None if restarted else cursor.last_at,
        last_session=0 if restarted else cursor.last_session,
        device=found.file[0],
        inode=found.file[1],
        restarts=cursor.restarts + (restarted is not None),
    )
    if rows:
        cursor.last_id, cursor.last_at = rows[-1].id, rows[-1].at
        cursor.last_session = hash_text(rows[-1].session_id)
    return Chunk(rows, sessions, cursor, more, schema, restarted, int(highest))


class _Watch:
    """Asks SQLite to stop once the time is over, but never before it gave something."""

    def __init__(self, end: float) -> None:
        self.end = end

    def __call__(self) -> int:
        return int(monotonic() >= self.end)


def _rows(
    connection: sqlite3.Connection,
    schema: Schema,
    after: int,
    end: float,
    largest: int,
    zone: tzinfo | None,
) -> tuple[list[Row], bool]:
    rows: list[Row] = []
    characters = 0
    try:
        result = connection.execute(schema.rows, (after, largest))
        while values := result.fetchmany(_FETCH):
            for value in values:
                rows.append(to_row(dict(zip(schema.columns, value, strict=True)), zone))
                content = value[-1]
                characters += len(content) if isinstance(content, (str, bytes)) else 0
            if len(rows) >= largest:
                return rows, True
            if monotonic() >= end or characters >= _CHUNK_CHARACTERS:
                return rows, True
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_INTERRUPT or not rows:
            raise
        return rows, True
    return rows, False


def _restart(
    connection: sqlite3.Connection, cursor: Cursor, highest: int, zone: tzinfo | None
) -> str | None:
    """Why the rows must be read from the first one again: this is not what was read before.

    Deleted rows, and a file that was vacuumed or moved, do not matter: `AUTOINCREMENT` gives no
    id twice. Reading again is safe, every call is known by what is remembered of it; so in doubt.
    """
    if cursor.last_id == 0:
        return None
    sequence = highest
    with suppress(sqlite3.OperationalError):
        row = connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'messages'"
        ).fetchone()
        sequence = max(highest, row[0] if row and isinstance(row[0], int) else 0)
    if sequence < cursor.last_id:
        return "ids_went_back"
    row = connection.execute(
        "SELECT session_id, timestamp FROM messages WHERE id = ?", (cursor.last_id,)
    ).fetchone()
    if row is None:
        return None
    same = moment(row[1], zone) == cursor.last_at and hash_text(str(row[0])) == cursor.last_session
    return None if same else "other_rows"


def _fetch_session(
    connection: sqlite3.Connection,
    schema: Schema,
    session_id: str,
    into: dict[str, SessionRow],
    zone: tzinfo | None,
) -> None:
    for _ in range(_LONGEST_CHAIN):
        if session_id in into:
            return
        values = connection.execute(schema.session, (session_id,)).fetchone()
        if values is None:
            into[session_id] = SessionRow(session_id)
            return
        session = to_session(
            dict(zip(schema.session_columns, values, strict=True)),
            _usage(connection, schema, session_id),
            zone,
        )
        into[session_id] = session
        if session.parent is None:
            return
        session_id = session.parent


def _usage(
    connection: sqlite3.Connection, schema: Schema, session_id: str
) -> tuple[tuple[str, float, float], ...]:
    if schema.usage is None:
        return ()
    return tuple(
        (model, first, last)
        for model, first, last in connection.execute(schema.usage, (session_id,))
        if isinstance(model, str) and isinstance(first, float) and isinstance(last, float)
    )
