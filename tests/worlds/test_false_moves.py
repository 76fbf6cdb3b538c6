"""No false moves: a few runs of tables A, B and D; the whole of them is `python -m tests.worlds`."""

import pytest

from tests.worlds.knob_tables import Job, Row, at_least, table_a, table_b, table_d, watch_world
from tests.worlds.knob_worlds import SignalWorld, closed_loop

pytestmark = pytest.mark.slow


def missed(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row[-1] != "ok"]


def test_stationary_worlds_alarm_no_more_often_than_the_bound() -> None:
    assert missed(table_a(2, 1000, 1)) == []


def test_correlated_sessions_alarm_no_more_often_than_the_bound_at_the_limit_itself() -> None:
    assert missed(table_b(6, 9000, 1, delays=False)) == []


def test_outages_of_an_hour_start_nothing_once_an_alarm_must_stand_for_four() -> None:
    assert missed(table_d(2, 100, 1)) == []


def test_the_original_rule_and_a_wilson_test_each_tick_do_alarm_where_ours_does_not() -> None:
    options = {"p": 0.65, "rate": 0.2, "session_mean": 10, "icc": 0.6}
    runs = [watch_world(Job("A", "w", options, 1000 + s, rivals=True)) for s in range(4)]

    assert sum(run.false["ours"] for run in runs) == 0
    assert sum(run.false["original"] for run in runs) > 100
    assert sum(run.false["Wilson"] for run in runs) > 100


def test_a_house_on_the_good_side_of_its_limit_is_left_alone() -> None:
    world = SignalWorld(42, n_ticks=7 * 1440, rate=1.0, session_mean=8, icc=0.3, p=0.7)

    assert closed_loop(world).changes == {}


def test_the_binomial_tail_is_the_binomial_tail() -> None:
    assert at_least(0, 10, 0.3) == pytest.approx(1.0)
    assert at_least(10, 10, 0.5) == pytest.approx(0.5**10)
