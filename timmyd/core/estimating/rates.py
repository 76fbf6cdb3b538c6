"""PURE: one success rate, remembered twice, counted with forgetting and shrunk to the level above it.

It is remembered briefly and for long, and each memory is believed by how well it foretold; when the
long one is refuted it starts again from the newest calls alone, so that after a change the figure
is soon right, and surely so.

Calls that come in late (a backlog is read newest first, files are synced at night) are counted as
old as they are: with the weight that they would have kept had they come in time, and only as far as
they seem to be of the same kind as what is known of later.

Source:
    Memories mixed by likelihood with a share that goes back to the start: Herbster, Warmuth,
    Machine Learning 32 (1998) 151. Shrinkage by counts: the Dirichlet back-off of MacKay, Peto,
    Natural Language Engineering 1 (1995) 289.
"""

import math
from typing import Annotated, Final, NamedTuple

import msgspec

HALF_LIVES: Final = (20.0, 1000.0)
"""Calls of a key after which a call counts half in its brief and in its long memory."""
SHARE: Final = 0.003
"""Share of the belief that goes back to the usual with each call: what was right may change."""
REFUTED: Final = 0.02
"""Belief in the long memory below which it starts again from the newest calls."""
PULLS: Final = (0.7, 1.4, 3.0, 6.0, 12.0, 24.0)
"""Among these it is chosen how many calls the level above is worth."""
USUAL: Final = 0.8
"""Success rate of everything, before anything is known, worth two calls."""

_PULL_KEEP: Final = 0.999
_PULL_START: Final = 2
_EVENS, _USUAL_BRIEF, _RESTARTED = 0.5, 0.25, 0.1
"""Belief in the brief memory at first; to which it returns; and after the long one started again."""
_BRIEF_KEEP, LONG_KEEP = (0.5 ** (1.0 / calls) for calls in HALF_LIVES)
_NEWEST_KEEP: Final = 0.5 ** (1.0 / 7.0)
"""What a long memory restarts from: the brief one still holds calls of before the change."""
_SUREST: Final = 0.998
_LEAST_CHANCE: Final = 1e-3
_LATE_CALLS: Final = 3.0
"""A call that so many others of its key overtook was merely a little late."""

_CELLS: Final = 13
_TIMELY: Final = 10
(
    _BRIEF,
    _GOOD_B,
    _SEEN_B,
    _GOOD_L,
    _SEEN_L,
    COUNT,
    _FIRST,
    LAST,
    _GOOD_N,
    _SEEN_N,
    _OTHER,
    _GOOD_O,
    _SEEN_O,
) = range(_CELLS)
Rate = list[float]
"""Belief in the brief memory; successes and calls in brief and long; calls, each once; times of the
first and the last; successes and calls among the newest; belief that late calls are of before a
change; successes and calls among those that came late."""
SavedRate = Annotated[Rate, msgspec.Meta(min_length=_CELLS, max_length=_CELLS)]
SavedPull = Annotated[list[float], msgspec.Meta(min_length=len(PULLS), max_length=len(PULLS))]


class Belief(NamedTuple):
    """What is thought of a success rate: mean and variance."""

    mean: float
    variance: float

    @property
    def size(self) -> float:
        """Calls that tell as much: the parameters' sum of the beta distribution with these moments."""
        return max(1.0, self.mean * (1.0 - self.mean) / self.variance - 1.0)


class Posterior(NamedTuple):
    """What is thought of a success rate: mean, what it is worth in calls, and what it stands on.

    Attributes:
        mean: In (0, 1).
        size: Calls that tell as much: of the beta distribution that has its mean and variance.
        samples: Calls counted, each once.
        failures: Decayed failures behind it; 0.0 only if none is remembered.
        successes: Decayed successes behind it.
    """

    mean: float
    size: float
    samples: int
    failures: float
    successes: float


class Pull:
    """How many calls the level above is worth, by what would have foretold best."""

    __slots__ = ("scores", "value")

    def __init__(self) -> None:
        self.scores = [0.0] * len(PULLS)
        self.value = PULLS[_PULL_START]

    def learn(self, entry: Rate, above: float, *, ok: bool) -> None:
        """Judge the choices by a call of a rate before it is taught to it."""
        brief = entry[_BRIEF]
        long = 1.0 - brief
        good = brief * entry[_GOOD_B] + long * entry[_GOOD_L]
        seen = brief * entry[_SEEN_B] + long * entry[_SEEN_L]
        count = good if ok else seen - good
        rate = above if ok else 1.0 - above
        log = math.log
        self.scores = scores = [
            _PULL_KEEP * score + log((count + pull * rate) / (seen + pull) + _LEAST_CHANCE)
            for score, pull in zip(self.scores, PULLS)  # noqa: B905 - as long, and asked at every call
        ]
        self.value = PULLS[scores.index(max(scores))]

    def set(self, scores: list[float]) -> None:
        """Go on from what was saved."""
        self.scores = list(scores)
        if any(scores):
            self.value = PULLS[scores.index(max(scores))]


def begin(*, ok: bool, at: float) -> Rate:
    """A rate after its first call, at a time in Unix seconds."""
    y = 1.0 if ok else 0.0
    return [_EVENS, y, 1.0, y, 1.0, 1.0, at, at, y, 1.0, _EVENS, 0.0, 0.0]


def teach(entry: Rate, pull: Pull, above: float, *, ok: bool, at: float, now: float) -> float:
    """Take in one more call; returns what the rate said before it."""
    if at < entry[LAST]:
        overtaken = _overtaken_by(entry, at, now)
        if overtaken > _LATE_CALLS:
            said = mixed(entry, pull.value, above)
            _fill_in(entry, pull.value, above, overtaken, ok=ok, at=at)
            return said
    pulled = pull.value
    pull.learn(entry, above, ok=ok)
    brief, good_b, seen_b, good_l, seen_l, count, first, _, good_n, seen_n = entry[:_TIMELY]
    weight = pulled * above
    said_b = (good_b + weight) / (seen_b + pulled)
    said_l = (good_l + weight) / (seen_l + pulled)
    said = brief * said_b + (1.0 - brief) * said_l
    if ok:
        brief = (1.0 - SHARE) * brief * said_b / said + SHARE * _USUAL_BRIEF
        good_b, good_l = good_b * _BRIEF_KEEP + 1.0, good_l * LONG_KEEP + 1.0
    else:
        brief = (1.0 - SHARE) * brief * (1.0 - said_b) / (1.0 - said) + SHARE * _USUAL_BRIEF
        good_b, good_l = good_b * _BRIEF_KEEP, good_l * LONG_KEEP
    seen_b, seen_l = seen_b * _BRIEF_KEEP + 1.0, seen_l * LONG_KEEP + 1.0
    good_n, seen_n = good_n * _NEWEST_KEEP + (1.0 if ok else 0.0), seen_n * _NEWEST_KEEP + 1.0
    if brief > 1.0 - REFUTED:
        brief, good_l, seen_l = _RESTARTED, good_n, seen_n
    count, first = count + 1.0, min(first, at)
    entry[:_TIMELY] = (brief, good_b, seen_b, good_l, seen_l, count, first, at, good_n, seen_n)
    return said


def additive(house: float, shape: float, tool: float) -> float:
    """A shape in a house, if what the house makes of the tool and what the shape does add up.

    The sum is of log odds: of the tool in the house, and of the shape, less that of the tool.
    """
    house, shape, tool = _sure(house), _sure(shape), _sure(tool)
    odds = house / (1.0 - house) * (shape / (1.0 - shape)) * ((1.0 - tool) / tool)
    return odds / (1.0 + odds)


def _sure(rate: float) -> float:
    return _SUREST if rate > _SUREST else max(rate, 1.0 - _SUREST)


def said(entry: Rate | None, pull: Pull, above: float) -> float:
    """What a level says; of a key that was never seen what the level above says."""
    return above if entry is None else mixed(entry, pull.value, above)


def mixed(entry: Rate, pull: float, above: float) -> float:
    """What a level says: the rates of its memories, each shrunk, as far as each is believed."""
    brief, good_b, seen_b, good_l, seen_l = entry[:COUNT]
    weight = pull * above
    said_b = (good_b + weight) / (seen_b + pull)
    return brief * said_b + (1.0 - brief) * (good_l + weight) / (seen_l + pull)


def believed(entry: Rate | None, pull: Pull, above: Belief) -> Belief:
    """What is thought of a rate, by its own calls and by what is thought of the level above.

    Mean and variance are those of the mixture of the two memories, each a beta distribution.
    """
    if entry is None:
        return above
    mean = mixed(entry, pull.value, above.mean)
    brief, variance = entry[_BRIEF], 0.0
    for belief, good, seen in (
        (brief, entry[_GOOD_B], entry[_SEEN_B]),
        (1.0 - brief, entry[_GOOD_L], entry[_SEEN_L]),
    ):
        worth = seen + pull.value
        rate, leans = (good + pull.value * above.mean) / worth, pull.value / worth
        own = rate * (1.0 - rate) / (worth + 1.0)
        variance += belief * (own + leans * leans * above.variance + (rate - mean) ** 2)
    return Belief(mean, variance)


def added(house: Belief, shape: Belief, tool: Belief) -> Belief:
    """`additive` of beliefs; the variances add up in logits."""
    mean = additive(house.mean, shape.mean, tool.mean)
    spread = mean * (1.0 - mean)
    variance = 0.0
    for one in (house, shape):
        own = max(one.mean * (1.0 - one.mean), spread)
        variance += one.variance / (own * own)
    return Belief(mean, min(variance * spread * spread, spread / 2.0))


def told(entry: Rate, belief: Belief) -> Posterior:
    """What is thought of a rate, with what it stands on."""
    failures, successes = entry[_SEEN_L] - entry[_GOOD_L], entry[_GOOD_L]
    return Posterior(belief.mean, belief.size, int(entry[COUNT]), failures, successes)


def _overtaken_by(entry: Rate, at: float, now: float) -> float:
    """How many calls of a key are younger than one of `at`, as far as its times tell."""
    entry[LAST] = last = min(entry[LAST], now)
    if at >= last:
        return 0.0
    if at <= entry[_FIRST]:
        return entry[COUNT]
    return entry[COUNT] * (last - at) / (last - entry[_FIRST])


def _fill_in(
    entry: Rate, pull: float, above: float, overtaken: float, *, ok: bool, at: float
) -> None:
    """Count a late call as it would weigh by now, as far as it seems to be of after the last change."""
    other, good_o, seen_o = entry[_TIMELY:]
    same = (entry[_GOOD_L] + pull * above) / (entry[_SEEN_L] + pull)
    change = (good_o + pull * above) / (seen_o + pull)
    if not ok:
        same, change = 1.0 - same, 1.0 - change
    other = other * change / (other * change + (1.0 - other) * same)
    other = (1.0 - SHARE) * other + SHARE * _EVENS
    y, fits = (1.0 if ok else 0.0), min(1.0, 2.0 * (1.0 - other))
    entry[_TIMELY:] = (other, good_o * _BRIEF_KEEP + y, seen_o * _BRIEF_KEEP + 1.0)
    for good, seen, half_life in ((_GOOD_B, _SEEN_B, HALF_LIVES[0]), (_GOOD_L, _SEEN_L, HALF_LIVES[1])):  # fmt: skip
        weight = fits * 0.5 ** (overtaken / half_life)
        entry[good] += weight * y
        entry[seen] += weight
    entry[COUNT] += 1.0
    entry[_FIRST] = min(entry[_FIRST], at)
