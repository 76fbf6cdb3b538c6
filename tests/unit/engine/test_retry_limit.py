"""`<house>.retry_limit` is a policy like every other: on trial where calls are wasted, pinned, published, obeyed."""

import random

import pytest

from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.core.publishing import encode
from timmyd.house.policy import parse
from timmyd.store.batch import Turn

HOUR = 3_600.0
KEY = "ezra.retry_limit"


class World:
    """A house whose sessions try a dead call so often as its limit lets them."""

    def __init__(self, *, dead: float) -> None:
        self.now = 1_795_392_000.0
        self.engine = IntelligenceEngine(PatternDatabase(":memory:"), clock=lambda: self.now)
        self.random = random.Random(3)
        self.dead = dead
        self.sessions = 0

    def limit(self) -> float:
        return self.engine.policies().get("ezra", {}).get("retry_limit", 3.0)

    def session(self) -> None:
        self.sessions += 1
        calls = [{"outcome": "ok", "signature": f"{n:016x}"} for n in range(8)]
        if self.random.random() < self.dead:
            calls += [{"outcome": "error", "signature": "d" * 16}] * int(self.limit())
        self.engine.record_executions(
            {"house": "ezra", "tool": "terminal", "session_id": f"s{self.sessions}",
             "at": self.now + n, "policy": self.engine.revision, **one}
            for n, one in enumerate(calls)
        )  # fmt: skip
        with self.engine.database.batch() as batch:
            turn = Turn(self.now + 20, self.sessions, "ezra", True, False, self.engine.revision)
            batch.add_turn(turn)

    def hours(self, number: int, *, stop: str = "") -> bool:
        """Let it work; True once an event of this kind has happened."""
        for _ in range(6 * number):
            self.session()
            self.now += HOUR / 6
            events = self.engine.analyze_and_adapt()
            self.engine.announce(self.engine.revision + 1, now=self.now)
            if any(e.kind == stop and e.change_type == f"policy.{KEY}" for e in events):
                return True
        return False


def test_where_calls_are_wasted_a_lower_limit_is_tried_and_kept() -> None:
    world = World(dead=0.6)
    assert world.hours(400, stop="trial_started")
    assert world.hours(400, stop="kept")
    assert world.limit() == 2.0
    document = world.engine.policy_document()
    assert document["policies"]["ezra"]["retry_limit"] == 2.0
    assert parse(encode(document), now=world.now).values[KEY] == 2.0


def test_where_none_are_nothing_is_tried() -> None:
    world = World(dead=0.02)
    assert not world.hours(300, stop="trial_started")
    assert "retry_limit" not in world.engine.policy_document()["policies"].get("ezra", {})


@pytest.mark.parametrize(("value", "fits"), [(2.0, True), (8.0, True), (1.0, False), (9.0, False)])
def test_an_operator_pins_it_within_its_bounds(value: float, fits: bool) -> None:
    world = World(dead=0.0)
    world.hours(1)
    world.engine.database.add_order("pin", {"key": KEY, "value": value}, at=world.now)
    world.engine.analyze_and_adapt()
    assert (world.limit() == value) == fits
