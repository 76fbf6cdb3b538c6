"""What the policy does to a call, before and after it: one place for Hermes and for `Harness`."""

import re
import threading
from collections.abc import Callable, Container
from datetime import UTC, datetime
from typing import Any, NamedTuple

from .drawing import drawn_by
from .keys import ROUTING
from .reader import Policies
from .shape import shape
from .tasks import DEFAULT_TASKS, TaskTable

BREAKER_OPEN = "breaker_open"
HELD_BACK = "evidence_threshold"
MOST_READS = 3
MOST_LINES = 4
_MOST_TURNS = 256
_WORTH_SAYING = 0.2
_SHOWABLE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,47}( [a-z][a-z0-9:-]{0,23}){0,2}")
_TASKS = TaskTable.of(DEFAULT_TASKS)


class Decision(NamedTuple):
    """What is to become of one call.

    Attributes:
        allowed: False: do not run it; `message` is the one sentence for the model.
        rule: Which rule refused it: `breaker_open` or `evidence_threshold`; empty if none did.
        task: read, build, test, judge or other.
        shape: The safe short form of the call.
        predicted: Its probability of success, None without enough evidence.
        probe: It is the probe of a half-open breaker.
        serial: It is a test call that should not run beside others.
    """

    allowed: bool = True
    message: str = ""
    rule: str = ""
    task: str = "other"
    shape: str = ""
    predicted: float | None = None
    probe: bool = False
    serial: bool = False


class _Turn:
    """What a turn has done so far: successful reads, and whether a call was held back."""

    __slots__ = ("held", "reads", "turn")

    def __init__(self, turn: str) -> None:
        self.turn = turn
        self.reads = 0
        self.held = False


class Obedience:
    """Applies every policy key to the calls of one house, as CONTRACT §3 says.

    Args:
        policies: Where the policy comes from.
        house: Whose calls these are.
        clock: Unix seconds.
        tools: The tools that exist here, if that is known; advice names no other.
    """

    def __init__(
        self,
        policies: Policies,
        house: str,
        *,
        clock: Callable[[], float],
        tools: Callable[[], Container[str] | None] = lambda: None,
    ) -> None:
        self.policies = policies
        self.house = house
        self._clock = clock
        self._tools = tools
        self._turns: dict[str, _Turn] = {}
        self._lock = threading.Lock()

    def before(
        self, tool: str, args: Any, *, session: str, turn: str, inner: bool = False
    ) -> Decision:
        """Ask whether a call may run; ask once a call, since a half-open breaker counts probes.

        A call inside a script (`inner`) is stopped by a breaker, but never held back: the
        script could not read first.
        """
        short = shape(tool, args)
        task = _TASKS.task_type(tool, short)
        verdict = self.policies.allows(tool, house=self.house)
        if not verdict.allowed:
            message = self._unavailable(tool, verdict.since, verdict.retry_at)
            return Decision(
                allowed=False, message=message, rule=BREAKER_OPEN, task=task, shape=short
            )
        predicted = self.policies.probability(tool, self.house, args, short)
        if task == "build" and not inner and not verdict.probe:
            message = self._held_back(predicted, session, turn)
            if message:
                return Decision(
                    allowed=False,
                    message=message,
                    rule=HELD_BACK,
                    task=task,
                    shape=short,
                    predicted=predicted,
                )
        serial = task == "test" and self._is_fragile(predicted)
        return Decision(
            task=task, shape=short, predicted=predicted, probe=verdict.probe, serial=serial
        )

    def after(self, tool: str, outcome: str, *, task: str, session: str, turn: str) -> None:
        """Tell what became of a call that was allowed: for the breakers and for the turn's evidence."""
        self.policies.record(tool, outcome, house=self.house, session=session)
        if task == "read" and outcome == "ok":
            with self._lock:
                self._turn(session, turn).reads += 1

    def describe(self, tool: str, args: Any) -> tuple[str, str]:
        """The shape and the task type of a call."""
        short = shape(tool, args)
        return short, _TASKS.task_type(tool, short)

    def followed(
        self, tool: str, task: str, model: str | None, *, drawn: bool = False
    ) -> bool | None:
        """Whether a call used what is published for it, model and house; None if nothing is.

        A model that was `drawn` by the published shares follows them, whichever it is.
        """
        document = self.policies.document
        if document is None:
            return None
        agreed: list[bool] = []
        if tool in document.bound("routes", self.house):
            house, _ = self.policies.get_optimal_house(tool, asking=self.house)
            agreed.append(house == self.house)
        choice = self.policies.choice(task, self.house)
        if choice is not None:
            agreed.append(drawn or model == choice["model"])
        return all(agreed) if agreed else None

    def model_for(self, task: str) -> tuple[str, bool] | None:
        """The published model of a task type, and whether to apply it by itself or only advise it.

        It is applied where it is clearly the better one: where its chance to be the best is at or
        above `routing.min_confidence_for_auto_route`, however often all of them fail.
        """
        choice = self.policies.choice(task, self.house)
        if choice is None:
            return None
        model = str(choice["model"])
        best = choice.get("best") or choice.get("weights") or {model: 1.0}
        return model, self._is_sure(float(best.get(model, 0.0)))

    def draw_model(self, task: str, draw: float, *, own: str | None = None) -> str | None:
        """The model to use by itself, drawn by the published shares; None: leave the house's own.

        A house whose own model is among those compared shares its calls out as published from the
        start; another keeps to its own until one is clearly the better. A model whose breaker is
        open is left out.

        Args:
            task: The task type.
            draw: Uniform in [0, 1).
            own: The model that the house uses without being told.
        """
        found = self.model_for(task)
        choice = self.policies.choice(task, self.house)
        if found is None or choice is None:
            return None
        if not found[1] and own not in choice.get("weights", {}):
            return None
        shares = dict(sorted(choice.get("weights", {}).items())) or {found[0]: 1.0}
        while shares:
            model = drawn_by(shares, draw)
            if self.policies.allows(None, house=self.house, model=model).allowed:
                return model
            del shares[model]
        return None

    def house_for(self, tool: str) -> tuple[str, bool]:
        """The published house of a tool, and whether to apply it by itself or only advise it."""
        house, confidence = self.policies.get_optimal_house(tool, asking=self.house)
        return house, confidence is not None and self._is_sure(confidence)

    def advice(self) -> tuple[str, ...]:
        """At most four short lines for the model, none when all is well."""
        document = self.policies.document
        if document is None:
            return ()
        lines: list[str] = []
        for tool, since, retry_at in self.policies.closed_to(self.house):
            if self._showable(tool):
                lines.append(self._unavailable(tool, since, retry_at))
        fragile = self._fragile_tests()
        if fragile:
            lines.append(
                f"Run test calls ({fragile}) one at a time; together they often fail here."
            )
        lines.extend(self._better_houses())
        return tuple(lines[:MOST_LINES])

    def _is_sure(self, confidence: float) -> bool:
        least = self.policies.value(ROUTING, "min_confidence_for_auto_route")
        return least is not None and confidence >= least

    def _is_fragile(self, predicted: float | None) -> bool:
        limit = self.policies.value(self.house, "parallel_test_threshold")
        return (
            self.policies.document is not None
            and None not in (predicted, limit)
            and ((predicted or 0.0) < (limit or 0.0))
        )

    def _held_back(self, predicted: float | None, session: str, turn: str) -> str:
        """The sentence for a build call on too little evidence; empty if it may run."""
        threshold = self.policies.value(self.house, "evidence_threshold")
        if predicted is None or threshold is None:
            return ""
        boost = self.policies.value(self.house, "confidence_boost_for_read_ops") or 0.0
        with self._lock:
            state = self._turn(session, turn)
            evidence = predicted + boost * min(state.reads, MOST_READS)
            if state.held or evidence >= threshold:
                return ""
            state.held = True
        return (
            f"Read first: this call is held back once, because calls like it succeed here in "
            f"{predicted:.0%} of cases and {threshold:.0%} is asked for; read what it depends on, "
            f"then repeat it, and it will run."
        )

    def _turn(self, session: str, turn: str) -> _Turn:
        """The state of the session's turn, new if the turn is; the lock is held."""
        state = self._turns.get(session)
        if state is None or state.turn != turn:
            self._turns.pop(session, None)
            state = self._turns[session] = _Turn(turn)
            while len(self._turns) > _MOST_TURNS:
                del self._turns[next(iter(self._turns))]
        return state

    def _showable(self, tool: str) -> bool:
        """Whether a name from the policy, so from some session, may stand in a prompt."""
        tools = self._tools()
        return _SHOWABLE.fullmatch(tool) is not None and (tools is None or tool in tools)

    def _unavailable(self, tool: str, since: float | None, retry_at: float | None) -> str:
        name = f"The tool {tool}" if _SHOWABLE.fullmatch(tool) else "This tool"
        began = "" if since is None else f" since {datetime.fromtimestamp(since, UTC):%H:%M} UTC"
        if retry_at is None:
            again = "it stays so until the operator clears it"
        else:
            again = f"it is tried again in about {max(1, round(retry_at - self._clock()))} s"
        return (
            f"{name} is unavailable{began}, because it keeps failing; {again}. "
            f"Do not repeat this call before that: use another way, or go on without it and say so."
        )

    def _fragile_tests(self) -> str:
        """The test calls that should not run side by side, as a short list of shapes."""
        document = self.policies.document
        limit = self.policies.value(self.house, "parallel_test_threshold")
        if document is None or limit is None:
            return ""
        found = [
            like
            for tool, item in document.predictions.get(self.house, {}).items()
            for like, figures in item.get("shapes", {}).items()
            if figures["success"] < limit
            and _TASKS.task_type(tool, like) == "test"
            and _SHOWABLE.fullmatch(like)
        ]
        return ", ".join(sorted(found)[:MOST_READS])

    def _better_houses(self) -> list[str]:
        document = self.policies.document
        lines: list[str] = []
        for tool in () if document is None else sorted(document.bound("routes", self.house)):
            house, confidence = self.policies.get_optimal_house(tool, asking=self.house)
            own, _ = self.policies.predict_success(tool, self.house)
            if house == self.house or own is None or confidence is None:
                continue
            if confidence - own >= _WORTH_SAYING and self._showable(tool):
                lines.append(
                    f"House {house} succeeds with {tool} in {confidence:.0%} of cases, this house "
                    f"in {own:.0%}: hand such work over where you can."
                )
        return lines
