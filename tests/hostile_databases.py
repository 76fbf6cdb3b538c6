"""Makes `state.db` files that a hostile owner may leave: each with a name and what has to be said of it."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from tests.contract.state_db_corpus import CORPUS

CASE: Final = CORPUS / "s01_terminal_exit_codes" / "state.db"

_MESSAGES: Final = (
    "id, session_id, role, content, tool_call_id, tool_calls, tool_name, effect_disposition,"
    " timestamp, active"
)
_ENDLESS: Final = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id, 's' AS"
    " session_id, 'tool' AS role, NULL AS content, NULL AS tool_call_id, NULL AS tool_calls,"
    " NULL AS tool_name, NULL AS effect_disposition, 1.0 AS timestamp, 1 AS active FROM n"
)


def _script(*statements: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript(";".join(("PRAGMA synchronous = OFF", *statements)))

    return make


def _by_ids(kind: str, expression: str) -> Callable[[Path], None]:
    """`messages` made anew with ids of another type."""
    return _script(
        "ALTER TABLE messages RENAME TO m1",
        f"CREATE TABLE messages (id {kind}, {_MESSAGES[4:]})",
        f"INSERT INTO messages SELECT {expression}, {_MESSAGES[4:]} FROM m1",
        "DROP TABLE m1",
    )


def _in_place_of(table: str, statement: str) -> Callable[[Path], None]:
    return _script(
        "PRAGMA legacy_alter_table = ON", f"ALTER TABLE {table} RENAME TO {table}_1", statement
    )


def _bomb(levels: int) -> Callable[[Path], None]:
    """Views that each join the one before with itself: compiling the last one takes 2^levels steps."""
    views = [
        f"CREATE VIEW v{n} AS SELECT a.id FROM v{n - 1} a, v{n - 1} b" for n in range(1, levels)
    ]
    return _script(
        "PRAGMA legacy_alter_table = ON",
        "ALTER TABLE messages RENAME TO m1",
        "CREATE VIEW v0 AS SELECT id FROM m1",
        *views,
        f"CREATE VIEW messages AS SELECT * FROM v{levels - 1}",
    )


def _schema(count: int, what: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            for n in range(count):
                connection.execute(what.format(n))

    return make


def _wide(columns: int) -> Callable[[Path], None]:
    names = ", ".join(f"c{n}" for n in range(columns))
    return _script("ALTER TABLE messages RENAME TO m1", f"CREATE TABLE messages ({names})")


def _sparse(path: Path) -> None:
    os.truncate(path, 10 << 30)


def _bytes(find: bytes, put: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        data = path.read_bytes()
        assert find in data
        path.write_bytes(data.replace(find, put))

    return make


def _fifo(end: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        beside = path.with_name(path.name + end)
        beside.unlink(missing_ok=True)
        os.mkfifo(beside)

    return make


def _only_magic(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def _other_time(path: Path) -> None:
    os.utime(path, ns=((1 << 63) - 1, (1 << 63) - 1))
    _only_magic(path)
    os.utime(path, ns=((1 << 63) - 1, (1 << 63) - 1))


REFUSED: Final[dict[str, tuple[Callable[[Path], None], set[str]]]] = {
    "text ids": (_by_ids("TEXT", "'abc' || id"), {"unknown_schema"}),
    "blob ids": (_by_ids("BLOB", "CAST(id AS BLOB)"), {"unknown_schema"}),
    "infinite ids": (_by_ids("REAL", "9e999"), {"unknown_schema"}),
    "ids that are nothing": (_by_ids("INTEGER", "NULL"), {"unknown_schema"}),
    "ids without rows": (
        _in_place_of(
            "messages",
            f"CREATE TABLE messages (id INTEGER PRIMARY KEY, {_MESSAGES[4:]}) WITHOUT ROWID",
        ),
        {"unknown_schema"},
    ),
    "an endless view": (
        _in_place_of("messages", f"CREATE VIEW messages AS {_ENDLESS}"),
        {"unknown_schema"},
    ),
    "an endless view of sessions": (
        _in_place_of("sessions", f"CREATE VIEW sessions AS {_ENDLESS}"),
        {"unknown_schema"},
    ),
    "an endless view of the version": (
        _in_place_of("schema_version", f"CREATE VIEW schema_version AS {_ENDLESS}"),
        {"unknown_schema"},
    ),
    "a view that calls itself": (
        _in_place_of("messages", "CREATE VIEW messages AS SELECT * FROM messages"),
        {"unknown_schema"},
    ),
    "a bomb of views": (_bomb(30), {"unknown_schema"}),
    "a virtual table": (
        _in_place_of("messages", f"CREATE VIRTUAL TABLE messages USING fts5({_MESSAGES})"),
        {"unknown_schema"},
    ),
    "a generated column": (
        _in_place_of(
            "messages",
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, session_id, tool_call_id, tool_calls,"
            " timestamp, role AS (hex(zeroblob(1000000)) LIKE '%1%1%1%1%'))",
        ),
        {"unknown_schema"},
    ),
    "a thousand columns and more": (_wide(1_900), {"damaged"}),
    "a message of SQLite that is no text": (
        _bytes(b"CREATE TABLE sessions", b"CREATE TABL\xff sessions"),
        {"damaged"},
    ),
    "a file of sixteen bytes": (_only_magic, {"damaged"}),
    "a time that no number holds": (_other_time, {"damaged"}),
    "a FIFO for a -wal": (_fifo("-wal"), {"not_regular"}),
    "a FIFO for a -shm": (_fifo("-shm"), {"not_regular"}),
    "a FIFO for a journal": (_fifo("-journal"), {"not_regular"}),
    "a FIFO": (_fifo(""), {"not_regular"}),
}
"""What cannot be read: how it is made, and which codes say so."""

READ: Final[dict[str, Callable[[Path], None]]] = {
    "a trigger": _script(
        "CREATE TRIGGER t AFTER INSERT ON messages BEGIN DELETE FROM sessions; END"
    ),
    "an endless view beside": _script(f"CREATE VIEW other AS {_ENDLESS}"),
    "two thousand tables beside": _schema(2_000, "CREATE TABLE t{} (a)"),
    "ten gigabytes of nothing": _sparse,
    "an index that is a program": _script(
        "CREATE INDEX i ON messages (replace(hex(id), '0', 'oo'))"
    ),
    "an endless usage": _in_place_of(
        "session_model_usage",
        "CREATE TABLE session_model_usage (session_id, model, first_seen, last_seen)",
    ),
}
"""What is odd and honest enough to be read: every call of the case is counted."""
