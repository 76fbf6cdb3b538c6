"""Whenever answers come, ticks fall and the daemon restarts: what was learned is what was counted, each call once."""

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.core.model import Execution
from timmyd.house.outcome import RATED

START = 1_790_000_000.0
STEPS = st.one_of(
    st.tuples(st.just("ask"), st.integers(1, 4)),
    st.tuples(st.just("answer"), st.sampled_from(["ok", "error", "rejected", "blocked"])),
    st.tuples(st.just("tick"), st.just(0)),
    st.tuples(st.just("restart"), st.booleans()),
)


class Calls:
    """Calls that are counted when asked for and answered when it pleases."""

    def __init__(self, path: str) -> None:
        self.path, self.now = path, START
        self.waiting: list[Execution] = []
        self.asked = 0
        self.engine = self.open()

    def open(self) -> IntelligenceEngine:
        return IntelligenceEngine(
            PatternDatabase(self.path, clock=lambda: self.now), clock=lambda: self.now
        )

    def restart(self, *, orderly: bool) -> None:
        if orderly:
            self.engine.save()
        self.engine.database.close()
        self.engine = self.open()

    def ask(self, number: int) -> None:
        with self.engine.database.batch() as batch:
            for _ in range(number):
                self.asked += 1
                execution = Execution(
                    id=batch.new_execution(),
                    at=self.now,
                    session=1 + self.asked % 3,
                    house="timmy",
                    tool="web_search",
                    signature=f"{self.asked:016x}",
                    shape="",
                    model="m",
                    outcome="unknown",
                    source="state_db",
                )
                batch.add(execution)
                self.waiting.append(execution)

    def answer(self, outcome: str) -> None:
        if self.waiting:
            execution = self.waiting.pop(0)
            with self.engine.database.batch() as batch:
                batch.amend(msgspec.structs.replace(execution, outcome=outcome))

    def tick(self) -> None:
        self.now += 30.0
        self.engine.analyze_and_adapt()

    def check(self) -> None:
        found = self.engine.database.executions_after(0, 10_000)
        rated = sum(execution.outcome in RATED for execution in found)
        assert len(found) == self.asked
        assert self.engine.learner.predictions.learned == rated


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEPS, max_size=25))
def test_every_answer_is_learned_once(
    steps: list[tuple[str, int | str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    calls = Calls(str(tmp_path_factory.mktemp("once") / "timmy.db"))
    for what, argument in [*steps, ("tick", 0), ("tick", 0), ("restart", 0), ("tick", 0)]:
        if what == "ask":
            calls.ask(int(argument))
        elif what == "answer":
            calls.answer(str(argument))
        elif what == "tick":
            calls.tick()
            calls.check()
        else:
            calls.restart(orderly=bool(argument))
    calls.check()
    calls.engine.database.close()


def test_an_answer_before_the_first_tick_that_covers_its_call_is_evidence_once() -> None:
    calls = Calls(":memory:")
    for _ in range(30):
        calls.ask(1)
        calls.answer("ok")
    for _ in range(3):
        calls.tick()
    calls.check()
    assert calls.engine.policy_document()["predictions"]["timmy"]["web_search"]["samples"] == 30
