"""Worlds of one signal and one knob, and what drives a judgement, a detector or a rival through them.

Arrivals and luck do not depend on the policy (common random numbers), so runs on one seed are paired.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from timmyd.core.detect import EDetector
from timmyd.core.judging.judgement import Judgement
from timmyd.core.judging.paired import PairedTest
from timmyd.core.judging.rules.base import Observation, PolicySpec, RuleSpec
from timmyd.core.judging.rules.watch import Watch, new_watch
from timmyd.core.judging.trials import GUARD_MARGIN, Trial, TrialVerdict, block_length_s, verdict

TICK_S: Final = 60.0
DAY: Final = 1440
KEY: Final = "ezra.evidence_threshold"
SPEC: Final = PolicySpec(default=0.8, least=0.6, most=0.95, step=0.1)
RULE: Final = RuleSpec(
    name="low_ezra_success_rate",
    policy=KEY,
    signal="success_rate",
    house="ezra",
    task="build",
    limit=0.6,
    side="below",
    direction="lower",
    guard="turns_completed",
)


@dataclass(frozen=True)
class Call:
    """One call: when, in which session, whether it succeeded."""

    at: float
    session: int
    ok: int


def poisson(rng: random.Random, mean: float) -> int:
    """Knuth's draw; a rounded normal above 60."""
    if mean <= 0:
        return 0
    if mean > 60:
        return max(0, int(rng.gauss(mean, math.sqrt(mean)) + 0.5))
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count


def geometric(rng: random.Random, mean: float) -> int:
    """A session size from 1 on with the given mean."""
    if mean <= 1:
        return 1
    return 1 + int(math.log(1.0 - rng.random()) / math.log(1.0 - 1.0 / mean))


def session_level(rng: random.Random, p: float, icc: float) -> float:
    """A session's own success probability: mean `p`, intra-session correlation `icc`."""
    if icc <= 0 or p <= 0 or p >= 1:
        return p
    s = (1.0 - icc) / icc
    return rng.betavariate(max(p * s, 1e-3), max((1 - p) * s, 1e-3))


@dataclass
class SignalWorld:
    """One house's success stream.

    Attributes:
        rate: Calls a tick.
        p: Success probability; `changes` = ((tick, p), …) moves it.
        session_mean, icc: Size of sessions (geometric) and correlation within them.
        batch_every: All traffic of so many ticks arrives at once; None: spread.
        outage: (mean gap, mean length, p while down) in ticks, the long-run mean staying `p`.
        slope: What lowering the knob by 1 adds to p; `guard_slope` what it adds to turns completed.
        turn_p: Share of turns completed; None: the world has no turns.
    """

    seed: int
    n_ticks: int = 10_000
    rate: float = 1.0
    p: float = 0.9
    changes: tuple[tuple[int, float], ...] = ()
    session_mean: float = 1.0
    icc: float = 0.0
    batch_every: int | None = None
    outage: tuple[float, float, float] | None = None
    slope: float = 0.0
    turn_p: float | None = 0.9
    guard_slope: float = 0.0
    t: int = 0
    p_now: float = 0.0
    p_eff: float = 0.0
    turns: list[tuple[float, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Draw the world's fate."""
        self.rng = random.Random(repr(("signal", self.seed)))
        self.turn_rng = random.Random(repr(("turns", self.seed)))
        self.p_now = self.p
        self.live: list[tuple[int, int, float]] = []
        self.sid, self.change, self.down, self.switch_at = 0, 0, False, 0.0
        if self.outage:
            gap, length, _ = self.outage
            self.down = self.rng.random() < length / (gap + length)
            self.switch_at = self.rng.expovariate(1.0 / (length if self.down else gap))

    def _level(self, value: float) -> float:
        while self.change < len(self.changes) and self.changes[self.change][0] <= self.t:
            self.p_now = self.changes[self.change][1]
            self.change += 1
        p = self.p_now
        if self.outage:
            gap, length, p_out = self.outage
            if self.t >= self.switch_at:
                self.down = not self.down
                self.switch_at = self.t + self.rng.expovariate(1.0 / (length if self.down else gap))
            f = length / (gap + length)
            p = p_out if self.down else min(0.999, (p - f * p_out) / (1 - f))
        return min(0.999, max(0.001, p + self.slope * (0.8 - value)))

    def step(self, value: float = 0.8) -> list[Call]:
        """The calls of the next tick, the knob standing at `value`."""
        rng, t = self.rng, self.t
        p = self.p_eff = self._level(value)
        mean = self.rate / self.session_mean
        if self.batch_every:
            mean = mean * self.batch_every if t % self.batch_every == 0 else 0.0
        for _ in range(poisson(rng, mean)):
            self.sid += 1
            own = random.Random(self.seed * 1000003 + self.sid)
            shift = session_level(own, p, self.icc) - p if self.icc > 0 else 0.0
            self.live.append((self.sid, geometric(rng, self.session_mean), shift))
        most = 10**9 if self.batch_every else 3
        calls: list[Call] = []
        keep: list[tuple[int, int, float]] = []
        self.turns = []
        for sid, left, shift in self.live:
            for _ in range(min(left, most)):
                ok = 1 if rng.random() < p + shift else 0
                calls.append(Call(t * TICK_S + 0.001 * len(calls), sid, ok))
            if left > most:
                keep.append((sid, left - most, shift))
            elif self.turn_p is not None:
                q = self.turn_p + self.guard_slope * (0.8 - value)
                done = 1 if self.turn_rng.random() < q else 0
                self.turns.append((t * TICK_S + 30.0, sid, done))
        self.live = keep
        self.t += 1
        return calls


# ------------------------------------------------------------------- detectors
class SessionAlarm:
    """Our rule's evidence as it is in production, restarted after every alarm (tables A to D)."""

    def __init__(
        self, limit: float, level: float = 1e4, *, idle_s: float = 600.0, span_s: float = 0.0
    ) -> None:
        rule = RuleSpec(
            name="r", policy="h.k", signal="success_rate", limit=limit, direction="lower"
        )
        self.watch: Watch = new_watch(rule, level=level, idle_s=idle_s, size=50, age_s=1e12)
        self.span_s = span_s

    def tick(self, t: int, calls: list[Call]) -> bool:
        watch = self.watch
        closed = [
            cluster
            for call in calls
            for cluster in watch.clusters.add(str(call.session), float(call.ok), call.at)
        ]
        for cluster in sorted(closed + watch.clusters.over(t * TICK_S + TICK_S - 1.0)):
            watch.close(cluster, testing=True)
        detector: EDetector = watch.fixed
        hot = detector.value >= detector.level
        if hot and self.span_s:
            hot = detector.confirmed(t * TICK_S, span_s=self.span_s, more=5)
        if hot:
            detector.reset()
        return hot


# ------------------------------------------------------------------ closed loop
@dataclass
class Run:
    """What became of one closed loop."""

    mean_p: float
    final: float
    relaxed: float
    changes: dict[str, int]
    first_verdict_at: float | None
    first_verdict: str
    late: int


def observations(
    world: SignalWorld, calls: list[Call], revision: int | None
) -> Iterator[Observation]:
    """The tick's calls and turns as a judgement sees them."""
    for call in calls:
        outcome = "ok" if call.ok else "error"
        yield Observation(
            call.at, call.session, "ezra", "tool", "terminal", "build", outcome, policy=revision
        )
    for at, session, done in world.turns:
        yield Observation(at, session, "ezra", "turn", policy=revision, completed=bool(done))


def closed_loop(
    world: SignalWorld,
    *,
    rule: RuleSpec = RULE,
    revisions: bool = True,
    stop: Callable[[str], bool] | None = None,
    seed: int = 0,
) -> Run:
    """Drive a judgement through a world.

    Args:
        world: Where.
        rule: The one rule in force.
        revisions: Whether calls name the revision they ran under all the time, or only now and then.
        stop: Given the kind of a change: whether to end the run.
        seed: Of the coins.
    """
    judgement = Judgement([rule], {KEY: SPEC}, seed=seed)
    value, total, relaxed, revision, out_of = 0.8, 0.0, 0, 1, value_at(judgement)
    judgement.published(revision)
    counts: dict[str, int] = {}
    verdict_at, verdict = None, ""
    while world.t < world.n_ticks:
        calls = world.step(value)
        told = revision if revisions or world.t % 10 == 0 else None
        judgement.observe(observations(world, calls, told))
        now = world.t * TICK_S
        changes = judgement.tick(now)
        total += world.p_eff
        relaxed += value < 0.79
        for change in changes:
            counts[change.kind] = counts.get(change.kind, 0) + 1
            if verdict_at is None and change.kind in {"kept", "taken_back"}:
                verdict_at, verdict = now, change.kind
        if (value := value_at(judgement)) != out_of:
            out_of, revision = value, revision + 1
            judgement.published(revision)
        if stop is not None and any(stop(change.kind) for change in changes):
            break
    trial = judgement.trials()
    final = trial[0].old if trial else value
    return Run(
        total / world.t, final, relaxed / world.t, counts, verdict_at, verdict, judgement.late
    )


def value_at(judgement: Judgement) -> float:
    return judgement.values()[KEY]


@dataclass(frozen=True)
class Tried:
    """How one trial ended, after how many days, and what it cost in successes."""

    verdict: str
    days: float
    pairs: int
    lost: float


def trial_alone(world: SignalWorld, *, revisions: bool, guard: bool = False) -> Tried:
    """One trial of 0.7 against 0.8, begun at once, until its verdict (the figures below table E)."""
    watch = new_watch(RULE, level=1e4, idle_s=900.0, size=50, age_s=21_600.0)
    trial = Trial(
        key=KEY,
        rule=RULE.name,
        kind="relax",
        old=8000,
        new=7000,
        started_at=0.0,
        block_s=block_length_s(world.rate / world.session_mean / TICK_S),
        seed=world.seed,
        attribution="revision" if revisions else "time",
        signal=PairedTest(),
        guards={"turns_completed": PairedTest()} if guard else {},
        intact={"turns_completed": PairedTest(margin=-GUARD_MARGIN)} if guard else {},
    )
    ways = {"": (0.0, "high")} | ({"turns_completed": (0.0, "high")} if guard else {})
    revision, lost, out_of = 0, 0.0, ""
    judged: TrialVerdict | None = None
    while judged is None and world.t < world.n_ticks:
        now = world.t * TICK_S
        arm = trial.turn(now)
        if arm != out_of:
            out_of, revision = arm, revision + 1
            trial.published(revision)
        calls = world.step(0.7 if arm == "new" else 0.8)
        told = revision if revisions else None
        lost -= len(calls) * world.slope * 0.1 * (arm == "new")
        for call in calls:
            place = trial.place(call.at, told)
            for closed in watch.clusters.add(str(call.session), float(call.ok), call.at):
                watch.close(closed, testing=False)
            if place is not None:
                trial.add(place, "", str(call.session), float(call.ok))
        for at, session, done in world.turns:
            place = trial.place(at, told)
            if place is not None and guard:
                trial.add(place, "turns_completed", str(session), float(done))
        for closed in watch.clusters.over(now):
            watch.close(closed, testing=False)
        rho = watch.design.rho
        trial.settle(now, grace_s=900.0, ways={name: (rho, way) for name, (_, way) in ways.items()})
        judged = verdict(trial, now)
    how = "undecided" if judged is None else "kept" if judged.keep else "taken back"
    return Tried(how, world.t * TICK_S / 86_400, trial.signal.pairs, lost)
