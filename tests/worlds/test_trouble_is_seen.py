"""Trouble is seen: a few runs of table C; the whole of it is `python -m tests.worlds`."""

import math
from statistics import fmean

import pytest

from tests.worlds.knob_tables import C_BARS, C_TRAFFIC, Job, median, watch_world

pytestmark = pytest.mark.slow

CASES = [
    (drop, traffic, bar)
    for drop, bars in C_BARS.items()
    for traffic, bar in bars.items()
    if traffic != "iid 10/tick"
]


def test_drops_are_seen_about_as_soon_as_the_table_says() -> None:
    ratios, false = [], 0
    for (before, after, limit), traffic, bar in CASES:
        options = {
            **C_TRAFFIC[traffic], "p": before, "changes": ((4000, after),), "n_ticks": 16_000,
        }  # fmt: skip
        runs = [
            watch_world(Job("C", "w", options, 5000 + s, limit, drop_at=4000)) for s in range(3)
        ]
        false += sum(run.false["ours"] for run in runs)
        ratios.append(median([run.delay["ours"] for run in runs]) / bar)

    assert false <= 1
    assert math.exp(fmean(math.log(ratio) for ratio in ratios)) <= 1.3, ratios
    assert max(ratios) <= 3.0, ratios


def test_a_small_drop_is_seen_sooner_where_the_calls_of_a_session_are_independent() -> None:
    """Bets by worth: 2,374 calls with equal bets, 24 runs."""
    options = {
        "rate": 1.0, "session_mean": 10, "p": 0.8, "changes": ((3000, 0.7),), "n_ticks": 12_000,
    }  # fmt: skip
    runs = [watch_world(Job("C", "w", options, 5000 + s, 0.75, drop_at=3000)) for s in range(5)]

    assert median([run.delay["ours"] for run in runs]) < 1_900
