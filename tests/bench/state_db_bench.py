"""Measures the `state_db` source on a synthetic database of the real schema: rate, memory, cost of a look.

    python -m tests.bench.state_db_bench [--messages 1000000] [--sessions 50000] [--keep FILE]

Prints one JSON object. The limits of issue 3 are checked: under 200 MB, under 2 ms a look.
"""

import argparse
import json
import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from timmyd.clock import now as wall_clock
from timmyd.core.tasks import TaskTable
from timmyd.engine.ingest import Ingest
from timmyd.engine.ingest_rows import RowIngest
from timmyd.service.homes import Place
from timmyd.service.logs import silent
from timmyd.service.metrics import Metrics
from timmyd.service.state_dbs import StateDbs
from timmyd.store.database import PatternDatabase

SCHEMA = Path(__file__).parents[1] / "data" / "corpus" / "s01_terminal_exit_codes" / "state.db"
MOST_BYTES = 200 * 1024 * 1024
MOST_LOOK_S = 0.002
_TURN = 5
_SEVERAL = 8


def make(path: Path, messages: int, sessions: int, *, now: float) -> int:
    """Fill a database of the real schema; returns how many calls it holds."""
    source = sqlite3.connect(f"{SCHEMA.as_uri()}?mode=ro&immutable=1", uri=True)
    statements = [
        row[0]
        for row in source.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
        )
    ]
    source.close()
    target = sqlite3.connect(path, isolation_level=None)
    target.execute("PRAGMA journal_mode = WAL")
    target.execute("PRAGMA synchronous = OFF")
    target.execute("BEGIN")
    for statement in statements:
        target.execute(statement)
    target.execute("INSERT INTO schema_version VALUES (22)")
    each = messages // sessions
    start = now - 30 * 86_400
    target.executemany(
        "INSERT INTO sessions (id, source, model, model_config, started_at) VALUES (?, 'cli', ?, '{}', ?)",
        ((f"20261101_{n:08d}", f"model-{n % 4}", start + n * 50) for n in range(sessions)),
    )
    calls = 0
    rows: list[tuple[object, ...]] = []
    insert = (
        "INSERT INTO messages (session_id, role, content, tool_call_id, tool_calls, tool_name, timestamp)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)"
    )
    for group in range(0, sessions, _SEVERAL):  # several at a time, interleaved
        for place in range(each):
            for n in range(group, min(group + _SEVERAL, sessions)):
                sid, at = f"20261101_{n:08d}", start + n * 50 + place * 1.7
                kind = place % _TURN
                if kind == 0:
                    rows.append((sid, "user", "please go on " * 20, None, None, None, at))
                elif kind in {1, 3} and place + 1 < each:
                    tool = ("terminal", "read_file", "patch")[(n + place) % 3]
                    arguments = json.dumps({"command": f"git status {place}", "path": f"/x/{n}.py"})
                    call = {
                        "id": f"call_{n:08d}{place:04d}Qz",
                        "call_id": f"call_{n:08d}{place:04d}Qz",
                        "type": "function",
                        "function": {"name": tool, "arguments": arguments},
                    }
                    calls += 1
                    rows.append((sid, "assistant", "", None, json.dumps([call]), None, at))
                else:
                    output = json.dumps(
                        {"output": "line\n" * 120, "exit_code": place % 5, "error": None}
                    )
                    called = f"call_{n:08d}{place - 1:04d}Qz"
                    rows.append((sid, "tool", output, called, None, "terminal", at))
        if len(rows) > 50_000:
            target.executemany(insert, rows)
            rows.clear()
    target.executemany(insert, rows)
    target.execute("COMMIT")
    target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    target.close()
    return calls


def measure(home: Path, calls: int, state: Path) -> dict[str, object]:
    """Read the database of a home to its end, then look at it again and again."""
    database = PatternDatabase(state)
    ingest = RowIngest(Ingest(tasks=TaskTable.default()))
    dbs = StateDbs(
        [Place(home)], database, ingest, log=silent(), metrics=Metrics("bench"), clock=wall_clock,
        settle_s=0.0,
    )  # fmt: skip
    dbs.find()
    began, cpu = time.monotonic(), time.process_time()
    executions = slices = 0
    longest = 0.0
    while True:
        before = time.monotonic()
        progress = dbs.look(0.25)
        longest = max(longest, time.monotonic() - before)
        if not progress.files:
            break
        executions += progress.executions
        slices += 1
    took, cpu = time.monotonic() - began, time.process_time() - cpu
    looks = []
    for _ in range(2000):
        for file in dbs.files.values():
            file.due_at = 0.0
        before = time.perf_counter()
        dbs.look()
        looks.append(time.perf_counter() - before)
    looks.sort()
    dbs.close()
    database.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "calls": calls,
        "executions": executions,
        "slices": slices,
        "import_s": round(took, 2),
        "import_cpu_s": round(cpu, 2),
        "executions_per_s": round(executions / took),
        "executions_per_cpu_s": round(executions / cpu),
        "longest_slice_ms": round(longest * 1000, 1),
        "peak_bytes": peak,
        "look_median_us": round(looks[1000] * 1e6, 1),
        "look_p99_us": round(looks[1980] * 1e6, 1),
        "database_bytes": state.stat().st_size,
    }


def main() -> int:
    """Run and print; 1 if a limit is passed or a call was lost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=50_000)
    parser.add_argument(
        "--keep", type=Path, help="make the database here, or use it if it is there"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = options.keep or Path(folder) / "home"
        home.mkdir(parents=True, exist_ok=True)
        counted = home / "calls"
        if not counted.exists():
            calls = make(home / "state.db", options.messages, options.sessions, now=wall_clock())
            counted.write_text(str(calls))
        result = measure(home, int(counted.read_text()), Path(folder) / "timmy.db")
    result["messages"], result["sessions"] = options.messages, options.sessions
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    lost = result["executions"] != result["calls"]
    slow = float(str(result["look_p99_us"])) > MOST_LOOK_S * 1e6
    return int(lost or slow or int(str(result["peak_bytes"])) > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
