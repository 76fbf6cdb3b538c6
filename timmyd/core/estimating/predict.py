"""PURE: the probability that a call will succeed, with an interval and its reasoning in words."""

from dataclasses import dataclass

from timmyd.core.estimating.calls import Call
from timmyd.core.estimating.effects import MOST_KEYS, Effects

FEW = 3
"""With fewer executions of a tool there is no probability at all."""
_KNOWN_LEAST = 0.1
"""Below this share of variance gone too little is known of this very call."""
_Z_95 = 1.96

_PHRASES = (
    (0.9, "excellent track record"),
    (0.7, "good track record"),
    (0.5, "mixed results"),
)
_POOR = "poor track record, consider alternatives"
INSUFFICIENT = "Insufficient data for prediction"


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is thought of a call before it runs.

    Attributes:
        success: Probability that it ends `ok`; None while too little is known.
        low: Lower end of the 95 % interval of that probability.
        high: Upper end of it.
        samples: Executions of the most similar group that has at least three.
        reasoning: The same in words.
    """

    success: float | None
    low: float
    high: float
    samples: int
    reasoning: str


class Predictor:
    """Learns from executions in their order; the same order gives the same bytes."""

    def __init__(self, *, most_keys: int = MOST_KEYS) -> None:
        self._effects = Effects(most_keys=most_keys)

    def __len__(self) -> int:
        return len(self._effects)

    def predict(
        self,
        tool: str,
        house: str,
        *,
        signature: str | None = None,
        shape: str | None = None,
        model: str | None = None,
        task: str | None = None,
        hour: int | None = None,
    ) -> Prediction:
        """Say how likely a call is to succeed; what is not told (None) is left out.

        Args:
            tool: Its name.
            house: Where it would run.
            signature: Digest of its exact arguments.
            shape: Their safe short form, such as `git status`.
            model: Which model asks.
            task: The task type, as the model's effect differs by it.
            hour: Hour of day, 0 to 23, in the configured zone.
        """
        call = Call(tool, house, signature, shape, model, task, hour)
        belief = self._effects.believe(call)
        samples, group = self._similar(call)
        if self._effects.count("tool", tool) < FEW or belief.known < _KNOWN_LEAST:
            return Prediction(None, 0.0, 1.0, samples, INSUFFICIENT)
        success = belief.success()
        words = next((text for least, text in _PHRASES if success > least), _POOR)
        return Prediction(
            success=success,
            low=min(success, belief.success(-_Z_95)),
            high=max(success, belief.success(_Z_95)),
            samples=samples,
            reasoning=f"Based on {samples} similar executions ({group}): {words}",
        )

    def expect(self, call: Call) -> float:
        """The bare probability, also where `predict` says that too little is known."""
        return self._effects.believe(call).success()

    def learn(
        self,
        tool: str,
        house: str,
        *,
        ok: bool,
        at: float,
        signature: str | None = None,
        shape: str | None = None,
        model: str | None = None,
        task: str | None = None,
        hour: int | None = None,
    ) -> None:
        """Take in one rated execution (ok, or error or timeout) that finished at `at`."""
        call = Call(tool, house, signature, shape, model, task, hour)
        self._effects.learn(call, ok=ok, at=at)

    def shapes(self, tool: str) -> list[tuple[str, int]]:
        """The shapes seen of a tool with their executions, most used first."""
        return self._effects.shapes(tool)

    def prune(self, now: float) -> int:
        """Forget what no execution used for 30 days; returns how many effects."""
        return self._effects.prune(now)

    def dump(self) -> bytes:
        """The whole state; `load` of it goes on bit for bit."""
        return self._effects.dump()

    @classmethod
    def load(cls, data: bytes, *, most_keys: int = MOST_KEYS) -> "Predictor":
        """The inverse of `dump`.

        Raises:
            msgspec.MsgspecError: The bytes are no such state; start afresh.
        """
        self = cls()
        self._effects = Effects.load(data, most_keys=most_keys)
        return self

    def _similar(self, call: Call) -> tuple[int, str]:
        """Executions of the closest group that has enough, and its name."""
        count = 0
        for group, key in (
            (
                "same arguments and house",
                ("house+arguments", call.house, call.tool, call.signature),
            ),
            ("same arguments", ("arguments", call.tool, call.signature)),
            ("same shape", ("shape", call.tool, call.shape)),
            ("same tool and house", ("tool+house", call.tool, call.house)),
            ("same tool", ("tool", call.tool)),
        ):
            count = self._effects.count(*key)
            if count >= FEW:
                return count, group
        return count, "same tool"
