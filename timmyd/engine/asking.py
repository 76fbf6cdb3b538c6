"""The questions that the engine answers, each with its reasoning; they read and change nothing."""

import math
from collections.abc import Mapping
from typing import Any

from timmyd.clock import Clock
from timmyd.config import Settings
from timmyd.core.estimating.velocity import SessionTally, learning_velocity
from timmyd.core.judging.houses import moved
from timmyd.core.model import ModelPerformance, iso
from timmyd.core.tasks import TASK_TYPES
from timmyd.engine.breaker_answers import explain_breaker
from timmyd.engine.events import told_of
from timmyd.engine.ingest import Ingest
from timmyd.engine.learning import Learner
from timmyd.engine.original import ORIGINAL_HOUSES, OriginalVerbs
from timmyd.house.breaker import BreakerKey
from timmyd.house.figures import NO_DATA, in_words
from timmyd.house.keys import FALLBACK_HOUSE
from timmyd.house.shape import shape as shape_of
from timmyd.house.units import DAY_S
from timmyd.store.database import PatternDatabase

VELOCITY_DAYS = 3.0
_REPORT_DAYS = 7.0
_REPORT_EVENTS = 20


class Answers(OriginalVerbs):
    """What can be asked of the engine; mixed into `IntelligenceEngine`, which owns the parts."""

    database: PatternDatabase
    settings: Settings
    clock: Clock
    learner: Learner
    _ingest: Ingest

    def predict(
        self,
        tool: str,
        house: str,
        params: Mapping[str, Any] | None = None,
        *,
        model: str | None = None,
        at: float | None = None,
    ) -> dict[str, Any]:
        """How likely a call succeeds, as a house reads it: success (None if unknown), low, high, samples, reasoning.

        Args:
            tool: Its name.
            house: Where it would run.
            params: Its arguments; None for all of its calls.
            model: Whose own record at such work is told beside it.
            at: Unix seconds of the last six hours: what was published then; None for now.
        """
        self.catch_up()
        shape = None if params is None else shape_of(tool, params)
        found = self.learner.predictions.nearest(
            house, tool, shape, params, now=self.clock(), at=at
        )
        if found is None:
            return {"success": None, "low": 0.0, "high": 1.0, "samples": 0, "reasoning": NO_DATA}
        figures, group = found
        kept = {name: figures[name] for name in ("success", "low", "high", "samples")}
        recent = {"recent": figures["recent"]} if "recent" in figures else {}
        words = in_words(figures, group)
        if model is not None:
            task = self._ingest.describe.tasks.task_type(tool, shape or "")
            words += _record_of(model, task, self.database.get_model_performance(task))
        return {**kept, **recent, "reasoning": words}

    def predict_success(
        self,
        tool: str,
        house: str,
        params: Mapping[str, Any] | None = None,
        *,
        model: str | None = None,
        at: float | None = None,
    ) -> tuple[float | None, str]:
        """(probability or None, reasoning): the original's verb, the same as a house's."""
        found = self.predict(tool, house, params, model=model, at=at)
        return found["success"], found["reasoning"]

    def explain_route(
        self, tool: str, params: Mapping[str, Any] | None = None, *, house: str | None = None
    ) -> dict[str, Any]:
        """Which house should call a tool: house, confidence (None if unknown), samples, reasoning.

        Args:
            tool: The tool.
            params: Of the call.
            house: Whose question it is, where there are several owners (law 8).
        """
        learner = self.learner
        unit = learner.choices.unit_of(house)
        broken = learner.broken().get(tool, frozenset())
        choice = learner.choices.route(tool, unit, broken)
        if choice is None:
            n = learner.choices.calls(tool, unit)
            reasoning = (
                f"not evaluated: {n} of {self.settings.choice.minimum} calls needed; the fallback"
            )
            return {
                "house": FALLBACK_HOUSE,
                "confidence": None,
                "samples": n,
                "reasoning": reasoning,
            }
        found = self.predict(tool, choice.leader, params)
        confidence = choice.success if found["success"] is None else found["success"]
        shut = f"; broken in {', '.join(sorted(broken))}" if broken else ""
        return {
            "house": choice.leader,
            "confidence": confidence,
            "samples": choice.samples,
            "weights": choice.weights,
            "best": choice.best,
            "reasoning": f"best of {len(choice.best)} houses over {choice.samples} calls{shut}",
        }

    def get_optimal_house(
        self, tool: str, params: Mapping[str, Any] | None = None
    ) -> tuple[str, float | None]:
        """(house, confidence or None): the original's verb; `timmy` where nothing is known."""
        found = self.explain_route(tool, params)
        return found["house"], found["confidence"]

    def explain_model(self, task_type: str, *, house: str | None = None) -> dict[str, Any]:
        """Which model should do a type of task: model (None if unknown), success, samples, reasoning.

        Args:
            task_type: The type.
            house: Whose question it is, where there are several owners (law 8).
        """
        choices = self.learner.choices
        unit = choices.unit_of(house)
        choice = choices.model(task_type, unit)
        if choice is None:
            n = choices.calls(task_type, unit)
            reasoning = f"not evaluated: {n} of {self.settings.choice.minimum} calls needed"
            if len(choices.units()) > 1 and house is None:
                reasoning = "owners differ, each has its own: say whose house"
            return {"model": None, "success": None, "samples": n, "reasoning": reasoning}
        chance = choice.best[choice.leader]
        reasoning = (
            f"best of {len(choice.best)} models with a chance of {chance:.0%},"
            f" over {choice.samples} calls"
        )
        if choice.apart:
            reasoning += "; models fare otherwise where they were chosen freely"
        return {
            "model": choice.leader,
            "success": choice.success,
            "low": choice.low,
            "samples": choice.samples,
            "weights": choice.weights,
            "best": choice.best,
            "reasoning": reasoning,
        }

    def get_best_model(self, task_type: str) -> str | None:
        """The best model of a type of task, None below the minimum of evidence."""
        found = self.explain_model(task_type)["model"]
        return None if found is None else str(found)

    def explain(self, key: str) -> dict[str, Any]:
        """Why a policy, a breaker (HOUSE/TOOL, HOUSE/model:NAME) or a choice (task type, tool) is what it is.

        Raises:
            KeyError: Nothing is called so.
        """
        if key in self.learner.judgement.values():
            found = self.learner.judgement.explain(key)
            found["since"] = iso(found["since"]) if isinstance(found.get("since"), float) else None
            return found
        if key in TASK_TYPES or key == "other":
            return {"key": key, **self.explain_model(key)}
        changed = key.removeprefix("breaker.")
        house, _, name = changed.partition("/" if changed == key else ".")
        of_breaker = explain_breaker(
            self.learner.breakers, self.database, self.settings, house, name
        )
        told = told_of(
            self.learner.notices.shown(self.clock()), house, BreakerKey.named(house, name)
        )
        notices = {"notices": told} if told else {}
        if of_breaker is not None:
            return {"key": key, **of_breaker, **notices}
        if told:
            return {"key": key, **notices}
        if any(key in self.learner.choices.tools(unit) for unit in self.learner.choices.units()):
            return {"key": key, **self.explain_route(key)}
        raise KeyError(key)

    # --------------------------------------------------------------------- reporting
    def velocity(self, now: float) -> dict[str, Any]:
        """The last three days against the three before, like compared with like."""
        new = self._tallies(now - VELOCITY_DAYS * DAY_S, now + 1.0)
        old = self._tallies(now - 2 * VELOCITY_DAYS * DAY_S, now - VELOCITY_DAYS * DAY_S)
        found = learning_velocity(new, old)
        interval = None
        if found.low is not None and found.high is not None:
            interval = (found.low, found.high)
        return {
            "recent_success_rate": _rate(new),
            "previous_success_rate": _rate(old),
            "improvement": math.nan if found.improvement is None else found.improvement,
            "interval": interval,
            "velocity": found.velocity,
        }

    def _tallies(self, since: float, until: float) -> list[SessionTally]:
        return [
            SessionTally(str(lineage), (house, tool), good, total)
            for lineage, house, tool, good, total in self.database.session_tallies(since, until)
        ]

    def accuracy(self) -> dict[str, Any]:
        """How good the predictions were, each against what was published when its call began."""
        predictions = self.learner.predictions
        scores = predictions.scores()
        if scores is None:
            return {}
        return {
            "brier": scores.brier,
            "log_loss": scores.log_loss,
            "baseline_brier": scores.baseline_brier,
            "coverage": predictions.coverage,
            "calibration": [
                {
                    "predicted": bin_.predicted,
                    "observed": bin_.observed,
                    "samples": round(bin_.samples),
                }
                for bin_ in scores.calibration
            ],
            "samples": scores.samples,
            "since": iso(predictions.scored_since),
        }

    def get_intelligence_report(self) -> dict[str, Any]:
        """The original's report: performance, policies, adaptations, velocity, accuracy."""
        now = self.clock()
        houses = dict.fromkeys([*ORIGINAL_HOUSES, *self.database.houses()])
        return {
            "timestamp": iso(now),
            "house_performance": {
                house: self.database.get_house_performance(house, _REPORT_DAYS) for house in houses
            },
            "current_policies": self.policies(),
            "recent_adaptations": [
                event.to_dict() for event in self.database.get_adaptations(_REPORT_EVENTS)
            ],
            "learning_velocity": self.velocity(now),
            "prediction_accuracy": self.prediction_accuracy(now),
            "prediction_scores": self.accuracy(),
        }

    def prediction_accuracy(self, now: float) -> float:
        """The original's figure: mean of 1 - |predicted - outcome| over seven days; nan before any."""
        found = self.learner.predictions.accuracy(now)
        return math.nan if found is None else found

    def policies(self) -> dict[str, dict[str, float]]:
        """The values in force, by house and key."""
        found: dict[str, dict[str, float]] = {}
        for key, value in moved(self.learner.judgement.values()).items():
            house, _, name = key.partition(".")
            found.setdefault(house, {})[name] = value
        return found


def _record_of(model: str, task: str, performance: list[ModelPerformance]) -> str:
    known = next((one for one in performance if one.model == model), None)
    if known is None or known.success_rate is None:
        return f"; nothing is known of {model} at {task} calls"
    return f"; {model} succeeds in {known.success_rate:.0%} of {known.total_calls} {task} calls"


def _rate(tallies: list[SessionTally]) -> float | None:
    total = sum(tally.total for tally in tallies)
    return sum(tally.good for tally in tallies) / total if total else None
