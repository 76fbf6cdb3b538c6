"""What the policy does to a call, before and after it: one place for Hermes and for `Harness`."""

import threading
from collections.abc import Callable, Container
from typing import Any, NamedTuple

from .advising import TASKS, Advice
from .drawing import drawn_by
from .folding import RepeatKey
from .judgement import RATED
from .keys import ROUTING
from .reader import Policies
from .repeats import RETRY_LIMIT, Repeats
from .shape import shape

BREAKER_OPEN = "breaker_open"
HELD_BACK = "evidence_threshold"
MOST_READS = 3
_MOST_TURNS = 256


class Decision(NamedTuple):
    """What is to become of one call.

    Attributes:
        allowed: False: do not run it; `message` is the one sentence for the model.
        rule: Which rule refused it: `breaker_open`, `retry_limit` or `evidence_threshold`; empty if none did.
        task: read, build, test, judge or other.
        shape: The safe short form of the call.
        predicted: Its probability of success, None without enough evidence.
        probe: It is the probe of a half-open breaker.
        serial: It is a test call that should not run beside others.
        key: What it is known by when it is made again; None inside a script, whose repeats are its own.
        failures: After how many failures in this turn `retry_limit` refused it.
    """

    allowed: bool = True
    message: str = ""
    rule: str = ""
    task: str = "other"
    shape: str = ""
    predicted: float | None = None
    probe: bool = False
    serial: bool = False
    key: RepeatKey | None = None
    failures: int = 0


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

    Attributes:
        limits_repeats: The retry limit is in force, so that one call that fails again and again counts once towards breakers.
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
        self.advising = Advice(policies, house, clock=clock, tools=tools)
        self.repeats = Repeats(policies, house)
        self.limits_repeats = True
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
        task = TASKS.task_type(tool, short)
        verdict = self.policies.allows(tool, house=self.house)
        if not verdict.allowed:
            message = self.advising.unavailable(tool, verdict.since, verdict.retry_at)
            return Decision(
                allowed=False, message=message, rule=BREAKER_OPEN, task=task, shape=short
            )
        key = None if inner else RepeatKey(tool, args)
        failures = 0
        if key is not None and not verdict.probe:
            failures = self.repeats.failures(key, short, session=session, turn=turn)
        if failures:
            message = self.repeats.refusal(tool, short, failures, self.advising.named(tool))
            return Decision(
                allowed=False, message=message, rule=RETRY_LIMIT, task=task, shape=short,
                key=key, failures=failures,
            )  # fmt: skip
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
            task=task, shape=short, predicted=predicted, probe=verdict.probe, serial=serial, key=key
        )

    def as_advice(self, decision: Decision) -> str:
        """What to say of a call that was to be refused and runs all the same, until such refusals count."""
        if decision.key is None:
            return decision.message
        tool = decision.key.tool
        return self.repeats.advice(tool, decision.shape, self.advising.named(tool))

    def refused(self, decision: Decision, *, session: str, turn: str) -> None:
        """Tell that a decision was carried out and the call was not run."""
        if decision.key is not None and decision.failures:
            self.repeats.refused(
                decision.key, decision.shape, decision.failures, session=session, turn=turn
            )

    def after(
        self,
        tool: str,
        outcome: str,
        *,
        task: str,
        session: str,
        turn: str,
        key: RepeatKey | None = None,
        answer: Any = None,
    ) -> None:
        """Tell what became of a call that was allowed: for the breakers and for the turn's evidence.

        Args:
            tool: The tool.
            outcome: Its outcome.
            task: Its task type.
            session: Whose call.
            turn: In which turn.
            key: As the decision had it.
            answer: What it returned or raised; only hashed, to see whether anything moved.
        """
        again = (
            key is not None
            and outcome in RATED
            and self.repeats.ran(
                key, outcome=outcome, answer=answer, task=task, session=session, turn=turn
            )
        )
        # Repeats are the retry limit's business: they say nothing new of the tool.
        if not again or not self.limits_repeats:
            self.policies.record(tool, outcome, house=self.house, session=session)
        if task == "read" and outcome == "ok":
            with self._lock:
                self._turn(session, turn).reads += 1

    def describe(self, tool: str, args: Any) -> tuple[str, str]:
        """The shape and the task type of a call."""
        short = shape(tool, args)
        return short, TASKS.task_type(tool, short)

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

    def draw_model(
        self,
        task: str,
        draw: float,
        *,
        own: str | None = None,
        is_down: Callable[[str], bool] = lambda _: False,
    ) -> str | None:
        """The model to use by itself, drawn by the published shares; None: leave the house's own.

        A house whose own model is among those compared shares its calls out as published from the
        start; another keeps to its own until one is clearly the better, or its own is down. A model
        that is down, or whose breaker is open, is left out.

        Args:
            task: The task type.
            draw: Uniform in [0, 1).
            own: The model that the house uses without being told.
            is_down: Whether a model's provider is known not to answer.
        """
        found = self.model_for(task)
        choice = self.policies.choice(task, self.house)
        if found is None or choice is None:
            return None
        is_own_kept = own not in choice.get("weights", {}) and not (own and is_down(own))
        if not found[1] and is_own_kept:
            return None
        shares = dict(sorted(choice.get("weights", {}).items())) or {found[0]: 1.0}
        while shares:
            model = drawn_by(shares, draw)
            allowed = self.policies.allows(None, house=self.house, model=model).allowed
            if allowed and not is_down(model):
                return model
            del shares[model]
        return None

    def house_for(self, tool: str) -> tuple[str, bool]:
        """The published house of a tool, and whether to apply it by itself or only advise it."""
        house, confidence = self.policies.get_optimal_house(tool, asking=self.house)
        return house, confidence is not None and self._is_sure(confidence)

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
