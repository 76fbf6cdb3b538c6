"""PURE: which option takes over the lead, and how the traffic is shared out."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from timmyd.core.estimating.arms import Estimate, beats

_DOUBT_SHARE, _DOUBT_AT = 0.30, 0.5
_SWITCH_AT, _LEAST = 0.90, 5.0
_SCARCE_SWITCH_AT, _SCARCE_LEAST, _SCARCE_KNOWN = 0.97, 20.0, 100.0
"""Where evidence is scarce a lucky find leads for long before it is found out: so ask for more, up
to so many executions of its own."""
_STALE, _STALE_SWITCH_AT = 20.0, 0.7


class Standing(NamedTuple):
    """One option in numbers: estimated success, its lower 95 % bound, executions that count."""

    success: float
    low: float
    samples: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What to publish for one task type or tool.

    Attributes:
        leader: The preferred option.
        weights: Share of the traffic by option; they sum to 1, the leader's is the largest.
        success: The leader's estimated success rate.
        low: Lower end of its 95 % interval.
        samples: Decayed executions behind it, rounded down.
        total: Decayed executions of all options, rounded down.
        evaluated: False: too few executions of all options to say anything; do not publish. A new
            leader may have few of its own: unpublished, it would never get any.
        confounded: True: an option fares differently where it was chosen freely (hard cases to
            the strong model); then only executions that followed count, if any are explored.
    """

    leader: str
    weights: dict[str, float]
    success: float
    low: float
    samples: int
    total: int
    evaluated: bool
    confounded: bool


def challenger(
    leader: str, posterior: Mapping[str, Estimate], *, exploring: bool, scarce: bool
) -> str:
    """The option that takes over from the leader, or the leader itself.

    Args:
        leader: Who leads now.
        posterior: How all of them stand.
        exploring: Whether the others get a share; else a stale one counts as usual and is tried.
        scarce: Whether only few of the executions count.
    """
    best, highest = leader, 0.0
    for name, standing in posterior.items():
        better = beats(standing, posterior[leader])
        if not exploring and standing.seen < _STALE:
            ready = better >= _STALE_SWITCH_AT and posterior[leader].seen >= _STALE
        elif scarce and standing.seen < _SCARCE_KNOWN:
            ready = better >= _SCARCE_SWITCH_AT and standing.seen >= _SCARCE_LEAST
        else:
            ready = better >= _SWITCH_AT and standing.seen >= _LEAST
        if name != leader and ready and better > highest:
            best, highest = name, better
    return best


def shares(leader: str, posterior: Mapping[str, Estimate], exploration: float) -> dict[str, float]:
    """Share of the traffic by option; they sum to 1.

    The others get `exploration`, and 30 % while one of them looks at least as good as the leader:
    half of it evenly, half in proportion to the probability that they are better.
    """
    others = {n: beats(p, posterior[leader]) for n, p in posterior.items() if n != leader}
    if exploration <= 0 or not others:
        return {leader: 1.0}
    if max(others.values()) >= _DOUBT_AT:
        exploration = max(exploration, _DOUBT_SHARE)
    total = sum(others.values()) + 1e-9
    weights = {n: exploration * 0.5 * (1.0 / len(others) + b / total) for n, b in others.items()}
    return {leader: 1.0 - sum(weights.values()), **weights}


def best_of(names: Collection[str], posterior: Mapping[str, Estimate]) -> str:
    """The highest mean; the first by name among equals."""
    return max(sorted(names), key=lambda name: posterior[name].mean)
