"""Make the database of an earlier version, with all that an upgrade has to keep; run with that version.

    git archive COMMIT | tar x -C OLD
    cd OLD && PYTHONPATH=OLD python MAKE FIXTURES COMMIT

A small home is read with its `run --once`, then its engine lives through days of a made-up world
until one change was kept and another is on trial. The home is kept beside the database, so that a
test can read all of it again: `/fixture/home` stands for where it lay.
"""

import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from timmyd.config import Settings
from timmyd.engine import IntelligenceEngine
from timmyd.store.database import PatternDatabase

HOME = Path("/fixture/home")
AT = 1_795_900_000.0
START = 1_796_100_000.0
EVERY_S = 300.0
_DAYS = 3


def luck(*what: object) -> float:
    return int.from_bytes(sha256(repr(what).encode()).digest()[:7]) / 2**56


def make_home(home: Path) -> None:
    """Telemetry, a snapshot, a plain session, each with calls of its own, and a state.db."""
    telemetry = home / "sessions" / "timmy"
    telemetry.mkdir(parents=True)
    run = "0123456789abcdef"
    lines: list[dict[str, object]] = [{"schema": "timmy.telemetry/1", "run": run, "session_id": "20261129_010203_aaaaaa",
              "house": "timmy", "platform": "cli", "kit": "0.1.0", "hermes": "0.17.0"}]  # fmt: skip
    lines += [
        {"run": run, "n": n, "at": AT + n, "kind": "tool", "tool": "terminal", "call_id": f"c{n}",
         "turn": "1", "inner": False, "model": "hermes3:8b", "signature": f"{n:016x}", "shape": "git status",
         "outcome": "ok" if n % 4 else "error", "rule": "exit_zero", "latency_ms": 10.0 + n}
        for n in range(1, 21)
    ]  # fmt: skip
    lines.append({"run": run, "n": 21, "at": AT + 30, "kind": "model", "model": "hermes3:8b", "outcome": "ok",
                  "latency_ms": 400.0, "tokens_in": 900, "tokens_out": 30})  # fmt: skip
    lines.append(
        {"run": run, "n": 22, "at": AT + 31, "kind": "end", "completed": True, "interrupted": False}
    )
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (telemetry / "20261129_010203_aaaaaa.jsonl").write_text(text)
    snapshot = {
        "session_id": "20261129_020304_bbbbbb", "model": "qwen3", "platform": "cli",
        "session_start": "2026-11-29T02:03:04.123456", "last_updated": "2026-11-29T02:10:00.000001",
        "messages": dialogue("call_s", 6),
    }  # fmt: skip
    (home / "sessions" / "session_20261129_020304_bbbbbb.json").write_text(json.dumps(snapshot))
    plain = {
        "session_id": "plain-1", "model": "hermes3:8b", "started_at": AT,
        "messages": [{"role": "tool", "name": "read_file", "tool_call_id": f"p{n}", "error": None,
                      "execution_time_ms": 5, "timestamp": AT + n} for n in range(5)],
    }  # fmt: skip
    (home / "sessions" / "plain.json").write_text(json.dumps(plain))
    state_db(home / "state.db")


def dialogue(prefix: str, calls: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = [{"role": "user", "content": "please"}]
    for n in range(calls):
        arguments = json.dumps({"path": f"src/{n}.py"})
        request = {"id": f"{prefix}{n}", "type": "function", "function": {"name": "read_file", "arguments": arguments}}  # fmt: skip
        found.append({"role": "assistant", "content": "", "tool_calls": [request]})
        found.append({"role": "tool", "tool_call_id": f"{prefix}{n}", "content": json.dumps({"content": "x"})})  # fmt: skip
    return [*found, {"role": "assistant", "content": "done"}]


def state_db(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript("""
        CREATE TABLE schema_version (version INTEGER NOT NULL);
        INSERT INTO schema_version VALUES (11);
        CREATE TABLE sessions (id TEXT PRIMARY KEY, source TEXT NOT NULL, user_id TEXT, model TEXT,
            model_config TEXT, system_prompt TEXT, parent_session_id TEXT, started_at REAL NOT NULL,
            ended_at REAL, end_reason TEXT, message_count INTEGER DEFAULT 0, tool_call_count INTEGER DEFAULT 0,
            input_tokens INTEGER DEFAULT 0, output_tokens INTEGER DEFAULT 0, title TEXT);
        CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL,
            role TEXT NOT NULL, content TEXT, tool_call_id TEXT, tool_calls TEXT, tool_name TEXT,
            timestamp REAL NOT NULL, token_count INTEGER, finish_reason TEXT, reasoning TEXT);
        """)
    connection.execute(
        "INSERT INTO sessions (id, source, model, started_at) VALUES ('20261129_030405_cccccc', 'cli', 'qwen3', ?)",
        (AT + 3600,),
    )
    for n, message in enumerate(dialogue("call_d", 8)):
        asked = message.get("tool_calls")
        connection.execute(
            "INSERT INTO messages (session_id, role, content, tool_call_id, tool_calls, timestamp)"
            " VALUES ('20261129_030405_cccccc', ?, ?, ?, ?, ?)",
            (message["role"], message["content"], message.get("tool_call_id"),
             json.dumps(asked) if asked else None, AT + 3600 + n),
        )  # fmt: skip
    connection.commit()
    connection.close()


class World:
    """Two houses. ezra's builds fail under its default; its kept step is followed by another trial."""

    def __init__(self, database: Path) -> None:
        self.now = START
        self.database = PatternDatabase(database, clock=lambda: self.now)
        self.engine = IntelligenceEngine(self.database, settings=Settings(), clock=lambda: self.now)
        self.kept: list[str] = []
        self.revision = self.engine.revision

    def live(self, n: int) -> None:
        self.now = START + n * EVERY_S
        values = self.engine.current_policies
        rows = []
        for house in ("ezra", "bezalel"):
            builds = 0.35 if values["ezra"]["evidence_threshold"] > 0.75 else 0.85
            tests = 0.4 if values["bezalel"]["parallel_test_threshold"] < 0.55 else 0.2
            for k in range(8):
                tool, task, chance = (
                    ("read_file", "read", 0.97) if k < 2
                    else ("write_file", "build", builds) if house == "ezra"
                    else ("terminal", "test", tests)
                )  # fmt: skip
                rows.append({
                    "at": self.now + k, "session_id": f"{house}-{n}", "call_id": f"{n}-{k}", "house": house,
                    "tool": tool, "task_type": task, "shape": "py", "model": f"m{n % 2}", "latency_ms": 20.0 + k,
                    "outcome": "ok" if luck(house, n, k) < chance else "error", "policy": self.revision,
                })  # fmt: skip
        self.now += 200.0
        self.engine.record_executions(rows)
        for _ in range(20):
            for event in self.engine.analyze_and_adapt():
                if event.kind == "kept":
                    self.kept.append(event.change_type)
            if not self.engine.behind:
                break
        self.revision = max(self.revision, self.engine.revision) + 1
        self.engine.announce(self.revision, now=self.now)

    def run(self) -> None:
        for n in range(int(_DAYS * 86400 / EVERY_S)):
            self.live(n)
            if self.kept and self.engine.trials():
                break
        add = self.database.add_order
        add("pin", {"key": "timmy.retry_limit" if "timmy.retry_limit" in self.engine.policy_keys() else "routing.fallback_to_timmy_threshold", "value": 0.4}, at=self.now)  # fmt: skip
        add("force", {"house": "timmy", "tool": "browser"}, at=self.now)
        self.now += 10.0
        self.engine.analyze_and_adapt()
        add("force", {"house": "ezra", "tool": "web_search"}, at=self.now)
        getattr(self.engine, "save", lambda: None)()


def main(folder: Path, commit: str) -> None:
    os.umask(0o077)
    shutil.rmtree(HOME.parent, ignore_errors=True)
    make_home(HOME)
    state = HOME.parent / "state"
    policy = HOME.parent / "policy.json"
    command = [sys.executable, "-m", "timmyd", "run", "--once", "--home", str(HOME), "--state", str(state),
               "--policy", str(policy)]  # fmt: skip
    subprocess.run(command, check=True)
    database = state / "db" / "timmy.db"
    world = World(database)
    world.run()
    truth = {
        "now": world.now,
        "policies": world.engine.current_policies,
        "trials": world.engine.trials(),
        "kept": world.kept,
        "revision": world.engine.revision,
        "breakers": world.engine.policy_document()["breakers"],
        "executions": world.database.counters()["executions"],
    }
    world.database.close()
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")
    (folder / f"{commit}.json").write_text(json.dumps(truth, indent=1, default=str) + "\n")
    (folder / f"{commit}.db.gz").write_bytes(gzip.compress(database.read_bytes(), mtime=0))
    if not (folder / "home").exists():
        shutil.copytree(HOME, folder / "home")
    shutil.rmtree(HOME.parent)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
