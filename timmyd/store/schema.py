"""The tables, as append-only migrations; each is committed together with the record of it."""

import sqlite3
from collections.abc import Callable

from timmyd.errors import StoreError

_V1 = (
    # AUTOINCREMENT where ids of removed rows must not come back: others remember them.
    # Interned short strings: homes, rules, error types.
    "CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    # Every combination that is counted; '' stands for an unknown model.
    """CREATE TABLE combos (
        id INTEGER PRIMARY KEY, house TEXT NOT NULL, tool TEXT NOT NULL, shape TEXT NOT NULL,
        model TEXT NOT NULL, task TEXT NOT NULL, UNIQUE (house, tool, shape, model, task))""",
    """CREATE TABLE executions (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, lineage INTEGER NOT NULL, combo INTEGER NOT NULL,
        signature INTEGER NOT NULL, outcome INTEGER NOT NULL, rule INTEGER NOT NULL,
        error_type INTEGER, source INTEGER NOT NULL, flags INTEGER NOT NULL, latency_ms REAL,
        confidence REAL, tokens_in INTEGER, tokens_out INTEGER, cost REAL, policy INTEGER)""",
    # Executions whose outcome came after evidence had passed their row.
    "CREATE TABLE answered (execution INTEGER PRIMARY KEY)",
    """CREATE TABLE files (
        path BLOB PRIMARY KEY, house TEXT NOT NULL, source TEXT NOT NULL, dev INTEGER NOT NULL,
        ino INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, state TEXT NOT NULL,
        reason TEXT, place TEXT, detail TEXT, read_at REAL NOT NULL, cursor BLOB) WITHOUT ROWID""",
    """CREATE TABLE sessions (
        home INTEGER NOT NULL, sid INTEGER NOT NULL, lineage INTEGER NOT NULL,
        PRIMARY KEY (home, sid)) WITHOUT ROWID""",
    "CREATE INDEX sessions_by_lineage ON sessions (lineage)",
    """CREATE TABLE lineages (
        id INTEGER PRIMARY KEY AUTOINCREMENT, house TEXT NOT NULL, started_at REAL, updated_at REAL NOT NULL,
        register BLOB NOT NULL, moved_to INTEGER)""",
    "CREATE INDEX lineages_by_update ON lineages (updated_at)",
    # What tells that a document with a new session id continues a known lineage.
    "CREATE TABLE joins (mark INTEGER PRIMARY KEY, lineage INTEGER NOT NULL)",
    """CREATE TABLE hours (
        hour INTEGER NOT NULL, combo INTEGER NOT NULL, ok INTEGER NOT NULL, error INTEGER NOT NULL,
        timeout INTEGER NOT NULL, blocked INTEGER NOT NULL, cancelled INTEGER NOT NULL,
        rejected INTEGER NOT NULL, unknown INTEGER NOT NULL, latency_n INTEGER NOT NULL,
        latency_ms REAL NOT NULL, confidence_n INTEGER NOT NULL, confidence REAL NOT NULL,
        PRIMARY KEY (hour, combo)) WITHOUT ROWID""",
    """CREATE TABLE latencies (
        hour INTEGER NOT NULL, combo INTEGER NOT NULL, bin INTEGER NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (hour, combo, bin)) WITHOUT ROWID""",
    """CREATE TABLE patterns (
        combo INTEGER NOT NULL, signature INTEGER NOT NULL, calls INTEGER NOT NULL,
        rated INTEGER NOT NULL, ok INTEGER NOT NULL, latency_n INTEGER NOT NULL,
        latency_ms REAL NOT NULL, confidence_n INTEGER NOT NULL, confidence REAL NOT NULL,
        last_at REAL NOT NULL, PRIMARY KEY (combo, signature)) WITHOUT ROWID""",
    """CREATE TABLE models (
        model TEXT NOT NULL, task TEXT NOT NULL, calls INTEGER NOT NULL, rated INTEGER NOT NULL,
        ok INTEGER NOT NULL, latency_n INTEGER NOT NULL, latency_ms REAL NOT NULL,
        tokens_n INTEGER NOT NULL, tokens INTEGER NOT NULL, cost_n INTEGER NOT NULL,
        cost REAL NOT NULL, last_at REAL NOT NULL, PRIMARY KEY (model, task)) WITHOUT ROWID""",
    # The model's own calls and the ends of turns, as telemetry shows them.
    """CREATE TABLE requests (
        hour INTEGER NOT NULL, house TEXT NOT NULL, model TEXT NOT NULL, ok INTEGER NOT NULL,
        failed INTEGER NOT NULL, latency_n INTEGER NOT NULL, latency_ms REAL NOT NULL,
        tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
        PRIMARY KEY (hour, house, model)) WITHOUT ROWID""",
    """CREATE TABLE turns (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, lineage INTEGER NOT NULL, house TEXT NOT NULL,
        completed INTEGER NOT NULL, interrupted INTEGER NOT NULL, policy INTEGER)""",
    """CREATE TABLE adaptations (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, trigger TEXT NOT NULL,
        change_type TEXT NOT NULL, old_value TEXT, new_value TEXT, reason TEXT NOT NULL,
        expected REAL, evidence TEXT NOT NULL)""",
    """CREATE TABLE predictions (
        execution INTEGER PRIMARY KEY, at REAL NOT NULL, probability REAL, reference REAL,
        success INTEGER)""",
    """CREATE TABLE orders (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
        done_at REAL, result TEXT)""",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)

_V2 = (
    # A house belongs to one owner; until its home is seen again nobody is known to own it.
    """CREATE TABLE houses (
        name TEXT PRIMARY KEY, owner TEXT NOT NULL DEFAULT 'unknown', uid INTEGER, claimed TEXT,
        first_seen REAL, state TEXT NOT NULL DEFAULT 'active') WITHOUT ROWID""",
    """INSERT INTO houses (name, first_seen) SELECT c.house, min(h.hour) * 3600.0
        FROM combos c LEFT JOIN hours h ON h.combo = c.id GROUP BY c.house""",
    "CREATE INDEX houses_by_claim ON houses (claimed, owner)",
    """INSERT OR IGNORE INTO houses (name) SELECT house FROM lineages UNION SELECT house FROM requests
        UNION SELECT house FROM turns""",
)

_V3 = (
    # Tokens and money by session (hash of owner and id), model and source; NULL is unknown.
    """CREATE TABLE usage (
        session INTEGER NOT NULL, model TEXT NOT NULL, source INTEGER NOT NULL, house TEXT NOT NULL,
        last_at REAL NOT NULL, requests INTEGER NOT NULL, tokens_in INTEGER, tokens_out INTEGER, cost REAL,
        PRIMARY KEY (session, model, source)) WITHOUT ROWID""",
    "CREATE INDEX usage_by_time ON usage (last_at)",
)

_V4 = (
    # Requests to models by provider and the class of their error, '' for those that were answered.
    """CREATE TABLE providers (
        hour INTEGER NOT NULL, house TEXT NOT NULL, provider TEXT NOT NULL, class TEXT NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (hour, house, provider, class)) WITHOUT ROWID""",
)

_RECORD = "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, at REAL NOT NULL)"

MIGRATIONS: tuple[tuple[str, ...], ...] = (_V1, _V2, _V3, _V4)
"""Append only: entry n brings version n to n + 1. Never edit one that was released."""

VERSION = len(MIGRATIONS)


def migrate(
    connection: sqlite3.Connection, path: str, *, now: float, progress: Callable[[int], None]
) -> None:
    """Bring the database to `VERSION`, one committed step at a time.

    Args:
        connection: In autocommit mode.
        path: For the words of an error.
        now: Unix seconds, recorded with each step.
        progress: Called with the version that a step is about to make.

    Raises:
        StoreError: The database is newer than this program, or is not ours.
    """
    version = current_version(connection, path)
    if version > VERSION:
        check_version(version, path)
    for number in range(version, VERSION):
        progress(number + 1)
        connection.execute("BEGIN IMMEDIATE")
        try:
            if number == 0:
                connection.execute(_RECORD)
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute("INSERT INTO migrations VALUES (?, ?)", (number + 1, now))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite itself undoes it where the disk is full
                connection.execute("ROLLBACK")
            raise


def check_version(version: int, path: str) -> None:
    """Raise unless a database of this schema version can be read as it is.

    Raises:
        StoreError: It is newer, or must be brought up to date first.
    """
    if version > VERSION:
        raise StoreError(
            path,
            f"its schema is version {version}, this timmyd knows up to {VERSION}",
            hint="install the newer timmyd again, or restore a backup made by this one:"
            " timmyd db restore FILE",
        )
    if version < VERSION:
        raise StoreError(
            path,
            f"its schema is version {version}, this timmyd reads {VERSION}",
            hint="start the daemon of this version once; it brings the database up to date",
        )


def current_version(connection: sqlite3.Connection, path: str) -> int:
    """The schema version that the database has, 0 if it is empty; changes nothing.

    Raises:
        StoreError: It holds tables that timmyd did not make.
    """
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if "migrations" not in tables:
        if tables:
            raise _foreign(path)
        return 0
    columns = [row[1] for row in connection.execute("PRAGMA table_info(migrations)")]
    if columns != ["version", "at"]:
        raise _foreign(path)
    version = connection.execute("SELECT max(version) FROM migrations").fetchone()[0]
    if not isinstance(version, int | None):
        raise _foreign(path)
    return version or 0


def _foreign(path: str) -> StoreError:
    return StoreError(
        path,
        "it holds the tables of another program",
        hint="choose another --state, or move the file away",
    )
