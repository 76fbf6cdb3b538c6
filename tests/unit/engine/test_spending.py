"""Caps, curves and remedies reach the policy, a house keeps them, and the commands say how things stand."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from timmyd.cli.app import build
from timmyd.config import parse
from timmyd.engine import IntelligenceEngine
from timmyd.house.budget import Budget, Usage
from timmyd.house.policy import canonical, digest, parse as parse_policy
from timmyd.store.database import PatternDatabase

NOW = 1_800_000_000.0
SETTINGS = """
[clock]
zone = "UTC"
[budget.ezra]
tokens_per_day = 20_000
money_per_month = 5.0
on_trouble = "stop"
[budget.bezalel]
warn = 0.5
[prices."hermes3:8b"]
per_million_in = 1.0
per_million_out = 2.0
"""


def engine_of(path: str = ":memory:", text: str = SETTINGS, now: float = NOW) -> IntelligenceEngine:
    clock = lambda: now  # noqa: E731 - one line says it
    database = PatternDatabase(path, clock=clock)
    return IntelligenceEngine(database, settings=parse(text, "test"), clock=clock)


def test_the_caps_of_the_settings_are_published_and_a_house_keeps_them(tmp_path: Path) -> None:
    document = engine_of().policy_document()
    assert set(document["budgets"]) == {"ezra"}, "bezalel has no cap"
    signed = canonical({**document, "digest": digest(document)})
    policy = parse_policy(signed, now=NOW + 1)
    kept = Budget(tmp_path, clock=lambda: NOW)
    kept.publish(policy.budgets["ezra"])
    assert kept.load() == {"tokens_per_day": 20_000.0, "money_per_month": 5.0}
    assert kept.money("hermes3:8b", Usage(1_000_000, 500_000)) == 2.0


def test_a_raise_holds_for_its_window_and_survives_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "timmy.db")
    engine = engine_of(path)
    body = {"house": "ezra", "cap": "tokens_per_day", "value": 30_000.0, "until": NOW + 60.0}
    engine.database.add_order("raise_budget", body, at=NOW)
    engine.database.add_order("raise_budget", {**body, "cap": "nonsense"}, at=NOW)
    kinds = [event.kind for event in engine.analyze_and_adapt()]
    assert kinds == ["order", "order_refused"]
    engine.save()
    engine.database.close()
    again = engine_of(path)
    caps = again.policy_document()["budgets"]["ezra"]["caps"]
    assert caps == {"tokens_per_day": 30_000.0, "money_per_month": 5.0}
    again.database.close()
    later = engine_of(path, now=NOW + 61.0)
    assert later.policy_document()["budgets"]["ezra"]["caps"]["tokens_per_day"] == 20_000.0


def spirals(session: str, at: float) -> list[dict[str, Any]]:
    """`git push` fails, `git pull` works, `git push` works; and a call that only fails."""
    base = {"house": "ezra", "session_id": session, "tool": "terminal"}
    steps = [
        ("git push", "error"), ("git pull", "ok"), ("git push", "ok"),
        ("make", "error"), ("make", "error"), ("make", "error"), ("make", "error"),
    ]  # fmt: skip
    return [
        {**base, "at": at + n, "outcome": outcome, "params": {"command": command}}
        for n, (command, outcome) in enumerate(steps)
    ]


def test_what_repeats_are_worth_and_what_helped_is_learned_published_and_survives(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "timmy.db")
    engine = engine_of(path)
    for number in range(40):
        engine.record_executions(spirals(f"s{number}", NOW - 3_600.0 + 60.0 * number))
    while engine.analyze_and_adapt() or engine.behind:
        pass
    document = engine.policy_document()
    curve = document["retries"]["ezra"]["terminal"]["shapes"]["make"]
    assert curve["after"][0] == 0.0
    assert curve["high"][2] < 0.1
    (helped,) = document["remedies"]["ezra"].values()
    assert helped[0]["shape"] == "git pull"
    engine.save()
    engine.database.close()
    assert engine_of(path).policy_document()["remedies"] == document["remedies"]


def run(*words: str) -> Any:
    return CliRunner().invoke(build(words[0]), list(words))


def test_a_home_may_set_a_lower_cap_and_no_higher_one(tmp_path: Path) -> None:
    folder = tmp_path / "sessions" / "timmy"
    Budget(folder, clock=lambda: NOW).publish({"caps": {"tokens_per_day": 1_000.0}})
    home = ["--home", str(tmp_path)]
    assert run("budget", "set", "tokens_per_day", "2000", *home).exit_code == 2
    assert run("budget", "set", "nonsense", "2", *home).exit_code == 2
    assert run("budget", "set", "tokens_per_day", "500", *home).exit_code == 0
    shown = run("budget", "show", "--json", *home)
    assert json.loads(shown.stdout)["caps"]["tokens_per_day"] == {"limit": 500.0, "used": 0.0}
    assert run("budget", "show", "--home", str(tmp_path / "nowhere")).exit_code == 2


def test_a_raise_without_a_cap_or_below_it_is_refused(tmp_path: Path) -> None:
    settings = tmp_path / "timmyd.toml"
    settings.write_text(SETTINGS)
    places = ["--config", str(settings), "--state", str(tmp_path / "state")]
    for words in (
        ("bezalel", "tokens_per_day", "9"),
        ("ezra", "tokens_per_day", "9"),
        ("x", "y", "1"),
    ):
        assert run("budget", "raise", *words, *places).exit_code == 2
    done = run("budget", "raise", "ezra", "tokens_per_day", "50000", *places)
    assert done.exit_code == 0, done.output
    assert "for this window" in done.output


@pytest.mark.parametrize(
    "words", [("remedy", "terminal"), ("remedy", "terminal", "git push", "--json")]
)
def test_remedies_can_be_asked_for(words: tuple[str, ...], tmp_path: Path) -> None:
    state = tmp_path / "state"
    engine = IntelligenceEngine(
        PatternDatabase(state / "db" / "timmy.db", clock=lambda: NOW), clock=lambda: NOW
    )
    for number in range(30):
        engine.record_executions(spirals(f"s{number}", NOW - 3_600.0 + 60.0 * number))
    engine.analyze_and_adapt()
    engine.save()
    engine.database.close()
    done = run(*words, "--state", str(state))
    assert done.exit_code == 0
    assert "git pull" in done.stdout
