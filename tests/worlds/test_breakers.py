"""Breakers beside the reference on the same calls; all of it is `python -m tests.worlds --full`."""

import pytest

from tests.worlds.breaker_world import PRESETS
from tests.worlds.learning_tables import BREAKER_BARS, breaker_run, paired, student_95

SEEDS = range(50, 53)
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", [name for name in PRESETS if name != ".5 calls/s"])
def test_false_opens_failures_let_through_and_calls_lost_are_not_worse_than_the_references(
    name: str,
) -> None:
    runs = [breaker_run((name, seed)) for seed in SEEDS]

    for i, least in enumerate((0.5, 1.0, 0.2)):
        worse, error = paired([(ours.rates[i], reference.rates[i]) for ours, reference in runs])
        assert worse <= max(least, error), (i, worse, error)


def test_the_reference_does_here_what_the_table_says_of_it() -> None:
    runs = [breaker_run(("f .05 icc .2", seed))[1] for seed in range(50, 56)]
    figures = [sum(run.rates[i] for run in runs) / len(runs) for i in range(3)]

    assert figures == pytest.approx(BREAKER_BARS["f .05 icc .2"], abs=0.2)


def test_the_error_of_few_pairs_is_students() -> None:
    assert [student_95(n) for n in (2, 5, 15, 1000)] == pytest.approx(
        [4.303, 2.571, 2.131, 1.962], rel=0.04
    )
