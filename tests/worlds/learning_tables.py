"""The tables of choice and breakers: one row a figure, ours beside its bar."""

import math
from concurrent.futures import ProcessPoolExecutor
from statistics import fmean, median, stdev
from typing import Final, NamedTuple, Protocol

from tests.choosing import Chooser
from tests.worlds import breaker_world
from tests.worlds.breaker_rival import ReferenceBreaker
from tests.worlds.breaker_world import BreakerWorld
from tests.worlds.choice_world import ChoiceWorld
from timmyd.house.breaker import CLOSED, OPEN, Breaker

Row = tuple[str, str, str, str, str, str]
"""Table, world, figure, ours, bar, verdict."""

REGRET_WORLDS: Final = (
    "stationary", "bad_default", "close", "swap", "riser", "dip_recover", "many_arms",
)  # fmt: skip
OWN: Final = 50
"""First of the seeds of the table's breakers: there its printed figures are the bars."""
FRESH: Final = 810_000
"""First of the seeds that nothing was tuned on."""
BREAKER_BARS: Final = {  # false opens, % of failures let through, % of good calls lost
    "f .02 icc 0": (0.0, 19, 0.22), "f .05 icc .2": (0.2, 19, 0.22),
    "f .15 icc .3": (5.6, 18, 0.81), "f .30 icc .3": (15, 20, 2.5),
    "f .45 icc .3": (13, 31, 3.9), "outage = 70 % failures": (0.2, 47, 0.71),
    ".5 calls/s": (0.0, 3, 0.56), ".005 calls/s": (0.1, 49, 0.30),
}  # fmt: skip


class Chosen(NamedTuple):
    """Regret in percentage points, ticks to recover after each change, changes of the leader."""

    regret: float
    recovery: tuple[float, ...]
    flips: int


def drive(world: ChoiceWorld, leader: Chooser) -> Chosen:
    """Publish each tick; recovered: over 100 ticks the best has more than 60 % of the weight."""
    changed = [at for at, _ in world.changes]
    recovered: dict[int, float] = {}
    recent: list[float] = []
    regret, followers, flips, last = 0.0, 0, 0, ""
    while not world.done():
        leader.settle()
        choice = leader.decide()
        flips += last not in ("", choice.leader)
        last, tick = choice.leader, world.t
        batch = world.step({"model": {world.task: choice.weights}})
        if tick in changed:
            recent = []
        recent = [*recent[-99:], choice.weights.get(world.best, 0.0)]
        since = max((at for at in changed if at <= tick), default=-1)
        if since >= 0 and since not in recovered and len(recent) == 100 and sum(recent) >= 60:
            recovered[since] = tick - since - 99
        for e in batch:
            if e.followed:
                followers += 1
                regret += world.p[world.best] - world.p[e.model]
            leader.learn(
                e.model, ok=e.ok, session=str(e.session), followed=e.followed,
                latency_ms=e.latency_ms, cost=e.cost,
            )  # fmt: skip
    ticks = tuple(recovered.get(at, math.inf) for at in changed)
    return Chosen(100 * regret / max(1, followers), ticks, flips)


def choice_run(job: tuple[str, int]) -> Chosen:
    name, seed = job
    if name == "A/A":
        equal = dict.fromkeys("abcd", 0.85)
        world = ChoiceWorld(seed, equal, n_ticks=10_000, ignore=dict.fromkeys("abcd", 1.0))
    else:
        world = ChoiceWorld.preset(name, seed)
    return drive(world, Chooser(world.names))


class Broken(NamedTuple):
    """What a breaker did: rates in their tables' units; times and calls of each outage."""

    false_opens: float
    let_through: float
    lost: float
    calls_to_open: list[int]
    s_to_open: list[float]
    s_to_close: list[float]

    @property
    def rates(self) -> tuple[float, float, float]:
        return self.false_opens, self.let_through, self.lost


class Gate(Protocol):
    """A breaker in front of every call."""

    @property
    def state(self) -> str: ...

    def allows(self, at: float) -> bool: ...

    def record(self, at: float, session: str, *, ok: bool) -> None: ...


def through(world: BreakerWorld, breaker: Gate) -> Broken:
    """Let each call ask; count what was let through, lost, opened without an outage."""
    calls, outages = world.calls(), world.outages()
    i = false = lost = let = bad = 0
    met: dict[int, int] = {}
    opened: dict[int, tuple[int, float]] = {}
    closed: dict[int, float] = {}
    before = CLOSED
    for at, session, ok, down in calls:
        allowed = breaker.allows(at)
        while i < len(outages) and outages[i][1] < at:
            i += 1
        if down:
            met[i] = met.get(i, 0) + 1
            bad += not ok
        if allowed:
            breaker.record(at, str(session), ok=ok)
            let += down and not ok
        elif ok:
            lost += 1
        if breaker.state == OPEN and before == CLOSED:
            if down:
                opened.setdefault(i, (met[i], at - outages[i][0]))
            elif not (i > 0 and at - outages[i - 1][1] < 60):
                false += 1
        over = i - 1
        if breaker.state == CLOSED and before != CLOSED and not down and over in opened:
            closed.setdefault(over, at - outages[over][1])
        before = breaker.state
    good = sum(call.ok for call in calls)
    return Broken(
        1e4 * false / len(calls), 100 * let / max(1, bad), 100 * lost / max(1, good),
        [n for n, _ in opened.values()], [s for _, s in opened.values()], list(closed.values()),
    )  # fmt: skip


class Ours:
    """Our breaker as the reference is asked."""

    def __init__(self) -> None:
        self.breaker = Breaker()

    @property
    def state(self) -> str:
        return self.breaker.state

    def allows(self, at: float) -> bool:
        return self.breaker.allows(at).allowed

    def record(self, at: float, session: str, *, ok: bool) -> None:
        self.breaker.record(at, "ok" if ok else "error", session)


def breaker_run(job: tuple[str, int]) -> tuple[Broken, Broken]:
    """Ours and the reference on the very same calls."""
    world = BreakerWorld.preset(*job)
    return through(world, Ours()), through(world, ReferenceBreaker())


def figures_of(run: Broken) -> tuple[list[int], list[float], list[float]]:
    return run.calls_to_open, run.s_to_open, run.s_to_close


def verdict(ours: float, bar: float) -> str:
    return "ok" if ours <= bar else "MISSED"


def choice_table(seeds: int, workers: int, first: int = 700) -> list[Row]:
    """Regret of those who follow, recovery, flips among equals, confounded non-followers."""
    names = (*REGRET_WORLDS, "confounded", "A/A")
    jobs = [(name, first + s) for name in names for s in range(seeds)]
    with ProcessPoolExecutor(workers) as pool:
        runs = list(pool.map(choice_run, jobs))
    by = {name: runs[k * seeds : (k + 1) * seeds] for k, name in enumerate(names)}
    regret = {name: fmean(run.regret for run in by[name]) for name in names}
    rows: list[Row] = [
        ("choice", name, "regret, points", f"{regret[name]:.2f}", "", "") for name in REGRET_WORLDS
    ]
    mean = fmean(regret[name] for name in REGRET_WORLDS)
    flips = fmean(run.flips for run in by["A/A"])
    worst = max(run.recovery[0] for run in by["swap"])
    for world, figure, ours, bar in (
        ("mean of seven", "regret, points", mean, 1.69),
        ("confounded", "regret, points", regret["confounded"], 0.7),
        ("A/A", "flips in 10,000 ticks", flips, 5.0),
        ("swap", "slowest recovery, ticks", worst, 950.0),
    ):
        rows.append(("choice", world, figure, f"{ours:.2f}", f"{bar:g}", verdict(ours, bar)))
    return rows


def breaker_table(seeds: int, workers: int, first: int = OWN, table: str = "breakers") -> list[Row]:
    """Beside the reference on the same calls: not worse beyond the error of the paired difference."""
    jobs = [(name, first + s) for name in breaker_world.PRESETS for s in range(seeds)]
    with ProcessPoolExecutor(workers) as pool:
        runs = list(pool.map(breaker_run, jobs))
    rows: list[Row] = []
    for k, name in enumerate(breaker_world.PRESETS):
        part = runs[k * seeds : (k + 1) * seeds]
        figures = ("false opens in 10,000", "% of failures let through", "% of good calls lost")
        for i, figure in enumerate(figures):
            ours, reference = (fmean(pair[side].rates[i] for pair in part) for side in (0, 1))
            worse, error = paired([(pair[0].rates[i], pair[1].rates[i]) for pair in part])
            column = ours - BREAKER_BARS[name][i]
            judged = min(worse, column) if first == OWN else worse
            rows.append(
                (table, name, figure, f"{ours:.2f}",
                 f"{reference:.2f} ({worse:+.2f} +- {error:.2f}; {BREAKER_BARS[name][i]:g} in the table)",
                 verdict(judged, error))
            )  # fmt: skip
        said = []
        for side in (0, 1):
            seen = [
                [float(x) for pair in part for x in figures_of(pair[side])[i]] for i in range(3)
            ]
            times = [median(values) if values else math.nan for values in seen]
            said.append(f"{times[0]:.0f} / {times[1]:.0f} / {times[2]:.0f}")
        rows.append((table, name, "calls / s to open / s to close", said[0], said[1], ""))
    return rows


def paired(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """Mean of the differences, and half the width of its 95 % interval (Student's t)."""
    differences = [ours - reference for ours, reference in pairs]
    n = len(differences)
    return fmean(differences), student_95(n - 1) * stdev(differences) / n**0.5


def student_95(freedom: int) -> float:
    """The two-sided 95 % point of Student's t, within 4 % from two degrees of freedom on.

    Source:
        E. A. Cornish, R. A. Fisher, Rev. Inst. Int. Stat. 5 (1938) 307, as Abramowitz, Stegun 26.7.5.
    """
    z, v = 1.959964, float(freedom)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / v**k for k, term in enumerate(terms, 1))


def rows(*, quick: bool, workers: int = 2) -> list[Row]:
    """All rows; quick: fewer seeds and shorter streams, so that bars are only indicative."""
    return [
        *choice_table(2 if quick else 8, workers),
        *breaker_table(3 if quick else 6, workers),
        *([] if quick else breaker_table(16, workers, FRESH, "breakers, fresh")),
    ]
