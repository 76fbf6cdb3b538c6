"""A real agent with no plugin and no snapshots, followed through its own `state.db` alone."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.environment import HERMES_019, HERMES_022
from tests.hermes.support.model_server import ModelServer
from tests.hermes.support.script import ToolCall, call, calls, say
from tests.hermes.test_live_snapshots import WITHIN_S, daemon, eventually, report
from timmyd.core.tasks import TaskTable
from timmyd.engine.ingest import Ingest
from timmyd.errors import StoreError
from timmyd.store.database import PatternDatabase
from timmyd.tools.importing import import_paths


@pytest.fixture(params=[HERMES_019, HERMES_022])
def bare(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    model_server: ModelServer,
    hermes_installed: Callable[[str], Path],
) -> HermesAgent:
    """An agent that leaves nothing but its database."""
    version: str = request.param
    hermes_installed(version)
    return HermesAgent(version, tmp_path / "hermes", model_server, snapshots=False)


class Sightings:
    """When each call was first seen in our database, and when it was first answered there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answered_at: dict[int, float] = {}
        self.ran_at: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @contextmanager
    def running(self) -> Iterator["Sightings"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            try:
                store = PatternDatabase(self.path, read_only=True)
            except StoreError:
                continue
            try:
                found = store.executions_after(0, 1_000)
            except StoreError:
                continue
            finally:
                store.close()
            for execution in found:
                if execution.outcome != "unknown":
                    self.answered_at.setdefault(execution.id, time.time())
                    self.ran_at[execution.id] = execution.at

    def lags(self) -> list[float]:
        return [at - self.ran_at[which] for which, at in self.answered_at.items()]


def companions(hermes: HermesAgent) -> set[str]:
    return {path.name for path in hermes.home.path.glob("state.db*")} - {"state.db"}


def complaints(hermes: HermesAgent) -> list[str]:
    """What the agent logged of a database that it could not use."""
    lines = []
    for log in hermes.home.path.glob("logs/*.log"):
        lines += log.read_text("utf-8", "replace").lower().splitlines()
    words = ("database is locked", "sqlite_busy", "readonly database", "unable to open database")
    return [line for line in lines if any(word in line for word in words)]


def test_calls_are_seen_within_two_seconds_while_the_agent_works_on(
    bare: HermesAgent, tmp_path: Path
) -> None:
    server, state = bare.server, tmp_path / "state"
    (bare.home.work / "a.txt").write_text("alpha\n", encoding="utf-8")
    (bare.home.work / "b.txt").write_text("bravo\n", encoding="utf-8")
    with daemon(bare.home.path, state), Sightings(state / "db" / "timmy.db").running() as seen:
        with bare.conversation() as conversation:
            first = conversation.send(
                server.turn(
                    call("terminal", command="echo one"),
                    call("terminal", command="sleep 1; exit 3"),
                    call("no_such_tool", x=1),
                    calls(
                        ToolCall("read_file", {"path": "a.txt"}),
                        ToolCall("read_file", {"path": "b.txt"}),
                    ),
                    call("terminal", command="sleep 1; echo last"),
                    say("done"),
                )
            )
            second = conversation.send(server.turn(call("terminal", command="echo two"), say()))
            assert conversation.close() == 0
        eventually(lambda: len(seen.answered_at) == 7, 20.0)
        told = report(state)
    assert first == second
    print(f"seen after {max(seen.lags()):.2f} s at most")
    assert max(seen.lags()) < WITHIN_S
    assert bare.home.snapshots() == {}
    assert complaints(bare) == []
    rows = {
        (tool["tool"], outcome): tool[outcome]
        for tool in told["tools"]
        for outcome in ("ok", "error", "rejected", "unknown")
        if tool[outcome]
    }
    assert rows == {
        ("terminal", "ok"): 3,
        ("terminal", "error"): 1,
        ("read_file", "ok"): 2,
        ("no_such_tool", "rejected"): 1,
    }
    assert told["ingest"]["by_source"] == {"state_db": 7}


def test_the_agents_files_are_as_they_would_be_without_us(
    bare: HermesAgent, tmp_path: Path
) -> None:
    server, state = bare.server, tmp_path / "state"

    def turn() -> None:
        assert bare.run_turn(
            server.turn(call("terminal", command="echo on"), say("done"))
        ).completed

    turn()
    alone = companions(bare)
    with daemon(bare.home.path, state):
        for _ in range(3):
            turn()
            eventually(lambda: companions(bare) <= alone, 1.0)
        eventually(lambda: count(state) == 4, 20.0)
        assert companions(bare) <= alone
    with closing(sqlite3.connect(f"{bare.home.state_db.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert complaints(bare) == []


def count(state: Path) -> int:
    store = PatternDatabase(state / "db" / "timmy.db", read_only=True)
    try:
        return len(store.executions_after(0, 1_000))
    finally:
        store.close()


def test_a_real_export_holds_the_same_calls(bare: HermesAgent, tmp_path: Path) -> None:
    commands = [call("terminal", command=f"exit {n}") for n in (0, 3)]
    assert bare.run_turn(bare.server.turn(*commands, say("done"))).completed
    file = tmp_path / "export.jsonl"
    bare.command("sessions", "export", str(file))
    store = PatternDatabase(tmp_path / "timmy.db")
    ingest = Ingest(tasks=TaskTable.default())
    try:
        first = import_paths(store, ingest, [f"{file}=ezra"])
        again = import_paths(store, ingest, [f"{bare.home.path}=ezra", f"{file}=ezra"])
        found = [(call.outcome, call.house) for call in store.executions_after(0, 100)]
    finally:
        store.close()
    assert (first.executions, first.unread) == (2, [])
    assert (again.executions, again.unread) == (0, [])
    assert found == [("ok", "ezra"), ("error", "ezra")]
