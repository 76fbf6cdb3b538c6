"""What is mistyped fails with words that help, and breakers are explained in sentences."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command
from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.clock import now


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--once", "--home", "/nonexistent"), "/nonexistent does not exist"),
        (("run", "--once", "--sessions", "/nonexistent"), "/nonexistent does not exist"),
        (("run", "--once", "--home", "/etc/passwd"), "/etc/passwd is no directory"),
        (("check", "--home", "/nonexistent"), "/nonexistent does not exist"),
        (("model", "foo"), "foo is no type of task; there are"),
        (("explain", "nohouse/notool"), "nothing is called nohouse/notool"),
    ],
    ids=str,
)
def test_a_typo_is_wrong_usage(
    timmyd: Command, state: Path, words: tuple[str, ...], said: str
) -> None:
    done = timmyd(*words, "--state", state)

    assert done.status == 2
    assert said in done.err


@pytest.mark.parametrize("command", ["install", "status", "uninstall"])
def test_a_home_that_is_none_is_no_success(timmyd: Command, command: str) -> None:
    yes = () if command == "status" else ("--yes",)
    done = timmyd("hermes", command, "--home", "/nonexistent", *yes)

    assert done.status in {1, 2}
    assert "/nonexistent" in done.err


def test_import_of_what_is_no_history_fails(timmyd: Command, state: Path) -> None:
    for path in ("/etc/passwd", "/nonexistent"):
        done = timmyd("import", path, "--state", state)
        assert done.status == 1
        assert f"not read: {path}: " in done.out


def test_a_tool_that_nobody_knows_is_said(timmyd: Command, state: Path) -> None:
    asked = timmyd("predict", "nosuch", "--house", "nohouse", "--state", state)
    routed = timmyd("route", "nosuch", "--state", state)
    known = timmyd("route", "read_file", "--state", state)

    assert asked.status == routed.status == 0
    assert "nobody has called nosuch yet" in asked.out
    assert "no house is called nohouse; there are ezra" in asked.out
    assert "nobody has called nosuch yet" in routed.out
    assert "nobody has called" not in known.out


def test_check_looks_at_a_home_that_is_named(timmyd: Command, home: Path, state: Path) -> None:
    found = json.loads(timmyd("check", "--home", f"{home}=ezra", "--state", state, "--json").out)

    assert any(str(home) in finding["place"] for finding in found)


def taught(state: Path, outcomes: list[tuple[str, str]]) -> None:
    database = PatternDatabase(state / "db" / "timmy.db")
    engine = IntelligenceEngine(database)
    at = now() - 3600
    engine.record_executions(
        {
            "at": at + number,
            "house": "ezra",
            "tool": "web",
            "outcome": outcome,
            "session_id": session,
            "call_id": str(number),
        }
        for number, (session, outcome) in enumerate(outcomes)
    )
    engine.analyze_and_adapt()
    engine.save()
    database.close()


def test_one_session_of_failures_lacks_a_second_session(timmyd: Command, tmp_path: Path) -> None:
    taught(tmp_path, [("s1", "error")] * 81)
    done = timmyd("explain", "ezra/web", "--state", tmp_path)

    assert done.status == 0
    assert "web in ezra is not refused: 0 of the last 20 calls succeeded." in done.out
    assert "two sessions are needed" in done.out


def test_an_opened_one_says_since_when_and_what_triggered_it(
    timmyd: Command, tmp_path: Path
) -> None:
    taught(tmp_path, [(f"s{n % 40}", "error") for n in range(120)])
    done = timmyd("explain", "ezra/web", "--state", tmp_path)
    found = json.loads(timmyd("explain", "ezra/web", "--json", "--state", tmp_path).out)

    assert found["state"] in {"open", "half_open"}
    assert found["triggered"]["reason"] in done.out
    assert "because then 0 of the last" in done.out
    assert " ago)" in done.out or "just now)" in done.out
    assert "evidence:" not in done.out
    assert "evidence:" in timmyd("explain", "-v", "ezra/web", "--state", tmp_path).out


def test_a_tool_without_a_breaker_is_answered(timmyd: Command, tmp_path: Path) -> None:
    taught(tmp_path, [("s1", "blocked")] * 3)
    done = timmyd("explain", "ezra/web", "--state", tmp_path)

    assert done.status == 0
    assert "web in ezra is not refused: no rated calls since." in done.out


def test_a_forced_one_says_whose_hand_and_how_it_ends(timmyd: Command, state: Path) -> None:
    timmyd("breaker", "force", "ezra", "read_file", "--state", state)
    done = timmyd("explain", "ezra/read_file", "--state", state)

    assert "because the operator said so" in done.out
    assert "timmyd breaker clear ezra read_file" in done.out
