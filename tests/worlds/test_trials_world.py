"""A change that helps is kept, one that harms is taken back: a few runs of table E and the trials."""

import pytest

from tests.worlds.knob_tables import INCIDENT, LOOP, table_e, table_trials
from tests.worlds.knob_worlds import SignalWorld, closed_loop, trial_alone

pytestmark = pytest.mark.slow


def test_a_gain_of_a_tenth_is_kept_a_harm_and_no_effect_are_not() -> None:
    rows = table_trials(3, 0, 1, effects=(0.0, 0.1, -0.1))

    assert [row for row in rows if row[-1] != "ok"] == []


def test_a_day_of_trouble_does_not_leave_a_harmful_change_behind() -> None:
    rows = table_e(2, 300, 1, worlds=("1-day incident, lowering hurts",))

    assert [row for row in rows if row[-1] != "ok"] == []


def test_a_change_that_helps_stays_and_is_not_undone() -> None:
    run = closed_loop(SignalWorld(301, **LOOP, p=0.5, slope=1.0))

    assert run.final == 0.7
    assert run.mean_p > 0.55
    assert "restored" not in run.changes


def test_a_gain_in_success_that_costs_completed_turns_is_not_kept() -> None:
    for seed in range(3):
        world = SignalWorld(seed, **LOOP, p=0.5, slope=1.5, turn_p=0.8, guard_slope=-2.0)
        assert trial_alone(world, revisions=True, guard=True).verdict == "taken back"


def test_the_same_gain_with_an_unharmed_guard_is_kept() -> None:
    world = SignalWorld(1, **LOOP, p=0.5, slope=1.5, turn_p=0.8)

    assert trial_alone(world, revisions=True, guard=True).verdict == "kept"


def test_the_same_seed_gives_the_same_run() -> None:
    runs = [
        closed_loop(SignalWorld(302, **LOOP, p=0.8, changes=INCIDENT, slope=-1.0)) for _ in range(2)
    ]

    assert runs[0] == runs[1]
