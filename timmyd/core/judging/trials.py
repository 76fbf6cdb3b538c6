"""A change is a trial: old and new value in blocks of random order, judged pair by pair."""

import hashlib
from bisect import bisect_right
from typing import Final, Literal

import msgspec

from timmyd.core.detect import clamp
from timmyd.core.judging.paired import Arm, Blocks, PairedTest

Kind = Literal["relax", "restore"]
Attribution = Literal["revision", "time"]

KEEP: Final = 20.0
"""Evidence of a gain at which a change is kept: wrong in at most 1 of 20 trials without an effect."""
DROP: Final = 4.0
"""Evidence of harm at which a relaxation is taken back at once."""
GUARD_HARM: Final = 10.0
"""Evidence that a guard got worse at which the change is taken back at once."""
GUARD_MARGIN: Final = 0.1
"""A guard has to be shown not to have become so much worse before a change is kept."""
MARGIN: Final = 0.05
"""A default may be this much worse than the relaxed value and is preferred all the same."""
MIN_PAIRS: Final = 6
MAX_PAIRS: Final = 300
DEADLINE_S: Final = 14 * 86_400.0
SESSIONS_A_BLOCK: Final = 2.0
SHORTEST_BLOCK_S: Final = 600.0
LONGEST_BLOCK_S: Final = 43_200.0
LATE_SWITCH_S: Final = 300.0
"""How long after its end a block may still be in force because the next tick is not there yet."""

_FIRST: Final = {"new": "N", "old": "O"}


class ArmStep(msgspec.Struct, array_like=True, gc=False):
    """From when, or from which revision on, one arm of one pair was in force."""

    at: float
    until: float
    pair: int
    arm: Arm
    revision: int | None = None


class Trial(msgspec.Struct, kw_only=True):
    """One change on trial: schedule, coin, attribution and evidence. Values are grid numbers.

    Attributes:
        key: The policy.
        rule: The rule that asked for it.
        kind: `relax` away from the default, `restore` back to it.
        old, new: The two values, on the grid of the judgement.
        started_at: Unix seconds.
        block_s: Length of a block.
        seed: Of the coin: the first arm of pair n is the first bit of SHA-256 over
            `seed|key|started_at|n`.
        attribution: `revision` where telemetry names the revision a call ran under; `time` where
            only the time of a call tells.
        tosses: The log of the coin: the first arm of every pair, N(ew) or O(ld), `-` if missed.
        steps: What was in force when; only what is not settled yet.
        signal: The test on the rule's own signal.
        guards: The tests on its guards, by name: did they get worse?
        intact: The same: is it shown that they did not get worse by `GUARD_MARGIN`?
        open: Unsettled blocks by signal and pair; the rule's own signal is ``""``.
        settled: Pairs below this number are settled.
        revision: The last one published.
    """

    key: str
    rule: str
    kind: Kind
    old: int
    new: int
    started_at: float
    block_s: float
    seed: int
    attribution: Attribution
    tosses: str = ""
    steps: list[ArmStep] = []
    signal: PairedTest
    guards: dict[str, PairedTest] = {}
    intact: dict[str, PairedTest] = {}
    open: dict[str, dict[int, Blocks]] = {}
    settled: int = 0
    revision: int | None = None

    @property
    def arm(self) -> Arm:
        """The arm in force."""
        return self.steps[-1].arm if self.steps else "old"

    @property
    def since(self) -> float:
        """When the block in force began, Unix seconds."""
        return self.steps[-1].at if self.steps else self.started_at

    @property
    def until(self) -> float:
        """When the block in force ends, Unix seconds."""
        return self.steps[-1].until if self.steps else self.started_at

    def turn(self, now: float) -> Arm:
        """Begin the block that `now` lies in, tossing the coin for a new pair; returns its arm."""
        block = int((now - self.started_at) / self.block_s)
        pair, second = divmod(block, 2)
        if self.steps and self.steps[-1].pair == pair:
            first = self.tosses[pair] == "N"
        else:
            first = toss(self.seed, self.key, self.started_at, pair)
            self.tosses = self.tosses.ljust(pair, "-") + _FIRST["new" if first else "old"]
        arm: Arm = "new" if first != bool(second) else "old"
        last = self.steps[-1] if self.steps else None
        if last is None or (last.pair, last.arm) != (pair, arm):
            until = self.started_at + (block + 1) * self.block_s
            step = ArmStep(now, until, pair, arm)
            same = arm == "old" if last is None else last.arm == arm and last.revision is not None
            if same:
                # The published value does not change here: no new revision will tell.
                step.revision = self.revision
            self.steps.append(step)
        return arm

    def published(self, revision: int) -> None:
        """The arm in force went out under this revision."""
        self.revision = revision
        if self.steps and self.steps[-1].revision is None:
            self.steps[-1].revision = revision

    def place(self, at: float, revision: int | None) -> ArmStep | None:
        """The block that a call ran in; None when it ran outside the trial or nobody can tell."""
        if at < self.started_at:
            return None
        if revision is not None and self.revision is not None:
            found = self._ran_under(at, revision)
        elif self.attribution == "revision":
            return None
        else:
            index = bisect_right(self.steps, at, key=_began) - 1
            found = self.steps[index] if index >= 0 else None
            if found is not None and at >= found.until + LATE_SWITCH_S:
                found = None
        return found if found is not None and found.pair >= self.settled else None

    def _ran_under(self, at: float, revision: int) -> ArmStep | None:
        """The revision tells the arm; among blocks of one arm in a row, the time tells which."""
        index = len(self.steps) - 1
        while index >= 0:
            known = self.steps[index].revision
            if known is not None and known <= revision:
                break
            index -= 1
        while index > 0 and at < self.steps[index].at:
            if self.steps[index - 1].arm != self.steps[index].arm:
                break
            index -= 1
        return self.steps[index] if index >= 0 else None

    def add(self, step: ArmStep, stream: str, session: str, x: float) -> None:
        """Count one call on one signal (`""`: the rule's own) in its block."""
        pairs = self.open.setdefault(stream, {})
        blocks = pairs.get(step.pair)
        if blocks is None:
            blocks = pairs[step.pair] = Blocks()
        blocks.add(step.arm, session, x)

    def settle(self, now: float, *, grace_s: float, ways: dict[str, tuple[float, str]]) -> None:
        """Settle the pairs that ended `grace_s` seconds ago, so that no call of theirs is to come.

        Args:
            now: Unix seconds.
            grace_s: How late a call may come.
            ways: By signal (`""`: the rule's own): intra-session correlation, and which way is better.
        """
        while now >= self.started_at + (2 * self.settled + 2) * self.block_s + grace_s:
            for stream, (rho, better) in ways.items():
                blocks = self.open.get(stream, {}).pop(self.settled, None) or Blocks()
                tests = [self.guards[stream]] if stream else [self.signal]
                tests += [self.intact[stream]] if stream in self.intact else []
                for test in tests:
                    test.settle(blocks, rho=rho, better="high" if better == "high" else "low")
            self.settled += 1
        while len(self.steps) > 1 and self.steps[0].pair < self.settled:
            del self.steps[0]


def _began(step: ArmStep) -> float:
    return step.at


def toss(seed: int, key: str, started_at: float, pair: int) -> bool:
    """The coin: whether the new value goes first in this pair. Anyone can check it later."""
    text = f"{seed}|{key}|{started_at!r}|{pair}"
    return hashlib.sha256(text.encode()).digest()[0] & 1 == 1


def block_length_s(pace_per_s: float) -> float:
    """Seconds in which about two sessions show the signal, from ten minutes to twelve hours."""
    if pace_per_s <= 0.0:
        return LONGEST_BLOCK_S
    return clamp(SESSIONS_A_BLOCK / pace_per_s, SHORTEST_BLOCK_S, LONGEST_BLOCK_S)


class TrialVerdict(msgspec.Struct, frozen=True):
    """How a trial ended: whether the new value stays, and why."""

    keep: bool
    words: str


def verdict(trial: Trial, now: float) -> TrialVerdict | None:
    """Judge a trial; None while it goes on.

    A relaxation is kept on a shown gain where every guard is shown to be intact, taken back on a
    hint of harm and at the deadline. A default is restored unless it is shown to be worse by more than the margin.
    """
    test = trial.signal
    late = now - trial.started_at >= DEADLINE_S
    for name, guard in trial.guards.items():
        if guard.worse >= GUARD_HARM and guard.pairs >= MIN_PAIRS:
            return TrialVerdict(keep=False, words=f"the guard {name} got worse")
    if test.pairs < MIN_PAIRS and not late:
        return None
    over = late or test.pairs >= MAX_PAIRS
    if trial.kind == "restore":
        return _restored(test, over=over)
    if test.better >= KEEP:
        waits = [name for name in trial.guards if not _intact(trial, name)]
        if not waits:
            return TrialVerdict(keep=True, words="a gain was shown and no guard got worse")
        if over:
            return TrialVerdict(
                keep=False, words=f"a gain was shown, but not that {waits[0]} is intact"
            )
        return None
    if test.worse >= DROP:
        return TrialVerdict(keep=False, words="it looks harmful")
    if over:
        return TrialVerdict(keep=False, words="no gain was shown in time")
    return None


def _restored(test: PairedTest, *, over: bool) -> TrialVerdict | None:
    if test.better >= KEEP:
        return TrialVerdict(keep=True, words="the default is shown not to be worse")
    if test.worse >= KEEP:
        return TrialVerdict(keep=False, words="the default is shown to be worse")
    if not over:
        return None
    if test.gain is not None and test.gain >= -MARGIN:
        return TrialVerdict(keep=True, words="the default was not worse")
    return TrialVerdict(keep=False, words="the default looked worse, or nothing was seen")


def _intact(trial: Trial, name: str) -> bool:
    """Whether it is shown that a guard did not get worse; without data nothing is."""
    gain, test = trial.guards[name].gain, trial.intact.get(name)
    if gain is None or test is None or test.pairs < MIN_PAIRS:
        return False
    return test.better >= KEEP and gain >= -MARGIN
