"""PURE: what one owner's calls show of the options: successes by type, and how they changed.

Options are the models of a type of task, or the houses of a tool. What happened counts less with
every call since, slowly: a change is found by a test for changes, not by forgetting. What an
option does elsewhere is where it starts from in a type that is new to it.

An option may look bad only because hard cases are sent to it by those who choose for themselves.
So calls that followed the published choice are counted on their own as well, and compared with
the others block by block, at the same time.

Names come from sessions, so any number of them may come: only the most used are kept.
"""

import math
import zlib
from typing import Final

import msgspec

from timmyd.core.detect import clamp, logit, sigmoid
from timmyd.core.estimating.counts import Apart, Counts, Drift

KEEP: Final = 0.9995
"""How much of what is known in a type is left after one more call of it."""
KEEP_ELSEWHERE: Final = 0.9999
"""The same of what an option is known for in other types, after one more call of any type."""
SHIFT: Final = 0.6
"""Logits by which an option has to rise or fall to be looked for."""
CHANGED_AT: Final = 8.0
"""Log likelihood ratio at which an option has changed in one type."""
CHANGED_ALL_AT: Final = 10.0
"""The same over all types together: more calls, so more chances to be wrong."""
LEFT: Final = 0.05
LEFT_MOST: Final = 20.0
"""What a change leaves of all that was known, as a share and in calls: a hint."""
NAMES_MOST: Final = 32
TYPES_MOST: Final = 256

_CORRELATION: Final = 0.1
_SESSIONS_KEPT: Final = 1024
_BLOCK: Final = 100
_PRICE_KEEP: Final = 0.98
_SPARE: Final = 8
_SUREST: Final = 0.995


class Record(msgspec.Struct, array_like=True, gc=False):
    """One option in one type."""

    all: Counts = msgspec.field(default_factory=Counts)
    followed: Counts = msgspec.field(default_factory=Counts)
    slow: Counts = msgspec.field(default_factory=Counts)
    drift: Drift = msgspec.field(default_factory=Drift)
    apart: Apart = msgspec.field(default_factory=Apart)


class Option(msgspec.Struct):
    """One option in all types.

    Attributes:
        calls: How many were counted.
        everywhere: What it does in all types together.
        drift: Whether it changed in all of them together.
        by_type: What it does in each type.
        cost, latency_ms: Decayed means of what a call takes, None while nothing was told.
    """

    calls: int = 0
    everywhere: Counts = msgspec.field(default_factory=Counts)
    drift: Drift = msgspec.field(default_factory=Drift)
    by_type: dict[str, Record] = {}
    cost: float | None = None
    latency_ms: float | None = None


class Contest(msgspec.Struct):
    """One type: its clock in calls, how many there were, how many in the present block."""

    clock: float = 0.0
    calls: int = 0
    in_block: int = 0
    apart: bool = False


class Experience(msgspec.Struct):
    """What one owner's calls show of all options in all types."""

    options: dict[str, Option] = {}
    contests: dict[str, Contest] = {}
    clock: float = 0.0
    calls: int = 0
    sessions: dict[int, int] = {}

    def learn(
        self,
        kind: str,
        name: str,
        *,
        ok: bool,
        session: str | None = None,
        followed: bool = False,
        cost: float | None = None,
        latency_ms: float | None = None,
    ) -> None:
        """Take in one rated call of a type; calls after the first of a session weigh less.

        Args:
            kind: The type of task, or the tool.
            name: The option that was used.
            ok: Whether it succeeded.
            session: Whose call; None: one of its own.
            followed: Whether the published choice made it.
            cost: What it cost, in any one unit.
            latency_ms: How long it took.
        """
        weight = self._weight(kind, session)
        contest, option, record = self._places(kind, name)
        up, down = _drifts(self.expected(kind, name), ok=ok)
        self.clock += weight
        self.calls += 1
        contest.clock += weight
        contest.calls += 1
        good = weight if ok else 0.0
        counted = (record.all, record.followed) if followed else (record.all,)
        for counts in counted:
            counts.fade(KEEP, contest.clock)
            counts.add(good, weight)
        for counts in (record.slow, option.everywhere):
            counts.fade(KEEP_ELSEWHERE, self.clock)
            counts.add(good, weight)
        option.calls += 1
        option.cost = _blend(option.cost, cost)
        option.latency_ms = _blend(option.latency_ms, latency_ms)
        self._compare(kind, contest, record.apart, (good, weight), followed=followed)
        changed = record.drift.update(weight * up, weight * down) >= CHANGED_AT
        if option.drift.update(weight * up, weight * down) >= CHANGED_ALL_AT:
            for each in self.contests:
                self._forget(each)
        elif changed:
            self._forget(kind)

    def expected(self, kind: str, name: str) -> float:
        """The success rate of an option in a type as it is believed to be."""
        good, seen = self.of(kind, name)
        elsewhere = self.elsewhere(kind, name)
        prior_good, prior_seen = prior(elsewhere[0], elsewhere[1])
        return (good + prior_good) / (seen + prior_seen)

    def of(self, kind: str, name: str) -> tuple[float, float]:
        """Successes and calls of an option in a type; of followers only, where others differ."""
        record, contest = self._record(kind, name), self.contests.get(kind)
        if record is None or contest is None:
            return 0.0, 0.0
        counts = record.followed if contest.apart else record.all
        left = KEEP ** (contest.clock - counts.at)
        return counts.good * left, counts.seen * left

    def elsewhere(self, kind: str, name: str) -> tuple[float, float]:
        """Successes and calls of an option in all other types."""
        option = self.options.get(name)
        if option is None:
            return 0.0, 0.0
        left = KEEP_ELSEWHERE ** (self.clock - option.everywhere.at)
        good, seen = option.everywhere.good * left, option.everywhere.seen * left
        record = option.by_type.get(kind)
        if record is not None:
            left = KEEP_ELSEWHERE ** (self.clock - record.slow.at)
            good, seen = good - record.slow.good * left, seen - record.slow.seen * left
        return max(0.0, good), max(0.0, seen)

    def lately(self, name: str) -> float:
        """Calls of an option in all types that still count."""
        option = self.options.get(name)
        if option is None:
            return 0.0
        left = KEEP_ELSEWHERE ** (self.clock - option.everywhere.at)
        return float(option.everywhere.seen * left)

    def names(self, kind: str) -> list[str]:
        """The options that were used in a type."""
        return [name for name, option in self.options.items() if kind in option.by_type]

    def _record(self, kind: str, name: str) -> Record | None:
        option = self.options.get(name)
        return None if option is None else option.by_type.get(kind)

    def _weight(self, kind: str, session: str | None) -> float:
        if session is None:
            return 1.0
        key = zlib.crc32(f"{kind}\0{session}".encode("utf-8", "replace"))
        calls = self.sessions.pop(key, 0)
        self.sessions[key] = calls + 1
        if len(self.sessions) > _SESSIONS_KEPT:
            del self.sessions[next(iter(self.sessions))]
        return 1.0 / (1.0 + _CORRELATION * calls)

    def _places(self, kind: str, name: str) -> tuple[Contest, Option, Record]:
        contest = self.contests.get(kind)
        if contest is None:
            if len(self.contests) >= TYPES_MOST:
                self._drop_types()
            contest = self.contests[kind] = Contest()
        option = self.options.get(name)
        if option is None:
            if len(self.options) >= NAMES_MOST:
                rare = sorted(self.options, key=lambda known: self.options[known].calls)
                for known in rare[:_SPARE]:
                    del self.options[known]
            option = self.options[name] = Option(everywhere=Counts(at=self.clock))
        record = option.by_type.get(kind)
        if record is None:
            record = option.by_type[kind] = Record()
            record.all.at = record.followed.at = contest.clock
            record.slow.at = self.clock
        return contest, option, record

    def _drop_types(self) -> None:
        rare = sorted(self.contests, key=lambda known: self.contests[known].calls)
        for known in rare[: TYPES_MOST // _SPARE]:
            del self.contests[known]
            for option in self.options.values():
                option.by_type.pop(known, None)

    def _compare(
        self,
        kind: str,
        contest: Contest,
        apart: Apart,
        counted: tuple[float, float],
        *,
        followed: bool,
    ) -> None:
        if followed:
            apart.good, apart.seen = apart.good + counted[0], apart.seen + counted[1]
        else:
            apart.other_good += counted[0]
            apart.other_seen += counted[1]
        contest.in_block += 1
        if contest.in_block >= _BLOCK:
            contest.in_block = 0
            records = [record for name in self.names(kind) if (record := self._record(kind, name))]
            for record in records:
                record.apart.close()
            contest.apart = any(record.apart.differs for record in records)

    def _forget(self, kind: str) -> None:
        """After a change: of what was known in a type little is left, nor is it told elsewhere."""
        for option in self.options.values():
            option.drift = Drift()
            record = option.by_type.get(kind)
            if record is None:
                continue
            record.drift = Drift()
            left = min(LEFT, LEFT_MOST / max(LEFT_MOST, record.all.seen))
            record.all.shrink(left)
            record.followed.shrink(left)
            record.slow.fade(KEEP_ELSEWHERE, self.clock)
            option.everywhere.fade(KEEP_ELSEWHERE, self.clock)
            gone = 1.0 - left
            option.everywhere.add(-gone * record.slow.good, -gone * record.slow.seen)
            record.slow.shrink(left)


def prior(good: float, seen: float, *, most: float = 20.0) -> tuple[float, float]:
    """Successes and calls that an option starts with in a type, by what it did in all others.

    It is worth at most `most` calls, and as many as there were and two: one of each without any.
    """
    worth = min(most, seen + 2.0)
    return worth * (good + 1.0) / (seen + 2.0), worth


def _drifts(expected: float, *, ok: bool) -> tuple[float, float]:
    """Log likelihood ratios of a rise and of a fall against what was expected."""
    z = logit(clamp(expected, 1.0 - _SUREST, _SUREST))
    usual, up, down = sigmoid(z), sigmoid(z + SHIFT), sigmoid(z - SHIFT)
    if ok:
        return math.log(up / usual), math.log(down / usual)
    return math.log((1.0 - up) / (1.0 - usual)), math.log((1.0 - down) / (1.0 - usual))


def _blend(old: float | None, new: float | None) -> float | None:
    """A decayed mean; None while nothing was told."""
    if new is None or old is None:
        return new if old is None else old
    return _PRICE_KEEP * old + (1.0 - _PRICE_KEEP) * new
