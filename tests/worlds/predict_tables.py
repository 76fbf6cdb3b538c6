"""The table of prediction: ours beside a plain chain of counts, on the same calls."""

import math
from concurrent.futures import ProcessPoolExecutor
from statistics import fmean
from typing import NamedTuple

from tests.worlds import predict_world
from tests.worlds.predict_rivals import Chain
from tests.worlds.predict_world import PredictWorld
from tests.worlds.worlds_base import Execution
from timmyd.core.estimating.levels import Levels

Row = tuple[str, str, str, str, str, str]
"""Table, world, figure, ours, bar, verdict."""


class Excess(NamedTuple):
    """Beyond the oracle, x 1000: Brier, log loss; and the calibration error."""

    brier: float
    log_loss: float
    calibration: float


class _Sums:
    def __init__(self) -> None:
        self.brier = self.loss = 0.0
        self.pairs: list[tuple[float, bool]] = []

    def add(self, p: float, e: Execution) -> None:
        self.pairs.append((p, e.ok))
        self.brier += (p - e.ok) ** 2 - (e.p_true - e.ok) ** 2
        self.loss += log_loss(p, e.ok) - log_loss(e.p_true, e.ok)

    def excess(self) -> Excess:
        n = len(self.pairs)
        calibration = 1000 * calibration_error(self.pairs)
        return Excess(1000 * self.brier / n, 1000 * self.loss / n, calibration)


def log_loss(p: float, ok: bool) -> float:
    sure = min(0.999, max(0.001, p))
    return -math.log(sure if ok else 1.0 - sure)


def calibration_error(pairs: list[tuple[float, bool]], bins: int = 15) -> float:
    """Mean gap between said and observed over bins of equal size."""
    pairs, n = sorted(pairs), len(pairs)
    parts = (pairs[i * n // bins : (i + 1) * n // bins] for i in range(bins))
    return sum(abs(sum(p - ok for p, ok in part)) for part in parts) / n


def predict_run(job: tuple[str, int, int]) -> tuple[Excess, Excess]:
    """Predict each tick's calls from the state before it, then learn them: ours, the chain."""
    name, seed, n = job
    world, levels = PredictWorld.preset(name, seed, n), Levels()
    chain = Chain((2.0, 10.0, 10.0, 6.0))
    ours, rival = _Sums(), _Sums()
    while not world.done():
        batch = world.step()
        keys = [((), (e.tool,), (e.tool, e.house), (e.tool, e.house, e.params)) for e in batch]
        for e, of in zip(batch, keys, strict=True):
            ours.add(levels.expect(e.house, e.tool, "-", e.params), e)
            rival.add(chain.expect(of), e)
        for e, of in zip(batch, keys, strict=True):
            levels.learn(e.house, e.tool, "-", e.params, ok=e.ok, at=e.at, now=e.at)
            chain.learn(of, ok=e.ok)
    return ours.excess(), rival.excess()


def rows(*, quick: bool, workers: int = 2) -> list[Row]:
    """Excess over the oracle in ten worlds, which also have models and hours that no level knows."""
    seeds, n = (1, 8000) if quick else (4, 20_000)
    jobs = [(name, seed, n) for name in predict_world.PRESETS for seed in range(seeds)]
    with ProcessPoolExecutor(workers) as pool:
        runs = list(pool.map(predict_run, jobs))
    found: list[Row] = []
    for k, name in enumerate(predict_world.PRESETS):
        part = runs[k * seeds : (k + 1) * seeds]
        said = [
            " / ".join(f"{fmean(run[side][i] for run in part):.1f}" for i in range(3))
            for side in (0, 1)
        ]
        found.append(
            ("prediction", name, "excess Brier / log loss / calibration", said[0], said[1], "")
        )
    for i, figure in enumerate(("Brier", "log loss", "calibration")):
        ours, chain = (fmean(run[side][i] for run in runs) for side in (0, 1))
        found.append(
            ("prediction", "mean of ten, the chain", figure, f"{ours:.1f}", f"{chain:.1f}",
             "ok" if ours <= chain else "MISSED")
        )  # fmt: skip
    return found
