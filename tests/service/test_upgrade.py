"""Databases of earlier versions (tests/data/upgrade): each opens, keeps what must last, and says what became of the rest."""

import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.core.ownership import UNKNOWN
from timmyd.store.schema import VERSION

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parents[1] / "data" / "upgrade"
WAS_AT = "/fixture/home"
NEVER_READ = {"e157e54": 8, "486a283": 0}
"""Calls of its state.db, which the `run --once` of the first version did not look at."""


class Old:
    """The state of an earlier version, as if it had read the home where the test has it."""

    def __init__(self, base: Path, commit: str) -> None:
        self.commit = commit
        self.truth: dict[str, Any] = json.loads((DATA / f"{commit}.json").read_text())
        self.home = base / "home"
        self.state = base / "state"
        self.database = self.state / "db" / "timmy.db"
        shutil.copytree(DATA / "home", self.home)
        self.database.parent.mkdir(mode=0o700, parents=True)
        self.database.write_bytes(gzip.decompress((DATA / f"{commit}.db.gz").read_bytes()))
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute("UPDATE names SET name = ? WHERE name = ?", (str(self.home), WAS_AT))
            for (path,) in connection.execute("SELECT path FROM files").fetchall():
                moved = bytes(path).replace(WAS_AT.encode(), os.fsencode(self.home))
                connection.execute("UPDATE files SET path = ? WHERE path = ?", (moved, path))

    def engine(self, after_s: float = 30.0) -> IntelligenceEngine:
        def clock() -> float:
            return float(self.truth["now"]) + after_s

        return IntelligenceEngine(PatternDatabase(self.database, clock=clock), clock=clock)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "timmyd", *words, "--state", str(self.state)]
        return subprocess.run(
            command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120
        )

    def once(self) -> dict[str, Any]:
        policy = self.state / "policy.json"
        done = self.run(
            "run", "--once", "--json", "--home", str(self.home), "--policy", str(policy)
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return {"summary": json.loads(done.stdout), "said": done.stderr}


@pytest.fixture(params=["e157e54", "486a283"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Old:
    return Old(tmp_path, request.param)


def settle(engine: IntelligenceEngine) -> list[tuple[str, str]]:
    events = engine.analyze_and_adapt()
    while engine.behind:
        events += engine.analyze_and_adapt()
    return [(event.kind, event.change_type) for event in events]


def test_values_pins_forced_breakers_and_orders_stay(old: Old) -> None:
    engine = old.engine()
    before = engine.current_policies
    events = settle(engine)

    values = engine.current_policies
    assert before["ezra"]["evidence_threshold"] == values["ezra"]["evidence_threshold"] == 0.7
    assert values["routing"]["fallback_to_timmy_threshold"] == 0.4
    assert engine.explain("routing.fallback_to_timmy_threshold")["pinned"]
    forced = {
        (breaker["house"], breaker["tool"]): breaker["reason"]
        for breaker in engine.policy_document()["breakers"]
        if breaker["state"] == "open"
    }
    assert forced == {
        ("timmy", "browser"): "forced open by the operator",
        ("ezra", "web_search"): "forced open by the operator",  # the order that still waited
    }
    assert ("order", "order.breaker_force") in events
    assert engine.revision == old.truth["revision"]


def test_a_running_trial_ends_with_the_old_value_and_is_told_once(old: Old) -> None:
    (trial,) = old.truth["trials"]
    house, _, key = trial["policy"].partition(".")
    engine = old.engine()
    assert engine.trials() == []
    ended = ("ended_by_upgrade", f"policy.{trial['policy']}")

    assert settle(engine).count(ended) == 1
    assert engine.current_policies[house][key] == trial["old"]
    engine.database.close()

    again = old.engine(60.0)
    assert ended not in settle(again)
    kept = [e for e in again.adaptation_history if e.kind == "ended_by_upgrade"]
    assert [(e.old_value, e.new_value) for e in kept] == [(trial["new"], trial["old"])]


def test_what_was_learned_is_rebuilt_from_the_rows_and_scores_begin_anew(old: Old) -> None:
    engine = old.engine()
    fates = {part: fate for part, _, fate in engine.learner.settled}
    assert fates["judgement"] == "carried over"
    assert fates["estimates"] == fates["choices"] == "rebuilt"
    settle(engine)

    probability, _ = engine.predict_success("read_file", "ezra")
    assert probability is not None
    assert probability > 0.8
    assert engine.policy_document()["predictions"]["ezra"]["write_file"]["samples"] > 100
    assert engine.accuracy() == {}
    assert engine.database.counters()["executions"] == old.truth["executions"]


def test_every_row_has_an_owner_which_is_unknown_until_its_home_is_seen(old: Old) -> None:
    engine = old.engine()
    houses = engine.database.owners.all()
    assert set(houses) >= {"timmy", "ezra", "bezalel"}
    assert {house.owner for house in houses.values()} == {UNKNOWN}
    assert engine.database.owners.settle("timmy", owner="alice", uid=1000, now=0.0).name == "timmy"
    owners = {e.owner for e in engine.database.executions_after(0, 31) if e.house == "timmy"}
    assert owners == {"alice"}


def test_reading_all_sources_again_adds_nothing_and_one_line_says_what_became_of_it(
    old: Old,
) -> None:
    first = old.once()
    assert first["summary"]["executions"] == NEVER_READ[old.commit]
    lines = [line for line in first["said"].splitlines() if "learning_settled" in line]
    assert len(lines) == 1
    assert "estimates of form 0: rebuilt" in lines[0]
    with closing(sqlite3.connect(old.database)) as connection, connection:
        connection.execute("DELETE FROM files")  # as if nothing was ever looked at

    second = old.once()

    assert (second["summary"]["files"], second["summary"]["executions"]) == (4, 0)
    assert "learning_settled" not in second["said"]
    with closing(sqlite3.connect(old.database)) as connection:
        rows = connection.execute("SELECT count(*) FROM executions").fetchone()[0]
        counted = connection.execute(
            "SELECT sum(ok + error + timeout + blocked + cancelled + rejected + unknown) FROM hours"
        ).fetchone()[0]
    assert rows == counted == old.truth["executions"] + NEVER_READ[old.commit]


def test_commands_say_that_the_daemon_must_run_first_and_work_after_it(old: Old) -> None:
    refused = old.run("status")
    assert refused.returncode == 1
    assert "version 1" in refused.stderr
    assert "start the daemon" in refused.stderr
    old.once()
    for words in (["report"], ["explain", "ezra.evidence_threshold"], ["policy", "show"]):
        done = old.run(*words)
        assert done.returncode == 0, (words, done.stderr)
        assert done.stdout


def test_a_backup_of_the_old_database_can_be_made_and_restored(old: Old, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert old.run("db", "backup", str(copy)).returncode == 0
    old.once()

    restored = old.run("db", "restore", str(copy))

    assert restored.returncode == 0, restored.stderr
    with closing(sqlite3.connect(old.database)) as connection:
        assert connection.execute("SELECT max(version) FROM migrations").fetchone() == (1,)


def test_the_database_of_a_newer_version_is_refused_with_the_way_out(old: Old) -> None:
    old.once()
    with closing(sqlite3.connect(old.database)) as connection, connection:
        connection.execute("INSERT INTO migrations VALUES (?, 0)", (VERSION + 1,))
    before = old.database.read_bytes()

    done = old.run("run", "--once", "--home", str(old.home))

    assert done.returncode == 78
    assert f"version {VERSION + 1}" in done.stderr
    assert "db restore" in done.stderr
    assert "Traceback" not in done.stderr
    assert old.database.read_bytes() == before


def test_what_a_kit_of_the_version_before_wrote_is_read_as_ever(tmp_path: Path) -> None:
    old = Old(tmp_path, "486a283")
    old.database.unlink()

    done = old.once()

    assert done["summary"]["executions"] == 20 + 6 + 5 + 8
    database = PatternDatabase(old.database, read_only=True)
    rows = [e for e in database.executions_after(0, 100) if e.source == "telemetry"]
    assert [(e.outcome, e.latency_ms) for e in rows] == [
        ("ok" if n % 4 else "error", 10.0 + n) for n in range(1, 21)
    ]
    assert database.turn_counts(0.0) == {"timmy": (1, 1)}
    assert [row[2:] for row in database.request_totals(0.0)] == [("hermes3:8b", 1, 0)]
