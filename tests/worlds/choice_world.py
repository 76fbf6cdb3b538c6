"""Options of one task type, of which a share of the traffic follows what is published."""

import math
import random
from collections.abc import Mapping
from typing import Any, Final

from tests.worlds.worlds_base import TICK_S, Execution, Policy, pick_weighted, poisson

PRESETS: Final[dict[str, dict[str, Any]]] = {
    "stationary": {"arms": {"a": 0.90, "b": 0.85, "c": 0.80, "d": 0.70}},
    "bad_default": {"arms": {"a": 0.70, "b": 0.80, "c": 0.90, "d": 0.85}},
    "close": {"arms": {"a": 0.90, "b": 0.89, "c": 0.88, "d": 0.87}},
    "swap": {
        "arms": {"a": 0.90, "b": 0.80, "c": 0.70, "d": 0.60}, "changes": ((4000, {"a": 0.55}),),
    },
    "riser": {
        "arms": {"a": 0.80, "b": 0.70, "c": 0.60, "d": 0.50}, "changes": ((4000, {"d": 0.95}),),
    },
    "dip_recover": {
        "arms": {"a": 0.90, "b": 0.75, "c": 0.70, "d": 0.60},
        "changes": ((3000, {"a": 0.40}), (4500, {"a": 0.90})),
    },
    "many_arms": {"arms": {f"m{i:02d}": 0.9 - 0.03 * i for i in range(12)}},
    "confounded": {
        "arms": {"a": 0.88, "b": 0.80, "c": 0.75}, "confound": 1.0, "hard_arm": "a", "follow": 0.3,
        "ignore": {"a": 0.5, "b": 0.3, "c": 0.2},
    },
    "cheap_equal": {
        "arms": {"a": 0.90, "b": 0.90, "c": 0.70}, "cost": {"a": 1.0, "b": 0.1, "c": 0.05},
        "latency": {"a": 4000.0, "b": 900.0, "c": 300.0},
    },
}  # fmt: skip


class ChoiceWorld:
    """The weights in `policy["model"][task]` are followed by the share `follow` of the traffic.

    Args:
        seed: Of all draws.
        arms: True success probability by option.
        changes: (tick, new probabilities) in order.
        n_ticks, rate: Length, and executions a tick.
        follow, ignore: Share that follows; what the others use (the first option by name).
        cost, latency: Of one call, by option.
        confound, hard_arm: Share of the others that send hard cases to `hard_arm`.
    """

    def __init__(
        self, seed: int, arms: Mapping[str, float], n_ticks: int = 8000, rate: float = 1.0,
        follow: float = 0.8, ignore: Mapping[str, float] | None = None,
        changes: tuple[tuple[int, dict[str, float]], ...] = (),
        cost: Mapping[str, float] | None = None, latency: Mapping[str, float] | None = None,
        confound: float = 0.0, hard_arm: str = "", task: str = "build",
    ) -> None:  # fmt: skip
        self.rng = random.Random(repr(("choice", seed)))
        self.p, self.n_ticks, self.rate, self.follow = dict(arms), n_ticks, rate, follow
        self.names = sorted(arms)
        self.ignore = dict(ignore or {self.names[0]: 1.0})
        self.changes, self.t, self.sessions = list(changes), 0, 0
        self.cost = dict(cost or dict.fromkeys(arms, 0.0))
        self.latency = dict(latency or dict.fromkeys(arms, 1000.0))
        self.confound, self.hard, self.task = confound, hard_arm, task

    @classmethod
    def preset(cls, name: str, seed: int, **options: Any) -> "ChoiceWorld":
        return cls(seed, **{**PRESETS[name], **options})

    def done(self) -> bool:
        return self.t >= self.n_ticks

    @property
    def best(self) -> str:
        return max(self.names, key=lambda name: self.p[name])

    def step(self, policy: Policy) -> list[Execution]:
        rng = self.rng
        while self.changes and self.changes[0][0] <= self.t:
            self.p.update(self.changes.pop(0)[1])
        weights = policy.get("model", {}).get(self.task)
        n = poisson(rng, self.rate)
        rng.random()
        out = [self._call(weights, i) for i in range(n)]
        self.t += 1
        return out

    def _call(self, weights: Mapping[str, float] | None, n: int) -> Execution:
        rng = self.rng
        u = [rng.random() for _ in range(6)]
        noise = rng.gauss(0, 0.3)
        self.sessions += 1
        hard, followed = u[4] < 0.5, u[0] < self.follow
        if followed:
            arm = pick_weighted(weights, u[1], self.names[0])
        elif self.confound and u[5] < self.confound:
            rest = {k: v for k, v in self.ignore.items() if k != self.hard}
            arm = self.hard if hard else pick_weighted(rest, u[1], self.names[0])
        else:
            arm = pick_weighted(self.ignore, u[1], self.names[0])
        p = self.p[arm]
        if self.confound:
            p = min(0.99, max(0.01, p + (-0.25 if hard else min(0.25, 0.99 - p))))
        return Execution(
            at=self.t * TICK_S + 0.01 * n, tick=self.t, session=self.sessions, model=arm,
            task_type=self.task, ok=u[2] < p, latency_ms=self.latency[arm] * math.exp(noise),
            cost=self.cost[arm], followed=followed, p_true=p,
        )  # fmt: skip
