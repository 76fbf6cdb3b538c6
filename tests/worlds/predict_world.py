"""A passive stream of calls over tools, houses, arguments, models and hours; the learner only predicts."""

import math
import random
from typing import Any, Final

from tests.worlds.worlds_base import (
    HOUSES,
    TASKS,
    TICK_S,
    Execution,
    geometric,
    pick,
    poisson,
    sigmoid,
    zipf,
)

PRESETS: Final[dict[str, dict[str, Any]]] = {
    "baseline": {},
    "sparse_params": {
        "n_tools": 30, "n_params": 2000, "zipf_params": 0.6, "new_params": 0.3, "sd_params": 1.2,
    },
    "many_tools": {"n_tools": 400, "zipf_tools": 1.1, "n_params": 20},
    "drift_abrupt": {"drift": "abrupt"},
    "drift_walk": {"drift": "walk", "sd_walk": 0.15},
    "hour_model": {"sd_hour": 0.9, "sd_model": 0.9},
    "bursty": {"icc_sd": 1.5, "session_mean": 12.0},
    "interaction": {"sd_tool": 0.4, "sd_house": 0.3, "sd_th": 1.4},
    "near_ceiling": {"mean": 3.5, "sd_tool": 1.0},
    "brittle": {"mean": 3.2, "sd_tool": 0.5, "sd_params": 0.3, "brittle": 0.15},  # not additive
}  # fmt: skip


class PredictWorld:
    """Logit p = tool + house + (tool, house) + arguments + model(task) + hour + session.

    Args:
        seed: Of all draws.
        n: Executions.
        n_tools, zipf_tools: Tools, and the exponent of their usage.
        n_params, zipf_params: Arguments of a tool, likewise.
        new_params: Share of executions with arguments never seen again.
        mean, sd_*: The effects in logits.
        drift: "abrupt": every 4000 executions a third of the tools get a new level; "walk".
        brittle: Share of (tool, arguments), and a third of it of (tool, house, model), that fail.
        icc_sd, session_mean: The session's effect in logits, and its size.
    """

    def __init__(
        self, seed: int, n: int = 20_000, n_tools: int = 40, zipf_tools: float = 1.0,
        n_params: int = 50, zipf_params: float = 1.0, new_params: float = 0.05, mean: float = 1.4,
        sd_tool: float = 1.0, sd_house: float = 0.4, sd_th: float = 0.5, sd_params: float = 0.7,
        sd_model: float = 0.3, sd_hour: float = 0.2, drift: str = "", sd_walk: float = 0.1,
        icc_sd: float = 0.3, session_mean: float = 8.0, brittle: float = 0.0,
    ) -> None:  # fmt: skip
        self.rng = rng = random.Random(repr(("predict", seed)))
        g = rng.gauss
        self.n, self.rate, self.n_models = n, 5.0, 4
        self.drift, self.sd_walk, self.sd_tool = drift, sd_walk, sd_tool
        self.icc_sd, self.size, self.new_params, self.mean = icc_sd, session_mean, new_params, mean
        self.brittle, self.sd_params = brittle, sd_params
        self.tools = [f"tool{i}" for i in range(n_tools)]
        self.tool = [g(0, sd_tool) for _ in self.tools]
        self.task = [rng.randrange(4) for _ in self.tools]
        self.house = [g(0, sd_house) for _ in HOUSES]
        self.th = [[g(0, sd_th) for _ in HOUSES] for _ in self.tools]
        self.pref = [[rng.random() + 0.05 for _ in HOUSES] for _ in self.tools]
        self.model = [[g(0, sd_model) for _ in range(4)] for _ in range(self.n_models)]
        phase = rng.random() * 24
        self.by_hour = [
            sd_hour * math.sqrt(2) * math.sin((h - phase) / 24 * 2 * math.pi) for h in range(24)
        ]
        self.params: dict[tuple[int, int], float] = {}
        self.broken: dict[tuple[Any, ...], bool] = {}
        self.use_tool, self.use_params = zipf(n_tools, zipf_tools), zipf(n_params, zipf_params)
        self.t = self.count = self.sessions = self.fresh = 0
        self.live: list[list[Any]] = []

    @classmethod
    def preset(cls, name: str, seed: int, n: int = 20_000) -> "PredictWorld":
        return cls(seed, n=n, **PRESETS[name])

    def done(self) -> bool:
        return self.count >= self.n

    def step(self) -> list[Execution]:
        rng = self.rng
        out: list[Execution] = []
        for _ in range(poisson(rng, self.rate / self.size)):
            self.sessions += 1
            size, effect = geometric(rng, self.size), rng.gauss(0, self.icc_sd)
            self.live.append(
                [self.sessions, size, effect, rng.randrange(self.n_models), rng.random()]
            )
        for s in self.live:
            for _ in range(min(3, s[1])):
                out.append(self._call(s, len(out)))
                self._move()
            s[1] -= 3
        self.live = [s for s in self.live if s[1] > 0]
        self.t += 1
        return out

    def _call(self, s: list[Any], n: int) -> Execution:
        rng = self.rng
        ti = pick(self.use_tool, rng.random())
        w, x, hi = self.pref[ti], 0.0, 0
        u = (0.7 * s[4] + 0.3 * rng.random()) * sum(w)
        for hi in range(3):
            x += w[hi]
            if u < x:
                break
        if rng.random() < self.new_params:
            self.fresh += 1
            key, effect = f"new{self.fresh}", rng.gauss(0, self.sd_params)
        else:
            pi = pick(self.use_params, rng.random())
            key = f"p{pi}"
            if (ti, pi) not in self.params:
                self.params[ti, pi] = rng.gauss(0, self.sd_params)
            effect = self.params[ti, pi]
        hour = int(self.t * TICK_S / 3600) % 24
        z = self.mean + self.tool[ti] + self.house[hi] + self.th[ti][hi] + effect
        p = sigmoid(z + self.model[s[3]][self.task[ti]] + self.by_hour[hour] + s[2])
        if self.brittle:
            for group, share in (
                ((ti, key), self.brittle),
                ((ti, hi, s[3]), self.brittle / 3),
            ):
                if group not in self.broken:
                    self.broken[group] = rng.random() < share
                p = 0.03 if self.broken[group] else p
        self.count += 1
        tool = self.tools[ti]
        return Execution(
            at=self.t * TICK_S + 0.01 * n, tick=self.t, session=s[0], house=HOUSES[hi], tool=tool,
            params=f"{tool}/{key}", model=f"model{s[3]}", task_type=TASKS[self.task[ti]],
            ok=rng.random() < p, p_true=p,
        )  # fmt: skip

    def _move(self) -> None:
        rng = self.rng
        if self.drift == "abrupt" and self.count % 4000 == 0:
            for i in range(len(self.tools)):
                if rng.random() < 1 / 3:
                    self.tool[i] = rng.gauss(0, self.sd_tool) - (0.5 if rng.random() < 0.3 else 0)
        elif self.drift == "walk" and self.count % 100 == 0:
            for i in range(len(self.tools)):
                self.tool[i] = 0.995 * self.tool[i] + rng.gauss(0, self.sd_walk)
