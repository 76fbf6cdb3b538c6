"""The table of what is published after a fall, and of shapes in a fleet, beside plain counts."""

import math
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from statistics import fmean
from typing import Any, Final, NamedTuple

from tests.worlds.predict_rivals import Chain, Mean
from tests.worlds.predict_tables import Row, log_loss
from tests.worlds.worlds_base import sigmoid
from timmyd.core.estimating.predict import Figures
from timmyd.core.model import Execution
from timmyd.engine.predictions import Predictions

DAY_S: Final = 86_400.0
HOUSE: Final = "timmy"
FALL_DAY, DAYS, A_DAY, TOOLS = 10, 30, 500, 10
USUAL: Final = 0.85


class Fallen(NamedTuple):
    """What was published of the tool and of its shape on each day after it fell."""

    tool: list[Figures]
    shape: list[Figures]


def fall_run(job: tuple[int, float]) -> Fallen:
    """Ten tools of .85, five hundred calls a day in sessions of ten; one of them falls to a rate."""
    seed, to = job
    rng, predictions = random.Random(f"fall {seed} {to}"), Predictions()
    found = Fallen([], [])
    for day in range(DAYS):
        calls: list[Execution] = []
        for session in range(A_DAY // 10):
            at, mood = day * DAY_S + rng.uniform(8, 22) * 3600.0, rng.gauss(0.0, 0.5)
            for n in range(10):
                tool = rng.randrange(TOOLS)
                usual = sigmoid(math.log(USUAL / (1.0 - USUAL)) + mood)
                p = to if tool == 0 and day >= FALL_DAY else usual
                calls.append(
                    Execution(
                        id=len(calls), at=at + n * 30.0, session=day * 1000 + session, house=HOUSE,
                        tool=f"tool{tool}", shape=f"s{rng.randrange(3)}",
                        signature=f"{rng.random()}", outcome="ok" if rng.random() < p else "error",
                    )
                )  # fmt: skip
        calls.sort(key=lambda call: call.at)
        predictions.learn(calls, now=(day + 1) * DAY_S)
        if day >= FALL_DAY:
            item = predictions.published((day + 1) * DAY_S)[HOUSE]["tool0"]
            for level, figures in zip(found, (item, item["shapes"]["s0"]), strict=True):
                level.append(Figures(**{k: figures[k] for k in Figures._fields}))
    return found


def _fall_rows(seeds: int, workers: int) -> list[Row]:
    stationary = fmean(
        sigmoid(math.log(USUAL / (1.0 - USUAL)) + random.Random(n).gauss(0.0, 0.5))
        for n in range(20_000)
    )
    found: list[Row] = []
    with ProcessPoolExecutor(workers) as pool:
        runs = {
            to: list(pool.map(fall_run, [(seed, to) for seed in range(seeds)])) for to in (0.3, 0.1)
        }
        still = list(pool.map(fall_run, [(seed, USUAL) for seed in range(max(2, seeds // 4))]))
    for to, part in runs.items():
        for level in ("tool", "shape"):
            days = [getattr(run, level) for run in part]
            off = [abs(day[2].success - to) for day in days]
            looks = [day for run in days for day in run[2:]]
            held = fmean(look.low <= to <= look.high for look in looks)
            width = fmean(look.high - look.low for look in looks)
            is_tool = level == "tool"
            figures = (
                ("mean error on day 3", fmean(off), 0.03 if is_tool else 0.06, 1),
                ("share of runs within .08 on day 3", fmean(x <= 0.08 for x in off), 0.85 if is_tool else 0.7, -1),
                ("share of looks that hold the truth", held, 0.95, -1),
                ("mean width of the 95 % interval", width, 0.20 if is_tool else 0.25, 1),
            )  # fmt: skip
            found += [
                ("after a fall", f"{level}, .85 to {to}", name, f"{value:.3f}", f"{bar:g}",
                 "ok" if sign * value <= sign * bar else "MISSED")
                for name, value, bar, sign in figures
            ]  # fmt: skip
    looks = [look for run in still for look in run.tool]
    width = fmean(look.high - look.low for look in looks)
    held = fmean(look.low <= stationary <= look.high for look in looks)
    return [
        *found,
        ("after a fall", "no fall", "mean width of the 95 % interval", f"{width:.3f}", "0.16",
         "ok" if width <= 0.16 else "MISSED"),
        ("after a fall", "no fall", "share of looks that hold the truth", f"{held:.3f}", "0.95",
         "ok" if held >= 0.95 else "MISSED"),
    ]  # fmt: skip


# ------------------------------------------------------------------------------- a fleet
def fleet(seed: int, n: int = 9_000, a_tick: int = 12) -> Iterator[tuple[float, list[Execution]]]:
    """Three houses, fourteen tools of five shapes, two models, hours, moods; two tools change halfway."""
    rng = random.Random(f"pc{seed}")
    houses, tools = ("timmy", "ezra", "bezalel"), [f"tool{i}" for i in range(14)]
    use = [1 / (i + 1) for i in range(14)]
    level = {t: rng.gauss(1.6, 1.0) for t in tools}
    affinity = {(h, t): rng.gauss(0, 0.5) for h in houses for t in tools}
    of_shape = {(t, s): rng.gauss(0, 0.9) for t in tools for s in range(5)}
    model = {"a": 0.0, "b": rng.gauss(0, 0.4)}
    known: dict[tuple[str, int, int], float] = {}
    live: list[list[Any]] = []
    at, sessions, done, changed = 0.0, 0, 0, False
    while done < n:
        at += 300.0
        hour = at % DAY_S / 3600
        if not 7 <= hour < 22:
            continue
        while sum(s[1] for s in live) < a_tick * 3:
            sessions += 1
            live.append([sessions, 1 + int(rng.expovariate(1 / 9)), rng.gauss(0, 0.7), rng.choice(houses), rng.choice("ab")])  # fmt: skip
        if done >= n // 2 and not changed:
            changed = True
            level["tool1"] -= 2.5
            level["tool4"] += 2
        batch: list[Execution] = []
        for _ in range(a_tick):
            session = rng.choice(live)
            session[1] -= 1
            if session[1] <= 0:
                live.remove(session)
            tool, shape = rng.choices(tools, use)[0], int(rng.random() ** 2 * 5)
            key = rng.randrange(4) if rng.random() < 0.4 else rng.randrange(10**9)
            own = rng.gauss(0, 0.6)
            if key < 4:
                own = known.setdefault((tool, shape, key), own)
            house, mood = session[3], session[2]
            z = level[tool] + affinity[house, tool] + of_shape[tool, shape] + model[session[4]]
            z += 0.3 * math.sin(hour / 24 * 2 * math.pi) + own + mood
            ok = rng.random() < sigmoid(z)
            batch.append(
                Execution(
                    id=done + len(batch), at=at - rng.random() * 290, session=session[0],
                    house=house, tool=tool, shape=f"shape{shape}", signature=f"{key}",
                    outcome="ok" if ok else "error",
                )
            )  # fmt: skip
        yield at, batch
        done += len(batch)


def fleet_run(seed: int) -> dict[str, tuple[float, float]]:
    """Brier score and log loss, x 1000, of each predictor from its state at the tick before."""
    predictions, mean, chain = Predictions(), Mean(), Chain((2.0, 10.0, 10.0, 6.0))
    said: dict[str, list[tuple[float, bool]]] = {}
    sums = [1.0, 2.0]
    for now, batch in fleet(seed):
        published = predictions.published(now)
        batch.sort(key=lambda call: call.at)
        of = [(e, e.outcome == "ok", ((), (e.tool,), (e.tool, e.house), (e.tool, e.house, e.shape))) for e in batch]  # fmt: skip
        for e, ok, keys in of:
            item = published.get(e.house, {}).get(
                e.tool, {"shapes": {}, "success": sums[0] / sums[1]}
            )
            like = item["shapes"].get(e.shape, item)
            exact = like.get("arguments", {}).get(e.signature, like)
            for name, p in (
                ("shapes, as published", like["success"]),
                ("arguments, as published", exact["success"]),
                ("mean of tool, house, shape", mean.expect(keys[3])),
                ("chain", chain.expect(keys)),
            ):
                said.setdefault(name, []).append((p, ok))
        for _, ok, keys in of:
            sums = [sums[0] + ok, sums[1] + 1.0]
            mean.learn(keys[3], ok=ok)
            chain.learn(keys, ok=ok)
        predictions.learn(batch, now=now)
    return {
        name: (1000 * fmean((p - ok) ** 2 for p, ok in pairs), 1000 * fmean(log_loss(p, ok) for p, ok in pairs))
        for name, pairs in said.items()
    }  # fmt: skip


def _fleet_rows(seeds: int, workers: int) -> list[Row]:
    with ProcessPoolExecutor(workers) as pool:
        runs = list(pool.map(fleet_run, range(seeds)))
    found: list[Row] = []
    for name in runs[0]:
        brier, loss = (fmean(run[name][i] for run in runs) for i in (0, 1))
        judged = name == "shapes, as published" and seeds == 3
        verdict = ("ok" if brier <= 137.0 else "MISSED") if judged else ""
        said = f"{brier:.1f} / {loss:.1f}"
        found.append(
            ("fleet", name, "Brier / log loss x 1000", said, "137.0" if judged else "", verdict)
        )
    return found


def rows(*, quick: bool, workers: int = 2) -> list[Row]:
    """Ours after a fall, and in a fleet beside plain counts."""
    return [*_fall_rows(4 if quick else 20, workers), *_fleet_rows(1 if quick else 3, workers)]
