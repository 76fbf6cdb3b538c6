"""The choices: which model does best at a type of task, which house at a tool."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from timmyd.core.estimating.choose import Choice, Leader
from timmyd.core.model import Execution
from timmyd.engine.names import count
from timmyd.engine.predictions import REJECTED

ROUTES_MOST = 500
OPTIONS_MOST = 32


class _Saved(msgspec.Struct):
    models: dict[str, bytes]
    routes: dict[str, bytes]
    houses: list[str] = []
    model_calls: dict[str, int] = {}


class Choices:
    """A leader a task type and a tool, over the executions that are rated."""

    def __init__(
        self,
        saved: bytes | None = None,
        *,
        exploration: float = 0.02,
        minimum: int = 20,
        houses: Iterable[str] = (),
        models: Iterable[str] = (),
    ) -> None:
        """Go on from what `dump` gave.

        Args:
            saved: The result of `dump`, None at first.
            exploration: Share of the traffic for options that do not lead.
            minimum: With fewer rated calls nothing is chosen.
            houses: Houses that may be chosen before they were seen at work.
            models: The same for models.

        Raises:
            msgspec.MsgspecError: The bytes are none of these; start afresh.
        """
        self._exploration = exploration
        self._minimum = minimum
        self.models: dict[str, Leader] = {}
        self.routes: dict[str, Leader] = {}
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
        saved = msgspec.msgpack.decode(data, type=_Saved)
        self.models = {name: self._leader(raw) for name, raw in saved.models.items()}
        self.routes = {name: self._leader(raw) for name, raw in saved.routes.items()}
        self.houses, self.model_calls = saved.houses, saved.model_calls

    def _leader(self, saved: bytes | None) -> Leader:
        if saved is None:
            return Leader(exploration=self._exploration, minimum=self._minimum)
        return Leader.load(saved, exploration=self._exploration, minimum=self._minimum)

    def dump(self) -> bytes:
        """The whole state; going on from it gives the same bytes as not having stopped."""
        return msgspec.msgpack.encode(
            _Saved(
                {name: leader.dump() for name, leader in self.models.items()},
                {name: leader.dump() for name, leader in self.routes.items()},
                self.houses,
                self.model_calls,
            )
        )

    def learn(self, executions: Sequence[Execution]) -> None:
        """Take in executions whose outcome says something, in event order."""
        for execution in executions:
            self._learn(execution)
        for task in {execution.task_type for execution in executions} & self.models.keys():
            self.models[task].settle(self._shown_models())
        for tool in {execution.tool for execution in executions} & self.routes.keys():
            self.routes[tool].settle()

    def _learn(self, execution: Execution) -> None:
        ok = execution.outcome == "ok"
        session = str(execution.session) if execution.session else None
        followed = bool(execution.followed)
        if execution.model:
            count(self.model_calls, execution.model)
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
