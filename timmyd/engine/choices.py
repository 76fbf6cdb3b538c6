"""The choices: which model does best at a type of task, which house at a tool, and for whom.

Experience is kept per owner and combined when it is published (law 8). A choice of all owners binds
an owner's houses where it also stands with any one of at least two others left out; else its own
calls decide. A house is only led to houses of its own owner, or of those who pool with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from timmyd.core.estimating.choose import EXPLORATION, MINIMUM, Lead, Preference, choice, stand
from timmyd.core.estimating.options import NAMES_MOST, TYPES_MOST, Experience
from timmyd.core.model import Execution
from timmyd.core.ownership import UNKNOWN
from timmyd.engine.predictions import REJECTED
from timmyd.engine.trust import Units

HOUSES_MOST: Final = 4_096
OWN_CALLS: Final = 5
"""So many calls of its own make a name a model of its owner; fewer may be a slip."""
OTHERS_LEAST: Final = 2

_Leads = dict[str, dict[str, Lead]]
_ALL, _BUT, _OF = "all", "but ", "of "


class _ChoicesState(msgspec.Struct):
    models: dict[str, Experience] = {}
    routes: dict[str, Experience] = {}
    houses: dict[str, str] = {}
    model_leads: _Leads = {}
    route_leads: _Leads = {}
    settings: tuple[list[str], list[list[str]]] = ([], [])


class Choices:
    """Who leads each type of task and each tool, over the executions that are rated."""

    def __init__(
        self,
        saved: bytes | None = None,
        *,
        exploration: float = EXPLORATION,
        minimum: int = MINIMUM,
        houses: Iterable[str] = (),
        models: Iterable[str] = (),
        together: Iterable[Sequence[str]] = (),
    ) -> None:
        """Go on from what `dump` gave.

        Args:
            saved: The result of `dump`, None at first.
            exploration: 0: what leads is used alone; else each about as often as it is the best.
            minimum: With fewer rated calls nothing is chosen.
            houses: Houses that may be chosen before they were seen at work.
            models: The same for models.
            together: Owners that pool.

        Raises:
            msgspec.MsgspecError: The bytes are none of these; start afresh.
        """
        self._exploration, self._minimum = exploration, minimum
        self._models = sorted(set(models))
        groups = [sorted(group) for group in together]
        self._trust = Units(groups)
        self._units: Mapping[str, tuple[str, ...]] | None = None
        self._state = (
            _ChoicesState() if saved is None else msgspec.msgpack.decode(saved, type=_ChoicesState)
        )
        self._houses = list(houses)
        self.know({h: UNKNOWN for h in self._houses if h not in self._state.houses})
        if self._state.settings != (self._models, groups):
            self._state.settings = (self._models, groups)
            self._settle_all()

    def dump(self) -> bytes:
        """The whole state; going on from it gives the same bytes as not having stopped."""
        return msgspec.msgpack.encode(self._state)

    @property
    def houses(self) -> Mapping[str, str]:
        """The houses that were met, each with its owner."""
        return self._state.houses

    @property
    def known(self) -> int:
        """How many calls of models were learned from."""
        return sum(mine.calls for mine in self._state.models.values())

    def know(self, houses: Mapping[str, str]) -> None:
        """Take in whose a house is; what was not known is known from now on."""
        known = self._state.houses
        for house, owner in houses.items():
            if known.get(house) != owner and (len(known) < HOUSES_MOST or house in known):
                known[house] = owner
                self._units = None

    # --------------------------------------------------------------------- learning
    def learn(self, executions: Sequence[Execution]) -> None:
        """Take in executions whose outcome says something, in event order; then settle who leads."""
        tasks: dict[str, None] = {}
        tools: dict[str, None] = {}
        for execution in executions:
            if self._state.houses.get(execution.house) != execution.owner:
                self.know({execution.house: execution.owner})
            self._learn(execution, tasks, tools)
        for task in tasks:
            self._settle_model(task)
        for tool in tools:
            self._settle_route(tool)
        state = self._state
        for views, of in ((state.model_leads, state.models), (state.route_leads, state.routes)):
            for view in views.values():
                for kind in list(view) if len(view) > 2 * TYPES_MOST else ():
                    if not _known(kind, of.values()):
                        del view[kind]

    def _learn(self, execution: Execution, tasks: dict[str, None], tools: dict[str, None]) -> None:
        ok = execution.outcome == "ok"
        session = str(execution.session) if execution.session else None
        followed = bool(execution.followed)
        if execution.model:
            self._of(self._state.models, execution.owner).learn(
                execution.task_type, execution.model, ok=ok, session=session, followed=followed,
                latency_ms=execution.latency_ms, cost=execution.cost,
            )  # fmt: skip
            tasks[execution.task_type] = None
        if execution.outcome != REJECTED:
            self._of(self._state.routes, execution.owner).learn(
                execution.tool, execution.house, ok=ok, session=session, followed=followed,
                latency_ms=execution.latency_ms,
            )  # fmt: skip
            tools[execution.tool] = None

    def _of(self, evidences: dict[str, Experience], owner: str) -> Experience:
        mine = evidences.get(owner)
        if mine is None:
            mine = evidences[owner] = Experience()
            self._units = None
        return mine

    # --------------------------------------------------------------------- settling
    def units(self) -> Mapping[str, tuple[str, ...]]:
        """Who pools, by name of the unit: all owners of houses and of calls."""
        if self._units is None:
            state = self._state
            self._units = self._trust.of({*state.houses.values(), *state.models, *state.routes})
        return self._units

    def _settle_all(self) -> None:
        state = self._state
        state.model_leads, state.route_leads = {}, {}
        for task in sorted({task for mine in state.models.values() for task in mine.contests}):
            self._settle_model(task)
        for tool in sorted({tool for mine in state.routes.values() for tool in mine.contests}):
            self._settle_route(tool)

    def _settle_model(self, task: str) -> None:
        units = self.units()
        if not _known(task, self._state.models.values()):
            return
        for unit in units:
            self._stand(self._state.model_leads, f"{_OF}{unit}", task, {unit: units[unit]})
        if len(units) > OTHERS_LEAST:
            self._stand(self._state.model_leads, _ALL, task, units)
            for left_out in units:
                view = {unit: owners for unit, owners in units.items() if unit != left_out}
                self._stand(self._state.model_leads, f"{_BUT}{left_out}", task, view)

    def _stand(
        self, leads: _Leads, view: str, kind: str, units: Mapping[str, tuple[str, ...]]
    ) -> None:
        """One view of one type: what these units together say of it."""
        evidences = [
            self._state.models[owner]
            for owners in units.values()
            for owner in owners
            if owner in self._state.models
        ]
        named: dict[str, int] = dict.fromkeys(self._models, len(units))
        for owners in units.values():
            for name in self._own(owners):
                named[name] = named.get(name, 0) + 1
        least = min(OTHERS_LEAST, len(units))
        names = [name for name, by in named.items() if by >= least][:NAMES_MOST]
        self._settle(leads.setdefault(view, {}), kind, evidences, names)

    def _own(self, owners: Iterable[str]) -> list[str]:
        """The models that these owners use themselves."""
        calls: dict[str, int] = {}
        for owner in owners:
            mine = self._state.models.get(owner)
            for name, option in () if mine is None else mine.options.items():
                calls[name] = calls.get(name, 0) + option.calls
        return [name for name, count in calls.items() if count >= OWN_CALLS]

    def _settle_route(self, tool: str) -> None:
        for unit, owners in self.units().items():
            evidences = [self._state.routes[o] for o in owners if o in self._state.routes]
            if not _known(tool, evidences):
                continue
            used = {name for evidence in evidences for name in evidence.options}
            names = [h for h in (*self._houses, *used) if self._state.houses.get(h) in owners]
            leads = self._state.route_leads.setdefault(f"{_OF}{unit}", {})
            self._settle(leads, tool, evidences, names)

    def _settle(
        self, leads: dict[str, Lead], kind: str, evidences: Sequence[Experience], names: list[str]
    ) -> None:
        """Who leads now; what was not enough to be published binds nobody to it."""
        before = leads.get(kind)
        if before is not None and before.known < self._minimum:
            before = None
        lead = stand(kind, evidences, names, before)
        if lead is not None:
            leads[kind] = lead

    # -------------------------------------------------------------------- answering
    def model(self, task: str, unit: str) -> Preference | None:
        """The model that binds the houses of a unit at a type of task; None below the minimum."""
        pooled = self._pooled(task, unit)
        lead = self._lead(f"{_OF}{unit}", task) if pooled is None else pooled
        if lead is None or not lead.calls or lead.known < self._minimum:
            return None
        without = () if pooled is None else set(lead.standings) - self._eligible(unit)
        return choice(lead, exploration=self._exploration, without=without)

    def _pooled(self, task: str, unit: str) -> Lead | None:
        """What all say, where it stands with any one of them left out; else None.

        Its figures are those without the one whose absence moves them most.
        """
        general = self._lead(_ALL, task)
        if general is None or general.leader not in self._eligible(unit):
            return None
        usual, moved, found = general.standings[general.leader].success, -1.0, general
        for left_out in self.units():
            view = self._lead(f"{_BUT}{left_out}", task)
            if view is None or view.leader != general.leader or view.known < self._minimum:
                return None
            by = abs(view.standings[view.leader].success - usual)
            if by > moved:
                moved, found = by, view
        return found

    def _lead(self, view: str, task: str) -> Lead | None:
        return self._state.model_leads.get(view, {}).get(task)

    def _eligible(self, unit: str) -> set[str]:
        return {*self._models, *self._own(self.units().get(unit, ()))}

    def route(
        self, tool: str, unit: str, broken: frozenset[str] = frozenset()
    ) -> Preference | None:
        """The house that binds the houses of a unit for a tool; None below the minimum.

        Args:
            tool: The tool.
            unit: Whose houses ask.
            broken: The houses whose breaker is open: they are not chosen.
        """
        lead = self._state.route_leads.get(f"{_OF}{unit}", {}).get(tool)
        if lead is None or lead.calls < self._minimum:
            return None
        return choice(lead, exploration=self._exploration, without=broken)

    def unit_of(self, house: str | None) -> str:
        """The unit of a house; of a house that is not known: the only unit, or none."""
        units = self.units()
        owner = self._state.houses.get(house or "")
        for unit, owners in units.items():
            if owner in owners:
                return unit
        return next(iter(units)) if len(units) == 1 else ""

    def used(self, house: str) -> int:
        """How many calls of a house were learned from."""
        mine = self._state.routes.get(self._state.houses.get(house, UNKNOWN))
        return 0 if mine is None or house not in mine.options else mine.options[house].calls

    def calls(self, kind: str, unit: str) -> int:
        """How many calls of a type of task, or of a tool, a unit knows of."""
        view = _OF + unit
        found = self._lead(view, kind) or self._state.route_leads.get(view, {}).get(kind)
        return 0 if found is None else found.calls

    def tasks(self, unit: str) -> set[str]:
        """The types of task that a model may be chosen for."""
        return {t for view in (_OF + unit, _ALL) for t in self._state.model_leads.get(view, {})}

    def tools(self, unit: str) -> set[str]:
        """The tools that a house may be chosen for."""
        return set(self._state.route_leads.get(f"{_OF}{unit}", {}))


def _known(kind: str, evidences: Iterable[Experience]) -> bool:
    """Whether a type is still kept: only the most used ones are."""
    return any(kind in evidence.contests for evidence in evidences)
