"""The wall clock against its witnesses: what is believed, how it ends, and when a thing happened then."""

import pytest
from hypothesis import given, strategies as st

from timmyd.core.clock_trust import (
    PAUSE_S,
    SLACK_S,
    WAIT_S,
    ClockReading,
    ClockTrust,
    Skew,
    first_look,
)

NOW = 1_795_500_000.0
DAY_S = 86_400.0
YEAR_S = 365 * DAY_S
LAST = ClockTrust(wall=NOW - 60.0, steady=5_000.0, boot="before")
JUMPS_S = [-DAY_S, 32 * DAY_S, 2 * YEAR_S, 300.0 - NOW, -3600.0, 3600.0]


def reading(passed_s: float = 0.0, *, jump_s: float = 0.0, boot: str = "b") -> ClockReading:
    return ClockReading(NOW + passed_s + jump_s, 1_000.0 + passed_s, boot)


def at_work() -> ClockTrust:
    return first_look(reading(), last=LAST)


@pytest.mark.parametrize("jump_s", JUMPS_S)
def test_a_jump_is_doubted_and_time_goes_on_as_it_went(jump_s: float) -> None:
    trust = at_work().look(reading(10.0)).look(reading(20.0, jump_s=jump_s))
    assert trust.now == pytest.approx(NOW + 20.0, abs=1e-3)
    assert trust.ahead_s == pytest.approx(jump_s, abs=1e-3)
    assert trust.jumps == 1
    assert trust.jump_s == pytest.approx(jump_s, abs=1e-3)
    again = trust.look(reading(30.0, jump_s=jump_s))
    assert again.now == pytest.approx(NOW + 30.0, abs=1e-3)
    assert again.jumps == 1


@pytest.mark.parametrize("jump_s", JUMPS_S)
def test_it_ends_with_the_jump_back_with_synchronisation_or_after_a_day(jump_s: float) -> None:
    doubted = at_work().look(reading(20.0, jump_s=jump_s))
    back = doubted.look(reading(30.0))
    assert (back.ahead_s, back.jumps) == (0.0, 2)
    assert doubted.synchronised().now == NOW + 20.0 + jump_s
    assert doubted.look(reading(WAIT_S, jump_s=jump_s)).ahead_s != 0.0
    assert doubted.look(reading(20.0 + WAIT_S, jump_s=jump_s)).ahead_s == 0.0


def test_a_day_counts_from_the_last_jump() -> None:
    doubted = at_work().look(reading(20.0, jump_s=YEAR_S))
    other = doubted.look(reading(WAIT_S - 1.0, jump_s=2 * YEAR_S))
    assert other.look(reading(WAIT_S + 60.0, jump_s=2 * YEAR_S)).ahead_s == pytest.approx(
        2 * YEAR_S
    )


def test_what_clocks_do_is_no_jump() -> None:
    trust = at_work().look(reading(10.0, jump_s=SLACK_S - 1.0)).look(reading(20.0))
    assert (trust.jumps, trust.ahead_s, trust.now) == (0, 0.0, NOW + 20.0)


@pytest.mark.parametrize(
    ("wall", "doubted"),
    [
        (NOW, False),
        (NOW + PAUSE_S - 3600.0, False),
        (NOW + 32 * DAY_S, True),
        (NOW + 2 * YEAR_S, True),
        (NOW - DAY_S, True),
        (300.0, True),
    ],
)
def test_a_start_is_judged_by_the_last_tick(wall: float, doubted: bool) -> None:
    trust = first_look(ClockReading(wall, 10.0, "b"), last=LAST)
    assert bool(trust.ahead_s) is doubted
    assert trust.now == pytest.approx(LAST.now if doubted else wall, abs=1.0)


@pytest.mark.parametrize(
    ("wall", "now"), [(NOW + 2 * YEAR_S, NOW), (300.0, NOW), (NOW + DAY_S, NOW + DAY_S)]
)
def test_without_a_tick_the_files_and_calls_of_the_owners_are_asked(
    wall: float, now: float
) -> None:
    trust = first_look(ClockReading(wall, 10.0), last=None, newest=[NOW, NOW - 5.0, NOW + 9.0])
    assert trust.now == pytest.approx(now, abs=1.0)


def test_without_any_witness_the_clock_is_believed_unless_it_cannot_be() -> None:
    assert first_look(ClockReading(NOW + YEAR_S, 1.0), last=None).ahead_s == 0.0
    assert first_look(ClockReading(300.0, 1.0), last=None).ahead_s < 0.0


@given(st.floats(0.0, 4e9))
def test_no_single_owner_moves_the_clock(claim: float) -> None:
    newest = [NOW - 10.0, NOW - 20.0, claim]
    trust = first_look(ClockReading(NOW, 1.0), last=None, newest=newest)
    assert trust.now == NOW
    wrong = first_look(ClockReading(NOW + YEAR_S, 1.0), last=None, newest=newest)
    assert NOW - 20.0 <= wrong.now <= NOW - 10.0


def test_within_one_boot_a_process_goes_on_where_the_last_one_was() -> None:
    doubted = at_work().look(reading(20.0, jump_s=YEAR_S))
    later = first_look(reading(20.0 + WAIT_S / 2, jump_s=YEAR_S), last=doubted)
    assert later.now == pytest.approx(NOW + 20.0 + WAIT_S / 2)
    assert first_look(reading(20.0 + WAIT_S, jump_s=YEAR_S), last=later).ahead_s == 0.0


@pytest.mark.parametrize(
    ("skew", "at", "dated"),
    [
        (Skew(), NOW - 60.0, (NOW - 60.0, False)),
        (Skew(), NOW + 60.0, (NOW, False)),
        (Skew(), NOW + YEAR_S, (NOW, True)),
        (Skew(YEAR_S, NOW + YEAR_S), NOW - 60.0, (NOW - 60.0, False)),
        (Skew(YEAR_S, NOW + YEAR_S), NOW + YEAR_S - 30.0, (NOW - 30.0, True)),
        (Skew(YEAR_S, NOW + YEAR_S), NOW + 3 * YEAR_S, (NOW, True)),
        (Skew(-DAY_S, NOW - DAY_S), NOW - DAY_S + 5.0, (NOW, True)),
        (Skew(-DAY_S, NOW - DAY_S), NOW - 2 * DAY_S, (NOW - 2 * DAY_S, False)),
        (Skew(300.0 - NOW, 300.0), 290.0, (NOW - 10.0, True)),
    ],
)
def test_what_came_in_under_a_wrong_clock_is_dated_again(
    skew: Skew, at: float, dated: tuple[float, bool]
) -> None:
    assert skew.dated(at, NOW) == dated


@given(
    st.lists(st.tuples(st.floats(0.0, 4e4), st.floats(-4e9, 4e9)), max_size=12),
)
def test_believed_time_never_goes_back_but_by_slack_while_nothing_is_accepted(
    steps: list[tuple[float, float]],
) -> None:
    trust, passed_s = at_work(), 0.0
    for wait_s, jump_s in steps:
        passed_s = min(passed_s + wait_s, WAIT_S - 1.0)
        after = trust.look(reading(passed_s, jump_s=jump_s))
        assert abs(after.now - (NOW + passed_s)) <= SLACK_S * (len(steps) + 1)
        trust = after
