"""Whenever answers come, ticks fall and the daemon restarts: what was learned is what was counted, each call once."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.config import Settings
from timmyd.core.model import Execution
from timmyd.engine.learning import Learner
from timmyd.house.outcome import RATED

START = 1_790_000_000.0
PARTS = ("judgement", "breakers", "estimates", "notices", "choices", "retries", "fallbacks")
"""All that is learned of calls: rules and trials, breakers, predictions and their scores, and so on."""
STEPS = st.one_of(
    st.tuples(st.just("ask"), st.integers(1, 4)),
    st.tuples(st.just("answer"), st.sampled_from(["ok", "error", "rejected", "blocked"])),
    st.tuples(st.just("tick"), st.just(0)),
    st.tuples(st.just("restart"), st.booleans()),
)


class Oracle:
    """What one that never stops learns, who is told of each call once, and once more of a late answer."""

    def __init__(self) -> None:
        self.learner = Learner(Settings(), {})
        self.covered: set[int] = set()
        self.answered: set[int] = set()

    def tick(self, database: PatternDatabase, now: float) -> None:
        houses = database.owners.all().values()
        self.learner.choices.know({house.name: house.owner for house in houses})
        told = []
        for execution in database.executions_after(0, 10_000):
            is_answer = execution.outcome in {*RATED, "rejected"}
            if execution.id not in self.covered or (
                is_answer and execution.id not in self.answered
            ):
                told.append(execution)
            self.covered.add(execution.id)
            if is_answer:
                self.answered.add(execution.id)
        self.learner.observe(told, [], now=now)
        self.learner.observe_requests([], now=now)
        self.learner.tick(now)


class Calls:
    """Calls that are counted when asked for and answered when it pleases."""

    def __init__(self, path: str) -> None:
        self.path, self.now = path, START
        self.waiting: list[Execution] = []
        self.asked = 0
        self.engine = self.open()
        self.oracle = Oracle()

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
                    house="ezra" if self.asked % 2 else "timmy",
                    tool="write_file" if self.asked % 2 else "web_search",
                    task_type="build" if self.asked % 2 else "read",
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
        self.oracle.tick(self.engine.database, self.now)
        self.engine.analyze_and_adapt()

    def check(self) -> None:
        found = self.engine.database.executions_after(0, 10_000)
        rated = sum(execution.outcome in RATED for execution in found)
        assert len(found) == self.asked
        assert self.engine.learner.predictions.learned == rated
        learned, told = self.engine.learner.dump(), self.oracle.learner.dump()
        for part in PARTS:
            assert learned[part] == told[part], part


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
    assert calls.engine.policy_document()["predictions"]["timmy"]["web_search"]["samples"] == 15


def test_a_trial_and_an_open_breaker_have_learned_each_call_once(tmp_path: Path) -> None:
    calls = Calls(str(tmp_path / "timmy.db"))
    for tick in range(240):
        calls.ask(6)
        for n in range(6 if tick % 3 else 3):  # some answers come after their call was covered
            calls.answer("error" if n % 2 else "ok")
        calls.now += 900.0
        calls.tick()
        if tick % 20 == 7:
            calls.restart(orderly=tick % 40 == 7)
            calls.check()
    calls.check()
    assert calls.engine.trials() or calls.engine.database.get_adaptations()
    calls.engine.database.close()
