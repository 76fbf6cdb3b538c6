"""Calls of one tool in one house with outages; whoever asks decides which calls run."""

import random
from typing import Any, Final, NamedTuple

from tests.worlds.worlds_base import beta_icc, geometric

PRESETS: Final[dict[str, dict[str, Any]]] = {
    "f .02 icc 0": {"f": 0.02, "icc": 0.0},
    "f .05 icc .2": {},
    "f .15 icc .3": {"f": 0.15, "icc": 0.3},
    "f .30 icc .3": {"f": 0.3, "icc": 0.3},
    "f .45 icc .3": {"f": 0.45, "icc": 0.3},
    "outage = 70 % failures": {"f_down": 0.7},
    ".5 calls/s": {"cps": 0.5},
    ".005 calls/s": {"cps": 0.005, "seconds": 30 * 86_400},
}


class Call(NamedTuple):
    """One call as it would turn out: when, whose, whether it works, whether the tool is down."""

    at: float
    session: int
    ok: bool
    down: bool


class BreakerWorld:
    """Potential calls of the whole run, the same whatever is let through.

    Args:
        seed: Of all draws.
        seconds: Length.
        cps: Calls a second.
        f, f_down: Failure probability while up and while down.
        gap_s, len_s: Mean time between outages, and mean length of one after its first minute.
        session_mean, icc: Calls a session, and their correlation: bad input, not a bad tool.
    """

    def __init__(
        self, seed: int, seconds: float = 6 * 86_400, cps: float = 0.05, f: float = 0.05,
        f_down: float = 1.0, gap_s: float = 8 * 3600.0, len_s: float = 1200.0,
        session_mean: float = 8.0, icc: float = 0.2,
    ) -> None:  # fmt: skip
        self.seed, self.seconds, self.cps, self.f, self.f_down = seed, seconds, cps, f, f_down
        self.gap_s, self.len_s, self.size, self.icc = gap_s, len_s, session_mean, icc

    @classmethod
    def preset(cls, name: str, seed: int) -> "BreakerWorld":
        return cls(seed, **PRESETS[name])

    def outages(self) -> list[tuple[float, float]]:
        rng = random.Random(repr(("outages", self.seed)))
        t, out = 0.0, []
        while self.gap_s > 0 and (start := t + rng.expovariate(1.0 / self.gap_s)) <= self.seconds:
            t = start + 60 + rng.expovariate(1.0 / self.len_s)
            out.append((start, t))
        return out

    def calls(self) -> list[Call]:
        rng = random.Random(repr(("calls", self.seed)))
        events: list[tuple[float, int, float, float]] = []
        t, session = 0.0, 0
        while (t := t + rng.expovariate(self.cps / self.size)) <= self.seconds:
            session += 1
            q, s = beta_icc(rng, self.f, self.icc), t
            for _ in range(geometric(rng, self.size)):
                events.append((s, session, q, rng.random()))
                s += rng.expovariate(1.0 / 5.0)
        outages, i, out = self.outages(), 0, []
        for at, whose, q, u in sorted(events):
            while i < len(outages) and outages[i][1] < at:
                i += 1
            down = i < len(outages) and outages[i][0] <= at
            out.append(Call(at, whose, u >= (max(self.f_down, q) if down else q), down))
        return out
