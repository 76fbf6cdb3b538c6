"""Simulated houses: draws, what an execution shows, and the protocol that every world obeys.

    world = SomeWorld(seed=7, ...)
    while not world.done():
        batch = world.step(policy)      # the executions that completed in one tick, in time order
        truth = world.oracle()          # of the tick just produced; never shown to a learner

`policy` is what a daemon publishes, every part optional: `policy[house][knob]` a number,
`policy["model"][task]` and `policy["house"][tool]` weights by name, `policy["breaker"][house, tool]`
"closed", "open" or the share of calls let through. Arrivals and luck come from streams that do not
depend on the policy (common random numbers), so comparisons on one seed are paired.
"""

import math
import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

TICK_S: Final = 60.0
HOUSES: Final = ("timmy", "ezra", "bezalel")
TASKS: Final = ("read", "build", "test", "judge")

Policy = Mapping[str, Any]


@dataclass(slots=True)
class Execution:
    """What a daemon may see, and `p_true`, which only the scoring may."""

    at: float
    tick: int
    session: int
    house: str = "ezra"
    tool: str = "t0"
    params: str = "-"
    model: str = "m0"
    task_type: str = "read"
    ok: bool = False
    latency_ms: float = 100.0
    cost: float = 0.0
    followed: bool = True
    p_true: float = 0.5

    @property
    def hour(self) -> int:
        return int(self.at / 3600) % 24


def sigmoid(z: float) -> float:
    if z >= 0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


def poisson(rng: random.Random, mean: float) -> int:
    """Knuth's product for small means, the normal approximation above 60."""
    if mean <= 0:
        return 0
    if mean > 60:
        return max(0, int(rng.gauss(mean, math.sqrt(mean)) + 0.5))
    limit, k, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        k += 1
        product *= rng.random()
    return k


def geometric(rng: random.Random, mean: float) -> int:
    """A session's size, at least 1."""
    if mean <= 1:
        return 1
    return 1 + int(math.log(1.0 - rng.random()) / math.log(1.0 - 1.0 / mean))


def beta_icc(rng: random.Random, p: float, icc: float) -> float:
    """A session's own probability around `p` with intra-class correlation `icc`."""
    if icc <= 0 or p <= 0 or p >= 1:
        return p
    s = (1.0 - icc) / icc
    return rng.betavariate(max(p * s, 1e-3), max((1 - p) * s, 1e-3))


def zipf(n: int, exponent: float) -> list[float]:
    """Cumulative shares of `n` things used by Zipf's law."""
    weights = [1.0 / (i + 1) ** exponent for i in range(n)]
    total, c, out = sum(weights), 0.0, []
    for weight in weights:
        c += weight / total
        out.append(c)
    out[-1] = 1.0
    return out


def pick(cumulative: Sequence[float], u: float) -> int:
    return min(len(cumulative) - 1, bisect_left(cumulative, u))


def pick_weighted(weights: Mapping[str, float] | None, u: float, fallback: str) -> str:
    """Draw a name by its weight with the uniform `u`; the fallback where there is no weight."""
    positive = sorted((name, w) for name, w in (weights or {}).items() if w > 0)
    x, c = u * sum(w for _, w in positive), 0.0
    for name, weight in positive:
        c += weight
        if x < c:
            return name
    return positive[-1][0] if positive else fallback
