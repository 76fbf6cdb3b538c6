"""Raises a storm in a Hermes home: `python3 attack.py STORM HOME SHARE`. Standard library only: it runs as any user."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

RUN = "0123456789abcdef"


def _head(session: str, run: str = RUN) -> str:
    return json.dumps({"schema": "timmy.telemetry/1", "run": run, "session_id": session})


def _line(n: int, run: str = RUN, **facts: object) -> str:
    line = {
        "run": run, "n": n, "at": time.time(), "kind": "tool", "tool": "terminal", "call_id": f"c{n}",
        "signature": RUN, "shape": "git push", "outcome": "error", "latency_ms": 5.0,
    }  # fmt: skip
    return json.dumps({**line, **facts})


def _put(home: Path, name: str, text: str) -> None:
    path = home / "sessions" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(".fresh")
    hidden.write_text(text)
    hidden.rename(path)


def large_telemetry(home: Path, share: float) -> None:
    """One telemetry file of 64 MiB, all of one session."""
    lines, size = [_head("large")], 0
    while size < share * 63 * 2**20:
        lines.append(_line(len(lines)))
        size += len(lines[-1]) + 1
    _put(home, "timmy/large.jsonl", "\n".join([*lines, ""]))


def empty_calls(home: Path, share: float) -> None:
    """A MB of `{}` calls, and eight of `{}` messages."""
    calls = ",".join(["{}"] * int(share * 333_333))
    for n in range(5):
        _put(
            home,
            f"calls{n}.json",
            f'{{"session_id":"c{n}","messages":[{{"role":"assistant","tool_calls":[{calls}]}}]}}',
        )
    messages = ",".join(["{}"] * int(share * 2_700_000))
    _put(home, "session_m.json", f'{{"session_id":"m","messages":[{messages}]}}')


def real_calls(home: Path, share: float) -> None:
    """250,000 calls with names in one document."""
    one = '{"role":"assistant","tool_calls":[{"id":"call_%d","function":{"name":"terminal","arguments":"{}"}}]}'
    messages = ",".join(one % n for n in range(int(share * 100_000)))
    _put(home, "many.json", f'{{"session_id":"many","messages":[{messages}]}}')


def tiny_files(home: Path, share: float) -> None:
    """A million files of a few bytes."""
    folder = home / "sessions"
    for n in range(int(share * 1_000_000)):
        fd = os.open(folder / f"tiny{n}.json", os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(fd, b'{"messages":[]}')
        os.close(fd)


def touches(home: Path, share: float) -> None:
    """One name opened and closed as often as the system can, for a minute."""
    path = home / "sessions" / "touched.json"
    end = time.monotonic() + share * 60
    while time.monotonic() < end:
        for _ in range(1_000):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def profiles(home: Path, share: float) -> None:
    """A thousand profiles, each with a session."""
    for n in range(max(1, int(share * 1_000))):
        text = (
            '{"session_id":"s","messages":[{"role":"tool","name":"terminal","tool_call_id":"c"}]}'
        )
        _put(home / "profiles" / f"p{n:04}", "timmy/../s.json", text)


def invented_names(home: Path, share: float) -> None:
    """500,000 tools, shapes and models that nobody ever had."""
    total, a_file = int(share * 500_000), 5_000
    for first in range(0, total, a_file):
        run = f"{first:016x}"
        lines = [_head(f"n{first}", run)]
        lines += [
            _line(
                n,
                run,
                tool=f"tool_{n}",
                model=f"model_{n}",
                shape=f"shape {n}",
                signature=f"{n:016x}",
            )
            for n in range(first, min(total, first + a_file))
        ]
        _put(home, f"timmy/names{first}.jsonl", "\n".join([*lines, ""]))


def endless_database(home: Path, _share: float) -> None:
    """A `state.db` whose `messages` is a program without an end, and one that is always held."""
    import sqlite3

    for name in ("", "profiles/x"):
        (home / name).mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(home / name / "state.db")
        connection.executescript(
            "CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY);"
            "CREATE VIEW IF NOT EXISTS messages AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
            " FROM n) SELECT i AS id, 's' AS session_id, 'tool' AS role, '' AS tool_calls,"
            " '' AS tool_call_id, 1.0 AS timestamp FROM n"
        )
        connection.close()


STORMS: dict[str, Callable[[Path, float], None]] = {
    storm.__name__: storm
    for storm in (
        large_telemetry, empty_calls, real_calls, tiny_files, touches, profiles, invented_names,
        endless_database,
    )
}  # fmt: skip

if __name__ == "__main__":
    STORMS[sys.argv[1]](Path(sys.argv[2]), float(sys.argv[3]))
