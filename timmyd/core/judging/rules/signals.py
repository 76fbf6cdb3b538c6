"""SIGNALS: what a rule can watch; each maps one call or turn to a number in [0, 1], or to None."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from timmyd.core.judging.rules.base import Observation

RATED: Final = {"ok": 1.0, "error": 0.0, "timeout": 0.0}
"""The outcomes that make a success rate; the others are counted and shown, not rated."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that can be watched.

    Attributes:
        name: As it stands in the settings.
        words: What it is, for reasons and reports.
        good: Whether high or low values are the wanted ones.
        value: (observation, scale) → a number in [0, 1], or None when the observation says nothing.
        quantile: For a latency quantile: which; the limit is then in milliseconds.
        scaled: Whether `value` needs the typical latency (milliseconds) as its scale.
        kind: Which observations can carry it.
    """

    name: str
    words: str
    good: Literal["high", "low"]
    value: Callable[[Observation, float], float | None]
    quantile: float | None = None
    scaled: bool = False
    kind: Literal["tool", "turn"] = "tool"


def _success(call: Observation, _scale: float) -> float | None:
    return RATED.get(call.outcome or "")


def _confidence(call: Observation, _scale: float) -> float | None:
    return None if call.confidence is None else min(1.0, max(0.0, call.confidence))


def _followed(call: Observation, scale: float) -> float | None:
    return _success(call, scale) if call.followed is True else None


def _not_followed(call: Observation, scale: float) -> float | None:
    return _success(call, scale) if call.followed is False else None


def _fell_back(call: Observation, scale: float) -> float | None:
    return _success(call, scale) if call.fell_back is True else None


def _held_back(call: Observation, _scale: float) -> float | None:
    if call.held_back is None:
        return None
    return 1.0 if call.held_back else 0.0


def _wasted(call: Observation, _scale: float) -> float | None:
    if call.wasted is None:
        return None
    return 1.0 if call.wasted else 0.0


def _completed(turn: Observation, _scale: float) -> float | None:
    if turn.completed is None:
        return None
    return 1.0 if turn.completed else 0.0


def _slower(call: Observation, scale: float) -> float | None:
    if call.latency_ms is None or call.outcome not in RATED:
        return None
    return 1.0 if call.latency_ms > scale else 0.0


def _latency(call: Observation, scale: float) -> float | None:
    """Latency squeezed into [0, 1): half at the typical latency, so that one hanging call cannot rule."""
    if call.latency_ms is None or call.outcome not in RATED:
        return None
    latency_ms = max(0.0, call.latency_ms)
    return latency_ms / (latency_ms + scale)


_ALL: Final = (
    Signal("success_rate", "share of rated calls that succeeded", "high", _success),
    Signal("confidence", "mean confidence of the calls", "high", _confidence),
    Signal("followed_success", "success of the calls that followed advice", "high", _followed),
    Signal("not_followed_success", "success of the calls that did not", "high", _not_followed),
    Signal("fell_back_success", "success of the calls that fell back to timmy", "high", _fell_back),
    Signal("held_back_share", "share of calls that were held back", "low", _held_back),
    Signal("wasted_share", "share of calls that hopelessly repeated a failure", "low", _wasted),
    Signal("turns_completed", "share of turns completed", "high", _completed, kind="turn"),
    Signal("latency", "latency against its own typical value", "low", _latency, scaled=True),
    Signal("latency_p50", "share of calls slower than the limit", "low", _slower, quantile=0.50),
    Signal("latency_p90", "share of calls slower than the limit", "low", _slower, quantile=0.90),
    Signal("latency_p95", "share of calls slower than the limit", "low", _slower, quantile=0.95),
    Signal("latency_p99", "share of calls slower than the limit", "low", _slower, quantile=0.99),
)

SIGNALS: Final = {signal.name: signal for signal in _ALL}

GUARDS: Final = frozenset(signal.name for signal in _ALL if signal.quantile is None)
"""What can be a guard: a latency quantile cannot, it needs a limit of its own; `latency` can."""
