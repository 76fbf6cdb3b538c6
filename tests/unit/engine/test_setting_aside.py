"""Quarantine, release, forget: what is learned without a house is as if it had never been there."""

import json
from pathlib import Path
from typing import Any

import pytest

from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.config import Settings

NOW = 1_795_381_822.0


class World:
    def __init__(self, path: Path | str = ":memory:") -> None:
        self.at = NOW
        self.path = path
        self.open()

    def open(self) -> None:
        self.database = PatternDatabase(self.path, clock=lambda: self.at)
        self.engine = IntelligenceEngine(self.database, settings=Settings(), clock=lambda: self.at)

    def live(self, *houses: str, rounds: int = 20) -> None:
        for n in range(rounds):
            rows = [
                {
                    "at": self.at + k, "house": house, "tool": f"t{k % 2}", "shape": f"s{k % 3}",
                    "owner": house, "session_id": f"{house}-{self.at}", "call_id": f"{k}", "model": "m",
                    "outcome": "error" if house == "mallory" or n % 5 == 0 else "ok",
                    "latency_ms": 10.0, "tokens_in": 3, "tokens_out": 1, "task_type": "build",
                }
                for house in houses
                for k in range(6)
            ]  # fmt: skip
            self.at += 30.0
            self.engine.record_executions(rows)
            self.tick()

    def tick(self) -> list[Any]:
        events = self.engine.analyze_and_adapt()
        while self.engine.behind:
            events += self.engine.analyze_and_adapt()
        return events

    def order(self, kind: str, house: str) -> Any:
        self.database.add_order(kind, {"house": house}, at=self.at)
        return next(event for event in self.tick() if event.trigger == "operator")

    def learned(self) -> dict[str, Any]:
        document = json.loads(json.dumps(self.engine.policy_document()))
        return {key: document[key] for key in ("predictions", "models", "routes", "breakers")}


@pytest.fixture
def world() -> World:
    made = World()
    made.live("ezra", "mallory")
    return made


def without() -> dict[str, Any]:
    """What is learned where mallory never was."""
    made = World()
    made.live("ezra")
    return made.learned()


@pytest.mark.parametrize("kind", ["quarantine", "forget"])
def test_a_house_that_is_set_aside_leaves_every_estimate(world: World, kind: str) -> None:
    assert "mallory" in world.learned()["predictions"]

    event = world.order(kind, "mallory")

    assert event.kind == "order"
    assert "learned again" in event.reason
    assert "begin their evidence anew" in event.reason
    assert world.learned()["predictions"] == without()["predictions"]
    assert world.learned()["models"] == without()["models"]
    world.engine.analyze_and_adapt()  # and it stays away
    assert world.learned()["models"] == without()["models"]
    assert [b for b in world.learned()["breakers"] if b["house"] == "mallory"] == []


def test_a_quarantined_house_is_counted_and_shown_on_and_never_learned_from(
    world: World,
) -> None:
    world.order("quarantine", "mallory")
    before = world.database.get_house_performance("mallory")["total_executions"]
    learned = world.learned()["predictions"]

    world.live("mallory", rounds=5)

    assert world.database.get_house_performance("mallory")["total_executions"] == before + 30
    assert world.learned()["predictions"] == learned
    assert world.engine.open_breakers() == 0


def test_a_released_house_is_learned_from_again_with_what_was_counted_meanwhile(
    world: World,
) -> None:
    before = world.learned()["predictions"]
    world.order("quarantine", "mallory")
    world.order("release", "mallory")

    assert world.learned()["predictions"] == before


def test_of_a_forgotten_house_nothing_is_left_but_what_refuses_a_second_count(
    world: World,
) -> None:
    event = world.order("forget", "mallory")

    assert "120 calls are removed" in event.reason
    assert world.database.houses() == ["ezra"]
    assert {row.house for row in world.database.tool_counts(0.0)} == {"ezra"}
    assert {e.house for e in world.database.executions_after(0, 10_000)} == {"ezra"}
    (model,) = world.database.get_model_performance()
    alone = World()
    alone.live("ezra")
    assert [model] == list(alone.database.get_model_performance()), (
        "sums of the models are those of the others"
    )

    world.order("release", "mallory")
    row = {"tool": "t0", "shape": "s0", "owner": "mallory", "house": "mallory", "outcome": "ok"}
    seen = {**row, "session_id": f"mallory-{NOW}", "call_id": "0", "at": NOW}
    assert world.engine.record_executions([seen]) == 0, "counted before: never twice"
    assert world.engine.record_executions([{**row, "at": world.at}]) == 1


def test_what_an_order_did_survives_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path / "timmy.db")
    world.live("ezra", "mallory")
    world.order("quarantine", "mallory")
    world.live("ezra", "mallory", rounds=2)
    learned = world.learned()["predictions"]
    world.database.close()

    world.open()

    assert world.learned()["predictions"] == learned
    assert "mallory" not in learned


@pytest.mark.parametrize(
    ("kind", "house"), [("quarantine", "nobody"), ("forget", "nobody"), ("release", "ezra")]
)
def test_an_order_that_makes_no_sense_is_refused(world: World, kind: str, house: str) -> None:
    before = world.learned()

    assert world.order(kind, house).kind == "order_refused"
    assert world.learned() == before


def test_a_breaker_that_the_operator_forced_stays_whatever_becomes_of_its_house(
    world: World,
) -> None:
    world.database.add_order("force", {"house": "mallory", "tool": "browser"}, at=world.at)
    world.tick()

    world.order("quarantine", "mallory")

    (breaker,) = [b for b in world.learned()["breakers"] if b["house"] == "mallory"]
    assert (breaker["tool"], breaker["state"]) == ("browser", "open")
