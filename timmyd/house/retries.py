"""PURE: how likely a call succeeds after so many identical failures, as published, else as compiled in."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from .spirals import Repetition

PRIOR_FAILURES: Final = (12, 20, 31, 42, 51)
"""What is known before anything was learned, as identical calls that all failed again after k = 1, 2, …
identical failures in one turn: after one failure 0 of 12 succeeded, and 0 of 56 later in the same trial
(tau-bench's published trajectories of gpt-4o). What a fleet learns is added to it."""

HOPELESS: Final = 0.1
"""Upper bound of the probability of success below which trying again is called hopeless."""

_Z: Final = 1.645


def hopeless(repeats: Repetition, limit: int, bound: Callable[[int], float]) -> int:
    """After how many failures another try is refused; 0: it may run.

    Args:
        repeats: What is known of the call.
        limit: `retry_limit` in force.
        bound: The upper bound of P(success) after so many identical failures.
    """
    failures = repeats.failures(limit)
    return failures if failures and bound(failures) < HOPELESS else 0


def bounds(successes: float, samples: float, failures: int) -> tuple[float, float]:
    """The 90 % interval of P(success | `failures` identical failures before), the prior included.

    The Wilson score interval (Wilson 1927); each end is a one-sided 95 % bound.

    Args:
        successes: How many of the calls succeeded, forgetting included.
        samples: How many calls there were.
        failures: How often each had failed before, at least 1.
    """
    n = samples + PRIOR_FAILURES[min(failures, len(PRIOR_FAILURES)) - 1]
    rate = successes / n
    middle = rate + _Z * _Z / (2.0 * n)
    spread = _Z * math.sqrt(rate * (1.0 - rate) / n + _Z * _Z / (4.0 * n * n))
    whole = 1.0 + _Z * _Z / n
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


def upper_bound(retries: Mapping[str, Any], tool: str, shape: str, failures: int) -> float:
    """The upper bound of P(success) after `failures` identical failures, now or at a later try.

    A poll that succeeds at its twelfth try has a curve that is 0 and then rises: what counts is the best that
    is still to come. The shape's curve is asked first, then the tool's, then the compiled-in prior. A curve that ends before
    `failures` is asked at its end.

    Args:
        retries: The part of the published `retries` that is the house's: by tool.
        tool: The tool of the call.
        shape: Its shape.
        failures: At least 1.
    """
    of_tool = retries.get(tool)
    if isinstance(of_tool, Mapping):
        shapes = of_tool.get("shapes")
        for curve in (shapes.get(shape) if isinstance(shapes, Mapping) else None, of_tool):
            found = _published(curve, failures)
            if found is not None:
                return found
    return bounds(0.0, 0.0, failures)[1]


def _published(curve: object, failures: int) -> float | None:
    if not isinstance(curve, Mapping):
        return None
    after, samples = curve.get("after") or (), curve.get("samples") or ()
    known = min(len(after), len(samples))
    if not known:
        return None
    first = min(failures, known)
    ends = (
        bounds(float(after[k - 1]) * float(samples[k - 1]), float(samples[k - 1]), k)[1]
        for k in range(first, known + 1)
    )
    return max(ends)
