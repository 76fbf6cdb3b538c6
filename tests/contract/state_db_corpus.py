"""What the tests of the `state_db` source share: the corpus, and small ways to read it."""

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from timmyd.core.model import Execution
from timmyd.core.tasks import TaskTable
from timmyd.engine.ingest import Ingest
from timmyd.engine.ingest_rows import RowIngest
from timmyd.engine.intake import Cursor as FileCursor, Origin
from timmyd.sources import state_db
from timmyd.sources.state_db import Chunk, StateDbCursor
from timmyd.sources.state_db_open import HEADER_BYTES, look
from timmyd.store.database import PatternDatabase

CORPUS = Path(__file__).parents[1] / "data" / "corpus"
CASES = sorted(path.name for path in CORPUS.iterdir() if (path / "state.db").exists())
NOW = 1_795_500_000.0

INGEST = Ingest(tasks=TaskTable.default())
ROWS = RowIngest(INGEST)
Counts = Counter[tuple[str, str]]


def open_store() -> PatternDatabase:
    return PatternDatabase(":memory:", clock=lambda: NOW)


def truth(case: str) -> Counts:
    """(tool, outcome) of every call that the model asked for; what ran inside a script is left out."""
    lines = (CORPUS / case / "truth.jsonl").read_text().splitlines()
    calls = [json.loads(line) for line in lines]
    return Counter(
        (call["tool"] or "invalid_tool_call", call.get("outcome", "rejected"))
        for call in calls
        if not call.get("inner")
    )


def executions(store: PatternDatabase) -> list[Execution]:
    return store.executions_after(0, 100_000)


def counts(store: PatternDatabase) -> Counts:
    return Counter((found.tool, found.outcome) for found in executions(store))


def header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_BYTES)


def read_once(path: Path, cursor: StateDbCursor | None, *, rows: int = 4_000) -> Chunk:
    return state_db.read(
        str(path), header(path), look(str(path)), cursor, read_s=5.0, largest_rows=rows
    )


def chunks(
    path: Path, *, rows: int = 4_000, cursor: StateDbCursor | None = None
) -> Iterator[Chunk]:
    while True:
        chunk = read_once(path, cursor, rows=rows)
        cursor = chunk.cursor
        yield chunk
        if not chunk.more:
            return


def take(store: PatternDatabase, chunk: Chunk, *, home: str = "home") -> tuple[int, int, int]:
    origin = Origin(home, "timmy", "state_db", "state.db", NOW, NOW)
    with store.batch() as batch:
        taken = ROWS.take(
            batch, origin, chunk.rows, chunk.sessions, times_tell=chunk.schema.each_call
        )
    return taken.executions, taken.duplicates, taken.amended


def take_rows(store: PatternDatabase, path: Path, *, rows: int = 4_000) -> None:
    for chunk in chunks(path, rows=rows):
        take(store, chunk)


def take_snapshots(store: PatternDatabase, case: str) -> None:
    """Every version of every snapshot, in the order in which Hermes wrote them."""
    cursors: dict[str, FileCursor | None] = {}
    for version in sorted((CORPUS / case / "versions").iterdir()):
        name = re.sub(r"^\d+-", "", version.name)
        document = json.loads(version.read_bytes())
        written_at = _local(document["last_updated"])
        origin = Origin("home", "timmy", "snapshot", name, written_at, NOW)
        with store.batch() as batch:
            taken = INGEST.take(batch, origin, version.read_bytes(), cursors.get(name))
        cursors[name] = taken.cursor


def _local(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def grow(source: Path, target: Path) -> Iterator[int]:
    """Copy a database message by message, as an agent would have written it; yields after each."""
    origin = sqlite3.connect(f"{source.as_uri()}?mode=ro&immutable=1", uri=True)
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        for (statement,) in origin.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
        ):
            copy.execute(statement)
        copy.execute("INSERT INTO schema_version SELECT 22")
        sessions = {row[0]: row for row in origin.execute("SELECT * FROM sessions")}
        seen: set[str] = set()
        for row in origin.execute("SELECT * FROM messages ORDER BY id").fetchall():
            if row[1] not in seen:
                seen.add(row[1])
                values = sessions[row[1]]
                marks = ", ".join("?" * len(values))
                copy.execute(f"INSERT INTO sessions VALUES ({marks})", values)
            copy.execute(f"INSERT INTO messages VALUES ({', '.join('?' * len(row))})", row)
            yield int(row[0])
    finally:
        origin.close()
        copy.close()
