"""A Hermes home made for a test: its database, snapshots and telemetry, in whatever shape is wanted."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from timmyd.core.model import Execution
from timmyd.core.tasks import TaskTable
from timmyd.engine.ingest import Ingest
from timmyd.house.shape import describe
from timmyd.store.database import PatternDatabase
from timmyd.tools.import_wanted import ImportReport
from timmyd.tools.importing import import_paths

OK = json.dumps({"output": "x", "exit_code": 0, "error": None})
BAD = json.dumps({"output": "x", "exit_code": 2, "error": None})
RUN = "0123456789abcdef"

_SCHEMA = """
CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO schema_version VALUES (22);
CREATE TABLE sessions (id TEXT PRIMARY KEY, source TEXT, model TEXT, model_config TEXT, parent_session_id TEXT,
    started_at, end_reason TEXT);
CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, role TEXT NOT NULL,
    content TEXT, tool_call_id TEXT, tool_calls TEXT, tool_name TEXT, effect_disposition TEXT, timestamp,
    active INTEGER DEFAULT 1, compacted INTEGER DEFAULT 0);
"""


class MadeHome:
    """Writes what an agent would leave, and reads it through the real intake."""

    def __init__(self, home: Path, *, now: float) -> None:
        self.home = home
        self.now = now
        self.sessions = home / "sessions"
        (self.sessions / "timmy").mkdir(parents=True)
        self.at = now - 3_600.0
        self.rows: sqlite3.Connection | None = None
        self.lines = 0

    # ------------------------------------------------------------------ database
    def database(self) -> sqlite3.Connection:
        if self.rows is None:
            self.rows = sqlite3.connect(self.home / "state.db", isolation_level=None)
            self.rows.executescript(_SCHEMA)
        return self.rows

    def session(self, sid: str, *, started_at: Any = None, **facts: Any) -> None:
        values = {
            "id": sid,
            "source": "cli",
            "model": "m",
            "started_at": started_at or self.at,
        } | facts
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        self.database().execute(
            f"INSERT INTO sessions ({names}) VALUES ({marks})",
            tuple(values.values()),
        )

    def row(self, sid: str, role: str, *, step: float = 1.0, at: Any = None, **values: Any) -> None:
        self.at += step
        found = {
            "session_id": sid,
            "role": role,
            "timestamp": self.at if at is None else at,
        } | values
        names = ", ".join(found)
        marks = ", ".join("?" * len(found))
        self.database().execute(
            f"INSERT INTO messages ({names}) VALUES ({marks})",
            tuple(found.values()),
        )

    def ask(self, sid: str, *requests: Any, step: float = 1.0, at: Any = None) -> None:
        self.row(sid, "assistant", content="", tool_calls=json.dumps(requests), step=step, at=at)

    def answer(
        self, sid: str, call_id: Any, content: Any = OK, *, step: float = 1.0, at: Any = None
    ) -> None:
        self.row(
            sid,
            "tool",
            content=content,
            tool_call_id=call_id,
            tool_name="terminal",
            step=step,
            at=at,
        )

    # --------------------------------------------------------------------- files
    def snapshot(self, sid: str, messages: Iterable[Any], **facts: Any) -> Path:
        document = {
            "session_id": sid,
            "model": "m",
            "platform": "cli",
            "session_start": local(self.at),
            "last_updated": local(self.at),
            "messages": list(messages),
        } | facts
        path = self.sessions / f"session_{sid}.json"
        path.write_text(json.dumps(document, indent=2), encoding="utf-8")
        return path

    def line(self, sid: str, call_id: str, arguments: str, *, outcome: str = "ok") -> None:
        """A line of telemetry of a call that ran now."""
        path = self.sessions / "timmy" / f"{sid}.jsonl"
        if not path.exists():
            head = {"schema": "timmy.telemetry/1", "run": RUN, "session_id": sid}
            path.write_text(json.dumps(head) + "\n", encoding="utf-8")
        self.lines += 1
        signature, shape = describe("terminal", arguments)
        line = {
            "run": RUN, "n": self.lines, "at": self.at, "kind": "tool", "tool": "terminal",
            "call_id": call_id, "signature": signature, "shape": shape, "outcome": outcome,
            "rule": "given", "latency_ms": 3.0,
        }  # fmt: skip
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    # ------------------------------------------------------------------- reading
    def read(self, store: PatternDatabase | None = None) -> "Found":
        found = Found(store or PatternDatabase(":memory:", clock=lambda: self.now))
        found.take(self.home, now=self.now)
        return found


class Found:
    """What the database knows after a reading."""

    def __init__(self, store: PatternDatabase) -> None:
        self.store = store
        self.report = ImportReport()

    def take(self, *paths: Path, now: float) -> None:
        ingest = Ingest(tasks=TaskTable.default())
        self.report = import_paths(self.store, ingest, map(str, paths), clock=lambda: now)

    @property
    def executions(self) -> list[Execution]:
        return self.store.executions_after(0, 100_000)

    @property
    def outcomes(self) -> Mapping[str, int]:
        return Counter(execution.outcome for execution in self.executions)

    @property
    def skipped(self) -> Mapping[str, int]:
        return self.store.skipped()


def chat(
    call_id: Any, arguments: Any = "{}", tool: str = "terminal", **more: Any
) -> dict[str, Any]:
    """A request as chat completions write it."""
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": tool, "arguments": arguments},
    } | more


def command(text: str) -> str:
    return json.dumps({"command": text})


def local(at: float) -> str:
    """As Hermes writes times into snapshots."""
    return datetime.fromtimestamp(at).isoformat(timespec="microseconds")  # noqa: DTZ006 - local time
