"""A real agent works, `timmyd run` watches: report and policy are right soon after the turn's end."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.script import Step, ToolCall, call, calls, say
from timmyd.store.database import PatternDatabase

WITHIN_S = 10.0
"""Two seconds are promised; a loaded machine gets five times as long."""
_GENEROUS_S = 20.0


@contextmanager
def daemon(home: Path, state: Path) -> Iterator[None]:
    command = [
        sys.executable,
        "-m",
        "timmyd",
        "run",
        "--home",
        f"{home}=ezra",
        "--state",
        str(state),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        eventually((state / "policy.json").exists, _GENEROUS_S)
        yield
    finally:
        process.terminate()
        process.wait(20)


def eventually(condition: Callable[[], bool], within_s: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, "not within the time"
        time.sleep(0.05)
    return time.monotonic() - began


def commands(*lines: str) -> list[Step]:
    return [call("terminal", command=line) for line in lines]


def report(state: Path) -> dict[str, Any]:
    made = subprocess.run(
        [sys.executable, "-m", "timmyd", "report", "--json", "--state", str(state)],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    return dict(json.loads(made.stdout))


def policy(state: Path) -> dict[str, Any]:
    return dict(json.loads((state / "policy.json").read_bytes()))


def test_a_real_agent_is_seen_and_judged_while_it_works(
    hermes_019: HermesAgent, tmp_path: Path
) -> None:
    hermes, state = hermes_019, tmp_path / "state"
    (hermes.home.work / "a.txt").write_text("alpha\n", encoding="utf-8")
    (hermes.home.work / "b.txt").write_text("bravo\n", encoding="utf-8")
    with daemon(hermes.home.path, state):
        first = hermes.run_turn(
            hermes.server.turn(
                *commands(
                    "echo 1", "echo 2", "exit 3", "grep zzz a.txt", "echo 3", "nosuchcmd_xyz"
                ),
                call("no_such_tool", x=1),
                calls(
                    ToolCall("read_file", {"path": "a.txt"}),
                    ToolCall("read_file", {"path": "b.txt"}),
                ),
                call("read_file", path="missing.txt"),
                say("done"),
            )
        )
        assert first.completed
        seen = eventually(lambda: policy(state)["data_through"] is not None, _GENEROUS_S)
        second = hermes.run_turn(
            hermes.server.turn(
                *commands("echo 4", "echo 5", "exit 4", "echo 6", "echo 7"), say("done")
            ),
            resume=first.session,
        )
        ended = time.monotonic()
        assert second.completed
        eventually(lambda: _total(state) == 15, _GENEROUS_S)
        visible = time.monotonic() - ended
    print(f"first turn visible {seen:.2f} s, second {visible:.2f} s after the process ended")
    found = report(state)
    tools = {row["tool"]: row for row in found["tools"]}
    terminal_row = tools["terminal"]
    assert (terminal_row["ok"], terminal_row["error"]) == (8, 3)
    assert (tools["read_file"]["ok"], tools["read_file"]["error"]) == (2, 1)
    assert tools["no_such_tool"]["rejected"] == 1
    assert found["house_performance"]["ezra"]["total_executions"] == 15
    assert found["ingest"]["executions"] == 15
    document = policy(state)
    prediction = document["predictions"]["ezra"]["terminal"]
    assert prediction["samples"] == 11
    assert prediction["low"] < 8 / 11 < prediction["high"]
    assert visible < WITHIN_S


def _total(state: Path) -> int:
    database = PatternDatabase(state / "db" / "timmy.db", read_only=True)
    try:
        counted = database.counters().get("executions", 0)
    finally:
        database.close()
    samples = policy(state)["predictions"].get("ezra", {}).get("terminal", {}).get("samples", 0)
    return counted if samples == 11 else 0
