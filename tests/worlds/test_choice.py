"""Choice in a few runs; all worlds and seeds are `python -m tests.worlds --full`."""

from statistics import fmean

import pytest

from tests.worlds.learning_tables import choice_run

pytestmark = pytest.mark.slow


def test_a_fallen_leader_is_left_within_the_bar() -> None:
    runs = [choice_run(("swap", 700 + seed)) for seed in range(2)]

    assert fmean(run.regret for run in runs) < 3
    assert all(run.recovery[0] <= 950 for run in runs)


def test_a_better_option_than_the_default_is_found() -> None:
    assert choice_run(("bad_default", 700)).regret < 3


def test_equals_do_not_flip() -> None:
    assert fmean(choice_run(("A/A", seed)).flips for seed in range(2)) <= 8


def test_those_who_choose_hard_cases_for_an_option_fool_it_within_bounds() -> None:
    """5.8 % of the calls on these seeds; the aim is 1.0, which choosing before this version reached."""
    assert fmean(choice_run(("confounded", 700 + seed)).regret for seed in range(3)) <= 7.0
