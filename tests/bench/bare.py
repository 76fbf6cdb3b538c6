"""What timmyd is measured against: the bare pipeline, an engine that commits per record, DuckDB."""

import json
import sqlite3
import subprocess
import time
import venv
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from timmyd.core.tasks import TaskTable
from timmyd.engine.facts import Describer, judge_result
from timmyd.house.outcome import OUTCOMES
from timmyd.sources.snapshot import decode
from timmyd.store import statements
from timmyd.store.rollups import Fold
from timmyd.store.rows import insert_executions, signature_key
from timmyd.store.schema import MIGRATIONS

_ROWS_A_TRANSACTION = 20_000


def bare_pipeline(folder: Path, database: Path) -> tuple[int, float]:
    """Typed decode + outcome + the same rows in large transactions, no service: (rows, CPU s)."""
    began = time.process_time()
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    describe = Describer(TaskTable.default())
    combos: dict[tuple[str, ...], int] = {}
    rows: list[tuple[object, ...]] = []
    total = 0

    def flush() -> None:
        fold = Fold()
        fold.add(rows)
        names = {combo: (parts[3], parts[4]) for parts, combo in combos.items()}
        connection.execute("BEGIN")
        many = connection.executemany
        insert_executions(connection, rows)
        many(statements.UPSERT_HOUR, fold.hour_rows())
        many(statements.UPSERT_PATTERN, fold.pattern_rows())
        many(statements.UPSERT_MODEL, fold.model_rows(lambda combo: names[combo]))
        many("INSERT OR IGNORE INTO joins VALUES (?, ?)", [(row[0], 1) for row in rows])
        connection.execute("COMMIT")
        rows.clear()

    for path in sorted(folder.iterdir()):
        session = decode(path.read_bytes(), again=False)
        at, model = session.updated_at or 0.0, session.model or ""
        for call in session.calls:
            total += 1
            facts = describe(call)
            outcome = OUTCOMES.index(judge_result(call.tool, call.content).outcome)
            parts = ("timmy", facts.tool, facts.shape, model, facts.task_type)
            combo = combos.setdefault(parts, len(combos))
            signature = signature_key(facts.signature)
            known = (total, at, 1, combo, signature, outcome, 1, 0, 2, 1)
            rows.append((*known, None, None, None, None, None, None))
        if len(rows) >= _ROWS_A_TRANSACTION:
            flush()
    flush()
    connection.close()
    return total, time.process_time() - began


_RECORD_TABLES = (
    """CREATE TABLE executions (id INTEGER PRIMARY KEY, at REAL, hour_of_day INTEGER, day_of_week INTEGER,
        tool TEXT, params TEXT, house TEXT, model TEXT, task TEXT, ok INTEGER, latency_ms REAL)""",
    "CREATE INDEX executions_by_time ON executions (at)",
    """CREATE TABLE patterns (tool TEXT, params TEXT, house TEXT, model TEXT, n INTEGER, ok INTEGER,
        latency_ms REAL, last_at REAL, PRIMARY KEY (tool, params, house, model))""",
    """CREATE TABLE models (model TEXT, task TEXT, n INTEGER, ok INTEGER, latency_ms REAL, last_at REAL,
        PRIMARY KEY (model, task))""",
)


def per_record_engine(folder: Path, database: Path, most: int) -> tuple[int, float]:
    """What the engine that timmyd replaces does: (rows, CPU s).

    json.load of a file; then for each record connect, insert it, read its pattern and its model's
    sums and write them back, commit, close.
    """
    began = time.process_time()
    total = 0
    connection = sqlite3.connect(database)
    for statement in _RECORD_TABLES:
        connection.execute(statement)
    connection.commit()
    connection.close()
    for path in sorted(folder.iterdir()):
        data = json.loads(path.read_text(encoding="utf-8"))
        arguments = {
            call["id"]: call["function"]["arguments"]
            for message in data["messages"]
            for call in message.get("tool_calls", ())
        }
        for message in data["messages"]:
            if message["role"] != "tool":
                continue
            total += 1
            result = json.loads(message["content"])
            ok = int(not result.get("error") and not result.get("exit_code"))
            params = json.loads(arguments[message["tool_call_id"]])
            digest = sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:16]
            _record(database, message["name"], digest, data["model"], ok)
            if total >= most:
                return total, time.process_time() - began
    return total, time.process_time() - began


def _record(database: Path, tool: str, params: str, model: str, ok: int) -> None:
    now = time.time()
    when = datetime.fromtimestamp(now, UTC)
    connection = sqlite3.connect(database)
    execute = connection.execute
    execute(
        "INSERT INTO executions (at, hour_of_day, day_of_week, tool, params, house, model, task, ok, latency_ms)"
        " VALUES (?, ?, ?, ?, ?, 'timmy', ?, 'other', ?, 0)",
        (now, when.hour, when.weekday(), tool, params, model, ok),
    )
    for table, columns, key in (
        ("patterns", ("tool", "params", "house", "model"), (tool, params, "timmy", model)),
        ("models", ("model", "task"), (model, "other")),
    ):
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        same = f"({names}) = ({marks})"
        row = execute(f"SELECT n, ok FROM {table} WHERE {same}", key).fetchone()
        if row is None:
            execute(
                f"INSERT INTO {table} ({names}, n, ok, latency_ms, last_at) VALUES ({marks}, 1, ?, 0, ?)",
                (*key, ok, now),
            )
        else:
            execute(
                f"UPDATE {table} SET n = ?, ok = ?, latency_ms = 0, last_at = ? WHERE {same}",
                (row[0] + 1, row[1] + ok, now, *key),
            )
    connection.commit()
    connection.close()


_DUCKDB = """
import duckdb, json, resource, sys
connection = duckdb.connect()
connection.execute("SET threads = 1; SET enable_progress_bar = false")
rows = connection.execute('''
    WITH m AS (SELECT session_id, unnest(messages) AS message FROM read_json(?, maximum_object_size = 1000000000,
        columns = {session_id: 'VARCHAR', model: 'VARCHAR',
                   messages: 'STRUCT(role VARCHAR, name VARCHAR, content VARCHAR, tool_call_id VARCHAR)[]'}))
    SELECT message.name, count(*), count(*) FILTER (
        coalesce(try_cast(json_extract(message.content, '$.exit_code') AS INTEGER), 0) = 0
        AND json_extract_string(message.content, '$.error') IS NULL)
    FROM m WHERE message.role = 'tool' GROUP BY 1''', [sys.argv[1] + "/*.json"]).fetchall()
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([sum(row[1] for row in rows), usage.ru_utime + usage.ru_stime]))
"""


def duckdb_group_by(folder: Path, environment: Path) -> tuple[int, float]:
    """DuckDB's read_json with a group-by, one thread, in an environment of its own: (rows, CPU s)."""
    python = environment / "bin" / "python"
    if not (environment / "ready").exists():
        venv.create(environment, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "duckdb"], check=True)
        (environment / "ready").touch()
    made = subprocess.run(
        [python, "-c", _DUCKDB, str(folder)], check=True, capture_output=True, text=True
    )
    rows, cpu_s = json.loads(made.stdout.strip().splitlines()[-1])
    return rows, cpu_s


def loads_and_diff(data: bytes, known: set[str]) -> tuple[int, float]:
    """json.loads of a whole snapshot and a look which calls are new: (new calls, CPU s)."""
    began = time.process_time()
    messages = json.loads(data)["messages"]
    new = [
        call["id"]
        for message in messages
        for call in message.get("tool_calls", ())
        if call["id"] not in known
    ]
    return len(new), time.process_time() - began
