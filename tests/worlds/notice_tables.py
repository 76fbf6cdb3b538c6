"""The table of notices: false ones, and how soon a fall of one signal is told. Sixty calls a day in sessions of six."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from statistics import median

from tests.worlds.predict_tables import Row
from timmyd.core.estimating.falls import ALARM, WARM, FallDetector

DAY_S, A_DAY, SIZE, BASE, MONTH = 86_400.0, 60, 6, 0.9, 30
Stream = Iterator[tuple[float, str, bool]]


def calls(rng: random.Random, rate: Callable[[int], float], icc: float, days: range) -> Stream:
    for day in days:
        p, worth, found = rate(day), (1.0 - icc) / icc, []
        for session in range(A_DAY // SIZE):
            at = day * DAY_S + rng.uniform(8, 22) * 3600.0
            own = rng.betavariate(p * worth, (1.0 - p) * worth) if 0.0 < p < 1.0 else p
            found += [(at + n * 20.0, f"{day}.{session}", rng.random() < own) for n in range(SIZE)]
        yield from sorted(found)


def alarm(detector: FallDetector, stream: Stream) -> tuple[float, int] | None:
    for n, (at, session, ok) in enumerate(stream, 1):
        detector.update(session, at, detector.level.limit(), ok=ok)
        if detector.level.seen >= WARM and detector.evidence >= ALARM:
            return at, n
    return None


def settled(rng: random.Random, icc: float) -> FallDetector:
    detector, stream = FallDetector(), calls(rng, lambda _day: BASE, icc, range(MONTH))
    while alarm(detector, stream):
        detector.fall()
        detector.accept()
    return detector


def false_run(job: tuple[int, float]) -> int:
    """False notices in ten months."""
    seed, icc = job
    rng = random.Random(f"false {seed} {icc}")
    detector, found = settled(rng, icc), 0
    stream = calls(rng, lambda _day: BASE, icc, range(MONTH, 11 * MONTH))
    while alarm(detector, stream):
        found += 1
        detector.fall()
        detector.recover()
    return found


def delay_run(job: tuple[int, float, float, float]) -> tuple[float, int]:
    """Days and calls until a fall to a rate is told, at once or (by day > 0) in so many days."""
    seed, icc, to, over = job
    rng = random.Random(f"delay {seed} {icc} {to} {over}")

    def rate(day: int) -> float:
        return to if not over else max(to, BASE - (BASE - to) * (day - MONTH) / over)

    found = alarm(settled(rng, icc), calls(rng, rate, icc, range(MONTH, MONTH + 40)))
    return (1e9, 10**9) if found is None else (found[0] / DAY_S - MONTH, found[1])


def rows(*, quick: bool, workers: int = 2) -> list[Row]:
    """Ours beside what was asked for, at two correlations of the calls of a session."""
    found: list[Row] = []

    def add(icc: float, figure: str, ours: float, bar: float, *, least: bool) -> None:
        good = ours >= bar if least else ours <= bar
        verdict = "ok" if good else "MISSED"
        found.append(("notices", f"correlation {icc}", figure, f"{ours:.2f}", f"{bar:g}", verdict))

    runs, many = (10, 8) if quick else (40, 40)
    with ProcessPoolExecutor(workers) as pool:
        for icc, half, fifth, days in ((0.1, 0.95, 0.8, 8), (0.3, 0.95, 0.6, 10)):
            false = list(pool.map(false_run, [(seed, icc) for seed in range(runs)]))
            add(icc, "false in 100 signal-months", sum(false) * 10.0 / runs, 1.0, least=False)
            told = {
                (to, over): list(pool.map(delay_run, [(s, icc, to, over) for s in range(many)]))
                for to, over in ((0.5, 0.0), (0.8, 0.0), (0.6, 10.0), (0.0, 0.0))
            }
            for figure, key, within, bar in (
                ("share of falls to .5 told by day 2.5", (0.5, 0.0), 2.5, half),
                ("share of falls to .8 told by day 15", (0.8, 0.0), 15.0, fifth),
                (f"share of drifts to .6 told by day {days}", (0.6, 10.0), float(days), 0.8),
            ):
                add(icc, figure, sum(d <= within for d, _ in told[key]) / many, bar, least=True)
            dead = [n for _, n in told[0.0, 0.0]]
            add(icc, "calls until what is dead is told, median", median(dead), 12 if icc < 0.2 else 18, least=False)  # fmt: skip
            add(icc, "the same, at most", max(dead), 30 if icc < 0.2 else 35, least=False)
    return found
