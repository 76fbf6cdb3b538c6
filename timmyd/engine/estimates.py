"""The estimates: how likely a call succeeds, which model and house do best, and how good that was.

Fed in event order, bounded in memory and in work: where more comes in at once than a tick affords,
whole sessions are left out, and what is older than `FRESH_S` counts only until its budget is used.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec

from timmyd.core.estimating.choose import Choice, Leader
from timmyd.core.estimating.predict import Prediction, Predictor
from timmyd.core.estimating.score import Prequential, Scores
from timmyd.core.model import Execution
from timmyd.house.outcome import RATED

FRESH_S = 6 * 3600.0
"""Seconds after which an execution is history: it feeds estimates within a budget, and no decision."""

HISTORY_MOST = 4_000
"""Executions of history that estimates start from; more of it stays in the hour buckets."""

SLICE_MOST = 2_000
"""Executions that one tick learns from at most."""

ROUTES_MOST = 500
OPTIONS_MOST = 32
PAIRS_MOST = 300
SHAPES_MOST = 100
_FEW = 3
_KEPT = 2_000
REJECTED = "rejected"


class _Saved(msgspec.Struct):
    predictor: bytes
    scores: bytes
    models: dict[str, bytes]
    routes: dict[str, bytes]
    pairs: dict[str, int]
    shapes: dict[str, int]
    history_left: int
    houses: list[str] = []
    model_calls: dict[str, int] = {}


class Estimates:
    """Predictor, leaders and scores over one stream of executions."""

    def __init__(
        self,
        saved: bytes | None = None,
        *,
        exploration: float = 0.02,
        minimum: int = 20,
        zone: tzinfo | None = None,
        houses: Iterable[str] = (),
        models: Iterable[str] = (),
    ) -> None:
        """Go on from what `dump` gave; what cannot be read is learned afresh.

        Args:
            saved: The result of `dump`, None at first.
            exploration: Share of the traffic for options that do not lead.
            minimum: With fewer rated calls nothing is chosen.
            zone: In which hours of the day are meant; None for the machine's own.
            houses: Houses that may be chosen before they were seen at work.
            models: The same for models.
        """
        self._exploration = exploration
        self._minimum = minimum
        self._zone = zone
        self.predictor = Predictor()
        self.scores = Prequential()
        self.models: dict[str, Leader] = {}
        self.routes: dict[str, Leader] = {}
        self.pairs: dict[str, int] = {}
        self.shapes: dict[str, int] = {}
        self._history_left = HISTORY_MOST
        self._predictions: dict[str, dict[str, dict[str, Any]]] | None = None
        self.houses: list[str] = []
        self.model_names: list[str] = []
        self.model_calls: dict[str, int] = {}
        if saved is not None:
            self._load(saved)
        for house in houses:
            self._know_house(house)
        self.model_names = list(models)[:OPTIONS_MOST]
        for leader in self.models.values():
            leader.know(self.model_names)

    def _know_house(self, house: str) -> None:
        if house not in self.houses and len(self.houses) < OPTIONS_MOST:
            self.houses.append(house)
            for leader in self.routes.values():
                leader.know(self.houses)

    def _load(self, data: bytes) -> None:
        try:
            saved = msgspec.msgpack.decode(data, type=_Saved)
            self.predictor = Predictor.load(saved.predictor)
            self.scores = Prequential.load(saved.scores)
            self.models = {name: self._leader(raw) for name, raw in saved.models.items()}
            self.routes = {name: self._leader(raw) for name, raw in saved.routes.items()}
        except msgspec.MsgspecError:
            return
        self.pairs, self.shapes = saved.pairs, saved.shapes
        self._history_left = saved.history_left
        self.houses, self.model_calls = saved.houses, saved.model_calls

    def _leader(self, saved: bytes | None) -> Leader:
        if saved is None:
            return Leader(exploration=self._exploration, minimum=self._minimum)
        return Leader.load(saved, exploration=self._exploration, minimum=self._minimum)

    def dump(self) -> bytes:
        """The whole state; going on from it gives the same bytes as not having stopped."""
        return msgspec.msgpack.encode(
            _Saved(
                self.predictor.dump(),
                self.scores.dump(),
                {name: leader.dump() for name, leader in self.models.items()},
                {name: leader.dump() for name, leader in self.routes.items()},
                self.pairs,
                self.shapes,
                self._history_left,
                self.houses,
                self.model_calls,
            )
        )

    # --------------------------------------------------------------------- learning
    def learn(self, executions: Sequence[Execution], *, now: float) -> None:
        """Score the predictions that stood, then learn; executions in event order."""
        chosen = [e for e in executions if self._wanted(e, now)]
        if len(chosen) > SLICE_MOST:
            every = len(chosen) // SLICE_MOST + 1
            chosen = [e for e in chosen if (e.session or e.id) % every == 0]
        self._score(e for e in chosen if now - e.at <= FRESH_S)
        for execution in chosen:
            self._learn(execution)
        for task in {execution.task_type for execution in chosen} & self.models.keys():
            self.models[task].settle(self._shown_models())
        for tool in {execution.tool for execution in chosen} & self.routes.keys():
            self.routes[tool].settle()
        if chosen:
            self._predictions = None

    def _wanted(self, execution: Execution, now: float) -> bool:
        if execution.outcome not in RATED and execution.outcome != REJECTED:
            return False
        if now - execution.at <= FRESH_S:
            return True
        self._history_left -= 1
        return self._history_left >= 0

    def _score(self, executions: Iterable[Execution]) -> None:
        sessions: dict[int, list[tuple[float, float, bool]]] = {}
        reference = self.scores.reference
        for execution in executions:
            if execution.outcome in RATED:
                found = self._predict(execution)
                if found.success is not None:
                    row = (found.success, reference, execution.outcome == "ok")
                    sessions.setdefault(execution.session or -execution.id, []).append(row)
        for rows in sessions.values():
            self.scores.add(rows)

    def _predict(self, execution: Execution) -> Prediction:
        return self.predictor.predict(
            execution.tool,
            execution.house,
            signature=execution.signature,
            shape=execution.shape,
            model=execution.model,
            task=execution.task_type,
            hour=self.hour(execution.at),
        )

    def _learn(self, execution: Execution) -> None:
        ok = execution.outcome == "ok"
        session = str(execution.session) if execution.session else None
        followed = bool(execution.followed)
        if execution.model:
            _count(self.model_calls, execution.model)
            leader = self.models.get(execution.task_type)
            if leader is None:
                leader = self.models[execution.task_type] = self._leader(None)
                leader.know([execution.model, *self.model_names])
            leader.learn(
                execution.model,
                ok=ok,
                session=session,
                followed=followed,
                latency_ms=execution.latency_ms,
                cost=execution.cost,
            )
        if execution.outcome == REJECTED:
            return
        self.predictor.learn(
            execution.tool,
            execution.house,
            ok=ok,
            at=execution.at,
            signature=execution.signature,
            shape=execution.shape,
            model=execution.model,
            task=execution.task_type,
            hour=self.hour(execution.at),
        )
        self._know_house(execution.house)
        route = self.routes.get(execution.tool)
        if route is None and len(self.routes) < ROUTES_MOST:
            route = self.routes[execution.tool] = self._leader(None)
            route.know([execution.house, *self.houses])
        if route is not None:
            route.learn(
                execution.house,
                ok=ok,
                session=session,
                followed=followed,
                latency_ms=execution.latency_ms,
            )
        pair = f"{execution.house}\0{execution.tool}"
        _count(self.pairs, pair)
        _count(self.shapes, f"{pair}\0{execution.shape}")

    def hour(self, at: float) -> int:
        """The hour of the day, 0 to 23, in the configured zone."""
        if self._zone is None:
            return datetime.fromtimestamp(at, UTC).astimezone().hour
        return datetime.fromtimestamp(at, self._zone).hour

    def forget(self, now: float) -> None:
        """Let go of effects that nothing used for long."""
        self.predictor.prune(now)

    # -------------------------------------------------------------------- publishing
    def published_models(self) -> dict[str, dict[str, Any]]:
        """The best model of each task type that has enough evidence, with its weights."""
        found = {}
        for task, leader in sorted(self.models.items()):
            choice = self.model(leader)
            if choice is not None and choice.evaluated:
                found[task] = {
                    "model": choice.leader,
                    "success": choice.success,
                    "low": choice.low,
                    "samples": choice.samples,
                    "weights": choice.weights,
                }
        return found

    def model(self, leader: Leader) -> Choice | None:
        """The choice of a model among those that the settings name or that have shown what they are.

        A name that a session made up is none of them: it gets no share of anybody's calls.
        """
        return leader.decide(self._shown_models())

    def _shown_models(self) -> set[str]:
        shown = (name for name, calls in self.model_calls.items() if calls >= self._minimum)
        return {*self.model_names, *shown}

    def published_routes(self, broken: Mapping[str, frozenset[str]]) -> dict[str, dict[str, Any]]:
        """The best house of each tool that has enough evidence, with its weights.

        Args:
            broken: For each tool the houses whose breaker is open: they are not chosen.
        """
        found = {}
        for tool, leader in sorted(self.routes.items()):
            choice = self.route(leader, broken.get(tool, frozenset()))
            if choice is not None and choice.evaluated:
                found[tool] = {
                    "house": choice.leader,
                    "confidence": choice.success,
                    "samples": choice.samples,
                    "weights": choice.weights,
                }
        return found

    def route(self, leader: Leader, broken: frozenset[str]) -> Choice | None:
        """The choice of a house for one tool."""
        if not broken:
            return leader.decide()
        return leader.decide(set(self.houses) - broken)

    def published_predictions(self) -> dict[str, dict[str, dict[str, Any]]]:
        """For the most used tools of each house: success, interval, samples, and by shape."""
        if self._predictions is None:
            self._predictions = self._predict_all()
        return self._predictions

    def _predict_all(self) -> dict[str, dict[str, dict[str, Any]]]:
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for pair in _most_used(self.pairs, PAIRS_MOST):
            house, _, tool = pair.partition("\0")
            whole = self.predictor.predict(tool, house)
            if whole.success is not None:
                found.setdefault(house, {})[tool] = _entry(whole) | {"shapes": {}}
        for triple in _most_used(self.shapes, SHAPES_MOST):
            house, tool, shape = triple.split("\0", 2)
            entry = found.get(house, {}).get(tool)
            if entry is not None and self.shapes[triple] >= _FEW:
                one = self.predictor.predict(tool, house, shape=shape)
                if one.success is not None:
                    entry["shapes"][shape] = _entry(one)
        return found

    def accuracy(self) -> Scores | None:
        """How good the predictions were; None before there are enough."""
        return self.scores.scores()


def _entry(found: Prediction) -> dict[str, Any]:
    return {
        "success": found.success,
        "low": found.low,
        "high": found.high,
        "samples": found.samples,
    }


def _count(counts: dict[str, int], name: str) -> None:
    """Count a name; where too many are kept, the rarest tenth goes."""
    counts[name] = counts.get(name, 0) + 1
    if len(counts) > _KEPT:
        for rare in sorted(counts, key=lambda known: counts[known])[: _KEPT // 10]:
            del counts[rare]


def _most_used(counts: Mapping[str, int], most: int) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))[:most]
