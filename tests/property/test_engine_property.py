"""The whole engine, through its public verbs, under any traffic, order and interruption."""

import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings, strategies as st

from timmyd import IntelligenceEngine, PatternDatabase

START = 1_790_000_000.0
TICK_S = 120.0
KEY = "ezra.evidence_threshold"

Calls = list[dict[str, Any]]


@st.composite
def traffic(draw: st.DrawFn, *, ticks: int = 10) -> list[Calls]:
    """Calls tick by tick; a tool may be down for a while, so that breakers do move."""
    rng = random.Random(draw(st.integers(0, 100_000)))
    down = draw(st.sets(st.integers(0, ticks - 1)))
    out: list[Calls] = []
    for tick in range(ticks):
        calls: Calls = []
        for n in range(rng.randrange(0, 25)):
            house, tool = rng.choice(["ezra", "timmy"]), rng.choice(["terminal", "patch"])
            failing = 0.95 if tick in down and (house, tool) == ("ezra", "terminal") else 0.1
            calls.append(
                {"at": START + TICK_S * tick + 4.0 * n + rng.random(), "session_id": f"s{n % 4}-{tick // 3}",
                 "call_id": f"c{tick}-{n}", "house": house, "tool": tool, "shape": rng.choice("xy"),
                 "model": rng.choice(["small", "large", None]), "task_type": rng.choice(["build", "test"]),
                 "outcome": "error" if rng.random() < failing else "ok", "latency_ms": rng.choice([None, 30.0]),
                 "policy": rng.choice([None, tick]), "followed": rng.choice([None, True, False])}
            )  # fmt: skip
        out.append(calls)
    return out


class Run:
    """One engine over the traffic, and all that it said and published."""

    def __init__(self, path: str = ":memory:") -> None:
        self.path, self.now = path, START
        self.said: list[Any] = []
        self.engine = self.open()

    def open(self) -> IntelligenceEngine:
        database = PatternDatabase(self.path, clock=lambda: self.now)
        return IntelligenceEngine(database, clock=lambda: self.now)

    def restart(self) -> None:
        self.engine.database.close()
        self.engine = self.open()

    def tick(self, number: int, calls: Sequence[dict[str, Any]]) -> None:
        self.now = START + TICK_S * (number + 1)
        self.engine.record_executions(calls)
        events = self.engine.analyze_and_adapt()
        self.said.append([(event.kind, event.change_type, event.reason) for event in events])
        self.said.append(self.engine.policy_document(revision=number + 1))
        self.engine.announce(number + 1, now=self.now)


@settings(max_examples=15)
@given(traffic(), st.integers(0, 1000))
def test_the_order_in_which_the_calls_of_a_tick_are_taken_in_does_not_matter(
    ticks: list[Calls], seed: int
) -> None:
    rng = random.Random(seed)
    one, other = Run(), Run()
    for number, calls in enumerate(ticks):
        shuffled = list(calls)
        rng.shuffle(shuffled)
        one.tick(number, calls)
        other.tick(number, shuffled)

    assert one.said == other.said


@settings(max_examples=10)
@given(traffic(), st.sets(st.integers(0, 9)))
def test_a_restart_between_any_two_ticks_changes_nothing(
    tmp_path_factory: Any, ticks: list[Calls], stops: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("engine")
    steady, halting = Run(str(folder / "steady.db")), Run(str(folder / "halting.db"))
    for number, calls in enumerate(ticks):
        steady.tick(number, calls)
        halting.tick(number, calls)
        if number in stops:
            halting.restart()
    for run in (steady, halting):
        run.engine.database.close()

    assert steady.said == halting.said


@settings(max_examples=10)
@given(traffic(), st.sampled_from([0.6, 0.7, 0.9]), st.integers(0, 8))
def test_a_pinned_key_is_published_at_its_pin_and_a_rollback_brings_back_what_was(
    ticks: list[Calls], value: float, when: int
) -> None:
    run = Run()
    for number, calls in enumerate(ticks[:when]):
        run.tick(number, calls)
    before = run.engine.current_policies["ezra"]["evidence_threshold"]
    run.engine.database.add_order("pin", {"key": KEY, "value": value}, at=run.now)
    for number, calls in enumerate(ticks[when:], when):
        run.tick(number, calls)
        assert run.said[-1]["policies"]["ezra"]["evidence_threshold"] == value
    pinned = next(e for e in run.engine.adaptation_history if e.kind == "pinned")
    run.engine.database.add_order("unpin", {"key": KEY}, at=run.now)
    run.engine.database.add_order("rollback", {"event": pinned.id}, at=run.now)
    run.tick(len(ticks), [])

    assert run.engine.current_policies["ezra"]["evidence_threshold"] == before


@settings(max_examples=10)
@given(st.lists(st.floats(0.0, 400 * 86_400.0), max_size=30))
def test_without_any_call_nothing_is_said_and_the_defaults_are_published(
    waits: list[float],
) -> None:
    run = Run()
    first = run.engine.policy_document()["policies"]
    for number, wait in enumerate(waits):
        run.now += wait
        assert run.engine.analyze_and_adapt() == []
        assert run.engine.policy_document(revision=number + 1)["policies"] == first
