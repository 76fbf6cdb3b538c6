"""What a `state.db` has: its columns are probed, never assumed, so that one reader fits all versions."""

import sqlite3
from typing import Final

import msgspec

from timmyd.errors import SessionError

NEWEST_KNOWN: Final = 31
"""The newest `schema_version` that was tried; a newer one is read by its columns all the same."""

LONGEST_CONTENT: Final = 1_000_000
"""Bytes of a result that are read; Hermes itself cuts results far below that."""

_GIST_BYTES: Final = 512
"""Bytes of a user's message that are read, to know a conversation that is written again."""

_MUST: Final = {
    "messages": ("id", "session_id", "role", "tool_calls", "tool_call_id", "timestamp"),
    "sessions": ("id",),
}
_MESSAGE_MAY: Final = ("tool_name", "effect_disposition", "message_uid")
_SESSION_MAY: Final = (
    "model",
    "model_config",
    "parent_session_id",
    "started_at",
    "end_reason",
    "source",
)
_USAGE_MUST: Final = ("session_id", "model", "first_seen", "last_seen")


class Schema(msgspec.Struct, frozen=True):
    """The statements that fit one database.

    Attributes:
        version: Its `schema_version`, None if it has none.
        cookie: SQLite's own counter of schema changes.
        columns: The columns that `rows` gives, in order.
        rows: Messages with a greater id, in order; parameters: id, limit.
        session_columns: The columns that `session` gives, in order.
        session: One session; parameter: its id.
        usage: The models of one session, None where that is not recorded.
        each_call: Rows are written call by call, so their times mean something (0.17 and later).
    """

    version: int | None
    cookie: int
    columns: tuple[str, ...]
    rows: str
    session_columns: tuple[str, ...]
    session: str
    usage: str | None
    each_call: bool

    @property
    def is_newer(self) -> bool:
        """Whether this version of Hermes is newer than those that were tried."""
        return self.version is not None and self.version > NEWEST_KNOWN


def probe(connection: sqlite3.Connection) -> Schema:
    """Find out what a database has.

    Raises:
        SessionError: `empty`: no table at all; `foreign`: it is not Hermes'; `unknown_schema`: it
            lacks a column that nothing can replace.
    """
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if not tables:
        raise SessionError("empty", "tables", "expected Hermes' tables, found none yet")
    missing = [table for table in _MUST if table not in tables]
    if missing:
        raise SessionError(
            "foreign", "tables", f"expected Hermes' tables, found no `{missing[0]}` among them"
        )
    has = {table: _columns(connection, table) for table in _MUST}
    for table, columns in _MUST.items():
        lacking = [column for column in columns if column not in has[table]]
        if lacking:
            raise SessionError(
                "unknown_schema", table, f"expected a column `{lacking[0]}`, found none"
            )
    messages, sessions = has["messages"], has["sessions"]
    may = tuple(column for column in _MESSAGE_MAY if column in messages)
    columns = (*_MUST["messages"], *may, "content")
    content = "NULL"
    if "content" in messages:
        # as a BLOB: substr() of a TEXT ends at its first NUL, with which Hermes marks a list
        content = (
            f"CASE role WHEN 'tool' THEN substr(CAST(content AS BLOB), 1, {LONGEST_CONTENT})"
            f" WHEN 'user' THEN substr(CAST(content AS BLOB), 1, {_GIST_BYTES}) END"
        )
    session_columns = ("id", *(column for column in _SESSION_MAY if column in sessions))
    return Schema(
        version=_version(connection, tables),
        cookie=int(connection.execute("PRAGMA schema_version").fetchone()[0]),
        columns=columns,
        rows=f"SELECT {', '.join(columns[:-1])}, {content} FROM messages"  # noqa: S608 - constants
        " WHERE id > ? ORDER BY id LIMIT ?",
        session_columns=session_columns,
        session=f"SELECT {', '.join(session_columns)} FROM sessions WHERE id = ?",  # noqa: S608 - constants
        usage=_usage(connection, tables),
        each_call="active" in messages,
    )


def _columns(connection: sqlite3.Connection, table: str) -> frozenset[str]:
    return frozenset(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))


def _version(connection: sqlite3.Connection, tables: set[str]) -> int | None:
    if "schema_version" not in tables:
        return None
    try:
        row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    except sqlite3.OperationalError:
        return None
    return row[0] if isinstance(row[0], int) else None


def _usage(connection: sqlite3.Connection, tables: set[str]) -> str | None:
    if "session_model_usage" not in tables:
        return None
    columns = _columns(connection, "session_model_usage")
    if any(column not in columns for column in _USAGE_MUST):
        return None
    main = " AND task = ''" if "task" in columns else ""
    return (
        "SELECT model, min(first_seen), max(last_seen) FROM session_model_usage"  # noqa: S608 - constants
        f" WHERE session_id = ?{main} GROUP BY model ORDER BY 2"
    )
