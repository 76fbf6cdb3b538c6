"""PURE: which of several options leads, and how the calls are shared out among them.

Each option is used as often as it is the best, by all that is known of it; the leader is who is
named. It changes only where another is clearly more likely to be the best, so that equals do not
flip. Closed form, no random draws: the same calls give the same shares, however often one asks.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from timmyd.core.estimating.best import SuccessRate, chances
from timmyd.core.estimating.options import Experience, prior

EXPLORATION, MINIMUM = 0.02, 20
OPTIONS_MOST: Final = 16
"""More options than a choice lists are too many to tell apart."""

_CHANGE_AT, _CHANGE_SURE_AT = 0.8, 0.9
"""How likely a new leader is the better of the two; more is asked against one that was shown best."""
_SHOWN_AT: Final = 0.9
_DEAR_AT: Final = 0.35
"""The dearest gives way already to one that is so likely the better: it must not lead a tie."""
_WORKS_AT: Final = 0.05
_SHARPEN: Final = 1.5
"""Shares are the chances to this power: the many types in which an option is tried anew add up."""
_COST_WORTH, _LATENCY_WORTH = 0.05, 0.02
_Z_95: Final = 1.96


class Standing(msgspec.Struct, frozen=True):
    """One option in numbers.

    Attributes:
        best: The chance that it is the best.
        success: Expected success rate.
        low: Lower end of its 95 % interval.
        samples: Calls in the type that still count.
        works: It is not just that it fails a little less often than all others.
        used: Calls in all types that still count.
        cost: Of a call, None where unknown.
    """

    best: float
    success: float
    low: float
    samples: float
    works: bool
    used: float
    cost: float | None = None


class Lead(msgspec.Struct, frozen=True):
    """Who leads one type, in the view of certain owners.

    Attributes:
        leader: The preferred option.
        shown: Since it leads it was once shown to be the best.
        standings: The leader, then the options that are likeliest to be the best.
        calls: How many calls of the type were counted.
        known: How many calls of all types were.
        apart: Options fare otherwise where they were chosen freely, so only followers count.
    """

    leader: str
    shown: bool
    standings: dict[str, Standing]
    calls: int
    known: int
    apart: bool = False


class Preference(msgspec.Struct, frozen=True):
    """What to publish for one task type or tool.

    Attributes:
        leader: The preferred option.
        weights: Share of the calls by option; they sum to 1.
        best: Chance to be the best, by option; they sum to 1.
        success: The leader's expected success rate.
        low: Lower end of its 95 % interval.
        samples: Calls behind it that still count, rounded down.
        apart: Options fare otherwise where they were chosen freely.
    """

    leader: str
    weights: dict[str, float]
    best: dict[str, float]
    success: float
    low: float
    samples: int
    apart: bool


def stand(
    kind: str, evidences: Sequence[Experience], names: Collection[str], before: Lead | None
) -> Lead | None:
    """Settle who leads a type, once all that came together is learned.

    Args:
        kind: The type of task, or the tool.
        evidences: Of the owners whose calls count.
        names: The options that may lead.
        before: How it stood.

    Returns:
        None without any option.
    """
    if not names:
        return None
    standings = _standings(kind, evidences, sorted(names))
    contests = [e.contests[kind] for e in evidences if kind in e.contests]
    leader, shown = _leads(standings, before)
    kept = dict.fromkeys([leader, *standings])
    return Lead(
        leader=leader,
        shown=shown,
        standings={name: standings[name] for name in list(kept)[:OPTIONS_MOST]},
        calls=sum(contest.calls for contest in contests),
        known=sum(evidence.calls for evidence in evidences),
        apart=any(contest.apart for contest in contests),
    )


def choice(
    lead: Lead, *, exploration: float = EXPLORATION, without: Collection[str] = ()
) -> Preference:
    """What to publish: the leader, everybody's chance to be the best, and the shares to draw.

    Args:
        lead: How the type stands.
        exploration: Share of the calls that goes at least to what is hardly known, to keep learning;
            0: the leader alone is used. Else each is used about as often as it is the best.
        without: Options that cannot be used now. If none can, all are: the last is never taken away.
    """
    standings = {n: s for n, s in lead.standings.items() if n not in without} or lead.standings
    leader = max(standings, key=lambda name: standings[name].best)
    leader = lead.leader if lead.leader in standings else leader
    total = sum(standing.best for standing in standings.values())
    even = 1.0 / len(standings)
    best = {n: one.best / total if total > 0.0 else even for n, one in standings.items()}
    weights = {leader: 1.0}
    if exploration > 0.0:
        least = exploration / max(1, len(best) - 1)
        rare = {name for name in best if name != leader and standings[name].used < MINIMUM}
        weights = _shares({n: max(b, 1e-9) for n, b in best.items()}, rare, least)
    mine = standings[leader]
    return Preference(
        leader=leader,
        weights=weights,
        best=best,
        success=mine.success,
        low=mine.low,
        samples=int(mine.samples),
        apart=lead.apart,
    )


def _shares(best: Mapping[str, float], rare: Collection[str], least: float) -> dict[str, float]:
    """The chances sharpened; what is hardly known gets so much at least."""
    raised = {name: chance**_SHARPEN for name, chance in best.items()}
    total = sum(raised.values())
    shares = {n: max(v / total, least if n in rare else 0.0) for n, v in raised.items()}
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}


def _standings(
    kind: str, evidences: Sequence[Experience], names: Sequence[str]
) -> dict[str, Standing]:
    """The options, the likeliest to be the best first."""
    sums = {name: _sums(kind, evidences, name) for name in names}
    costs = {name: _mean([e.options[name].cost for e in evidences if name in e.options])
             for name in names}  # fmt: skip
    slow = {name: _mean([e.options[name].latency_ms for e in evidences if name in e.options])
            for name in names}  # fmt: skip
    dearest = max((cost for cost in costs.values() if cost), default=1.0)
    slowest = max((ms for ms in slow.values() if ms), default=1.0)
    beliefs = []
    for name in names:
        good, seen, more_good, more_seen, _ = sums[name]
        started, worth = prior(more_good, more_seen)
        handicap = _COST_WORTH * (costs[name] or 0.0) / dearest
        handicap += _LATENCY_WORTH * (slow[name] or 0.0) / slowest
        beliefs.append(SuccessRate(started + good, worth - started + seen - good, handicap))
    found = {}
    for name, belief, best in zip(names, beliefs, chances(beliefs), strict=True):
        low = max(0.0, belief.mean - _Z_95 * belief.deviation)
        works = sums[name][0] + sums[name][2] > 0.0 and belief.mean >= _WORKS_AT
        found[name] = Standing(
            best, belief.mean, low, sums[name][1], works, sums[name][4], costs[name]
        )
    return dict(sorted(found.items(), key=lambda item: (-item[1].best, _dear(item[1]), item[0])))


def _sums(
    kind: str, evidences: Sequence[Experience], name: str
) -> tuple[float, float, float, float, float]:
    """Successes and calls in the type, then in all others, and calls in all, over the owners."""
    here = [evidence.of(kind, name) for evidence in evidences]
    there = [evidence.elsewhere(kind, name) for evidence in evidences]
    return (
        sum(good for good, _ in here),
        sum(seen for _, seen in here),
        sum(good for good, _ in there),
        sum(seen for _, seen in there),
        sum(evidence.lately(name) for evidence in evidences),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    told = [value for value in values if value is not None]
    return sum(told) / len(told) if told else None


def _dear(standing: Standing) -> float:
    return standing.cost or 0.0


def _leads(standings: Mapping[str, Standing], before: Lead | None) -> tuple[str, bool]:
    """The leader, and whether it was shown to be the best since it leads."""
    dearest = _dearest(standings)
    working = [name for name, one in standings.items() if one.works] or list(standings)
    if before is None or before.leader not in working:
        leader, shown = working[0], False
        if leader == dearest and len(working) > 1:
            second = working[1]
            sure = _odds(standings[leader], standings[second]) >= _CHANGE_AT
            leader = leader if sure else second
    else:
        leader, shown = before.leader, before.shown
        needed = _CHANGE_SURE_AT if shown else _CHANGE_AT
        needed = _DEAR_AT if leader == dearest else needed
        best = next((name for name in working if name != leader), leader)
        if best != leader and _odds(standings[best], standings[leader]) >= needed:
            leader, shown = best, False
    mine = standings[leader]
    others = [one for name, one in standings.items() if name != leader]
    return leader, shown or all(_odds(mine, other) >= _SHOWN_AT for other in others)


def _odds(new: Standing, old: Standing) -> float:
    """The chance of the one against the other."""
    both = new.best + old.best
    return new.best / both if both > 0.0 else 0.0


def _dearest(standings: Mapping[str, Standing]) -> str | None:
    """The option that costs more than any other; None where nobody does, or nobody tells."""
    told = [(one.cost, name) for name, one in standings.items() if one.cost is not None]
    if not told:
        return None
    most, name = max(told)
    cheaper = any(cost < most for cost, _ in told)
    return name if cheaper and sum(cost == most for cost, _ in told) == 1 else None
