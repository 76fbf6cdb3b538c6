"""What a `state.db` has: its columns are probed, never assumed, so that one reader fits all versions."""

import sqlite3
from typing import Final

import msgspec

from timmyd.errors import SessionError

NEWEST_KNOWN: Final = 31
"""The newest `schema_version` that was tried; a newer one is read by its columns all the same."""

LONGEST_CONTENT: Final = 1_000_000
"""Bytes of a result that are read; Hermes itself cuts results far below that."""

GIST_BYTES: Final = 512
"""Bytes of a user's message that are read, to know a conversation that is written again."""

_LONGEST: Final[dict[str, int | None]] = {"id": None, "tool_calls": None, "model_config": 100_000}
_LONGEST_TEXT: Final = 1_000
"""Characters of ids, names and times that are read."""

_MUST: Final = {
    "messages": ("id", "session_id", "role", "tool_calls", "tool_call_id", "timestamp"),
    "sessions": ("id",),
}
_MESSAGE_MAY: Final = ("tool_name", "effect_disposition", "message_uid")
SPENT: Final = (
    "api_call_count",
    "input_tokens",
    "output_tokens",
    "actual_cost_usd",
    "estimated_cost_usd",
)
"""What a session used, in its row or by its models."""

_SESSION_MAY: Final = (
    "model",
    "model_config",
    "parent_session_id",
    "started_at",
    "end_reason",
    "source",
    "ended_at",
    *SPENT,
)
_USAGE_MUST: Final = ("session_id", "model", "first_seen", "last_seen")
_MODELS_MOST: Final = 100
_NO_TABLE: Final = "no such table"
_NO_VALUE: Final = ("no such column", "no such rowid")


class Schema(msgspec.Struct, frozen=True):
    """The statements that fit one database.

    Attributes:
        version: Its `schema_version`, None if it has none.
        cookie: SQLite's own counter of schema changes.
        columns: The columns that `rows` gives, in order.
        rows: Messages with a greater id, in order; parameters: id, limit.
        rows_in_parts: The same without contents, for rows that are too large to hold.
        session_columns: The columns that `session` gives, in order.
        session: One session; parameter: its id.
        usage: The models of one session, None where that is not recorded.
        spent: What one session used of each model, None where that is not recorded.
        each_call: Rows are written call by call, so their times mean something (0.17 and later).
    """

    version: int | None
    cookie: int
    columns: tuple[str, ...]
    rows: str
    rows_in_parts: str
    session_columns: tuple[str, ...]
    session: str
    usage: str | None
    spent: str | None
    each_call: bool

    @property
    def is_newer(self) -> bool:
        """Whether this version of Hermes is newer than those that were tried."""
        return self.version is not None and self.version > NEWEST_KNOWN


def probe(connection: sqlite3.Connection) -> Schema:
    """Find out what a database has. Only real tables count: a view can be a program without an end.

    Raises:
        SessionError: `empty`: no table at all; `foreign`: it is not Hermes'; `unknown_schema`: it
            lacks a column that nothing can replace, or something else stands in a table's place.
    """
    if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None:
        raise SessionError("empty", "tables", "expected Hermes' tables, found none yet")
    has = {table: _columns(connection, table) for table in _MUST}
    for table, found in has.items():
        if found is None:
            raise SessionError(
                "foreign", "tables", f"expected Hermes' tables, found no `{table}` among them"
            )
        if lacking := [column for column in _MUST[table] if column not in found]:
            raise SessionError(
                "unknown_schema", table, f"expected a column `{lacking[0]}`, found none"
            )
    messages, sessions = has["messages"] or {}, has["sessions"] or {}
    if not messages["id"]:
        raise SessionError(
            "unknown_schema", "messages.id", "expected INTEGER PRIMARY KEY, found another column"
        )
    may = tuple(column for column in _MESSAGE_MAY if column in messages)
    columns = (*_MUST["messages"], *may, "content")
    session_columns = ("id", *(column for column in _SESSION_MAY if column in sessions))
    return Schema(
        version=_version(connection),
        cookie=int(connection.execute("PRAGMA schema_version").fetchone()[0]),
        columns=columns,
        rows=_rows(columns[:-1], has_content="content" in messages),
        rows_in_parts=_rows(columns[:-1], has_content=False),
        session_columns=session_columns,
        session=f"SELECT {_cut(session_columns)} FROM sessions WHERE id = ?",  # noqa: S608 - constants
        usage=_usage(connection),
        spent=_spent(connection),
        each_call="active" in messages,
    )


def _rows(columns: tuple[str, ...], *, has_content: bool) -> str:
    content = "NULL"
    if has_content:
        # as a BLOB: substr() of a TEXT ends at its first NUL, with which Hermes marks a list
        content = (
            f"CASE role WHEN 'tool' THEN substr(CAST(content AS BLOB), 1, {LONGEST_CONTENT})"
            f" WHEN 'user' THEN substr(CAST(content AS BLOB), 1, {GIST_BYTES}) END"
        )
    return (
        f"SELECT {_cut(columns)}, {content} FROM messages"  # noqa: S608 - constants
        " WHERE id > ? ORDER BY id LIMIT ?"
    )


def _cut(columns: tuple[str, ...]) -> str:
    """The columns, texts in them no longer than anything honest is."""
    longest = {column: _LONGEST.get(column, _LONGEST_TEXT) for column in columns}
    return ", ".join(
        column
        if most is None
        else f"iif(typeof({column}) IN ('text', 'blob'), substr({column}, 1, {most}), {column})"
        for column, most in longest.items()
    )


def is_table(connection: sqlite3.Connection, table: str) -> bool:
    """Whether this is a real table with rowids; False if there is none.

    Raises:
        SessionError: `unknown_schema`: a view, a virtual table or another thing has its name.
    """
    try:
        # opening a value looks the table up, but compiles nothing; the rowid need not be there
        with connection.blobopen(table, "", -(1 << 63), readonly=True):
            return True
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_ERROR:
            raise
        words = str(error)
    if words.startswith(_NO_TABLE):
        return False
    if words.startswith(_NO_VALUE):
        return True
    raise SessionError("unknown_schema", table, "expected a table, found another thing of its name")


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, bool] | None:
    """The stored columns of a table, and whether each is its INTEGER PRIMARY KEY; None: no table."""
    if not is_table(connection, table):
        return None
    found = connection.execute(f"PRAGMA table_xinfo({table})").fetchall()
    keys = sum(bool(key) for *_, key, _hidden in found)
    return {
        name: keys == 1 and key == 1 and kind.upper() == "INTEGER"
        for _, name, kind, _not_null, _default, key, hidden in found
        if not hidden  # a generated column is a program, too
    }


def _version(connection: sqlite3.Connection) -> int | None:
    columns = _columns(connection, "schema_version")
    if columns is None or "version" not in columns:
        return None
    row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    return row[0] if isinstance(row[0], int) else None


def _usage(connection: sqlite3.Connection) -> str | None:
    columns = _columns(connection, "session_model_usage")
    if columns is None or any(column not in columns for column in _USAGE_MUST):
        return None
    main = " AND task = ''" if "task" in columns else ""
    return (
        "SELECT substr(model, 1, 200), min(first_seen), max(last_seen) FROM session_model_usage"  # noqa: S608 - constants
        f" WHERE session_id = ?{main} GROUP BY model ORDER BY 2 LIMIT {_MODELS_MOST}"
    )


def _spent(connection: sqlite3.Connection) -> str | None:
    columns = _columns(connection, "session_model_usage")
    if columns is None or any(column not in columns for column in (*_USAGE_MUST, *SPENT)):
        return None
    sums = ", ".join(f"sum({column})" for column in SPENT)
    return (
        f"SELECT substr(model, 1, 200), max(last_seen), {sums} FROM session_model_usage"  # noqa: S608 - constants
        f" WHERE session_id = ? GROUP BY model ORDER BY 1 LIMIT {_MODELS_MOST}"
    )
