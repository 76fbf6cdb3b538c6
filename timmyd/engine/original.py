"""What callers of the original engine also use: its names for what is here, and answers without a tick."""

from collections.abc import Mapping
from typing import Any

from timmyd.clock import Clock
from timmyd.core.model import AdaptationEvent
from timmyd.engine.steps import Step
from timmyd.store.database import PatternDatabase

ORIGINAL_HOUSES = ("timmy", "ezra", "bezalel")
"""They are in every report, whether they did anything or not."""

_SLICE = 5_000


class OriginalVerbs:
    """Mixed into `IntelligenceEngine`, which owns the parts."""

    database: PatternDatabase
    clock: Clock
    _mark: int
    _turn_mark: int

    @property
    def db(self) -> PatternDatabase:
        """The database, by the original's name."""
        return self.database

    def record_execution(self, data: Mapping[str, Any]) -> int:
        """Count one execution given as a plain dict; returns its id."""
        return self.database.record_execution(data)

    def catch_up(self) -> None:
        """Learn, and decide nothing: what was recorded since the last tick, so that answers know of it."""
        upto = min(self.database.last_execution_id(), self._mark + _SLICE)
        # what was answered late has a place of its own in the tick
        if upto <= self._mark or self.database.answered_between(self._mark, upto):
            return
        turn = self._turn_mark
        step = Step(
            now=self.clock(), after=self._mark, upto=upto, turn_after=turn, turn_upto=turn
        )  # fmt: skip
        self._go_over(step)

    def _go_over(self, step: Step) -> list[AdaptationEvent]:
        raise NotImplementedError
