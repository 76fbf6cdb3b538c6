"""Who leads, what moves the lead, and how the calls are shared out."""

import random

import pytest

from tests.choosing import TYPE, Chooser
from timmyd.core.estimating.best import SuccessRate, chances
from timmyd.core.estimating.choose import OPTIONS_MOST, stand
from timmyd.core.estimating.options import KEEP, NAMES_MOST, TYPES_MOST, Experience


@pytest.mark.parametrize(
    "counts",
    [
        [(1.0, 1.0), (1.0, 1.0)],
        [(80.0, 20.0), (8.0, 3.0)],
        [(1600.0, 400.0), (1.0, 1.0)],
        [(1560.0, 44.0), (1900.0, 100.0), (3.0, 2.0)],
        [(0.5, 19.5), (1.0, 19.0), (4.0, 16.0)],
    ],
)
def test_the_chance_to_be_the_best_is_that_of_many_draws(counts: list[tuple[float, float]]) -> None:
    rng, wins, draws = random.Random(1), [0] * len(counts), 20_000
    for _ in range(draws):
        drawn = [rng.betavariate(*pair) for pair in counts]
        wins[drawn.index(max(drawn))] += 1

    found = chances([SuccessRate(*pair) for pair in counts])

    assert found == pytest.approx([won / draws for won in wins], abs=0.025)
    assert sum(found) == pytest.approx(1.0)


def test_without_options_nothing_is_chosen() -> None:
    assert stand(TYPE, [Experience()], [], None) is None


def test_one_of_one_does_not_beat_ninety_nine_of_a_hundred() -> None:
    chooser = Chooser("ab")
    chooser.feed("a", 99, 1)
    chooser.feed("b", 1, 0)

    assert chooser.settled().leader == "a"


def test_a_clearly_better_option_takes_over_and_gets_nearly_all() -> None:
    chooser = Chooser("ab")
    chooser.feed("a", 30, 30)
    assert chooser.settled().leader == "a"
    chooser.feed("b", 60, 0)
    found = chooser.settled()

    assert found.leader == "b"
    assert found.best["b"] > 0.99
    assert found.weights["b"] > 0.95
    assert sum(found.weights.values()) == pytest.approx(1.0)
    assert found.low < found.success


def test_asking_changes_nothing_only_settling_moves_the_leader() -> None:
    chooser = Chooser("ab")
    chooser.feed("a", 30, 30)
    before = chooser.settled()
    chooser.feed("b", 60, 0)

    assert chooser.decide() == before
    assert chooser.settled().leader == "b"


def test_an_equal_does_not_take_the_lead() -> None:
    chooser = Chooser("ab")
    chooser.feed("a", 40, 10)
    leader = chooser.settled().leader
    for _ in range(20):
        chooser.feed("b", 4, 1)
        chooser.feed("a", 4, 1)
        assert chooser.settled().leader == leader


def test_a_long_good_record_does_not_hide_a_fall() -> None:
    chooser = Chooser("ab")
    chooser.feed("a", 2_850, 150)
    assert chooser.settled().success > 0.94
    for _ in range(30):
        chooser.learn("a", ok=False)

    assert chooser.settled().success < 0.75


def test_a_fall_in_all_types_is_seen_in_all_of_them() -> None:
    chooser = Chooser("ab")
    for n in range(4_000):
        chooser.learn("a", ok=n // 40 % 20 > 0, kind=f"type {n % 40}")
    before = chooser.experience.expected("type 0", "a")
    for n in range(40):
        chooser.learn("a", ok=False, kind=f"type {n}")

    assert before > 0.9
    assert all(chooser.experience.expected(f"type {n}", "a") < 0.8 for n in range(40))


def test_what_an_option_does_elsewhere_is_where_it_starts_in_a_new_type() -> None:
    chooser = Chooser("ab")
    for n in range(400):
        chooser.learn("a", ok=n % 2 > 0, kind="known")
        chooser.learn("b", ok=n % 10 > 0, kind="known")
    chooser.learn("a", ok=True, kind="new")

    chooser.settle("new")
    assert chooser.decide().leader == "b"
    assert chooser.decide().success == pytest.approx(0.9, abs=0.03)


def test_what_never_worked_does_not_lead_over_what_does() -> None:
    chooser = Chooser("ab")
    chooser.feed("a", 0, 30)
    assert chooser.settled().leader in {"a", "b"}
    chooser.learn("b", ok=True)

    assert chooser.settled().leader == "b"


def test_forbidden_exploration_publishes_one_option_but_still_leaves_a_failing_one() -> None:
    chooser = Chooser("ab", exploration=0.0)
    chooser.feed("a", 400, 0)
    assert chooser.settled().weights == {"a": 1.0}
    chooser.feed("a", 0, 200)

    assert chooser.settled().weights == {"b": 1.0}


def test_exploration_is_at_least_its_share_for_what_is_hardly_known() -> None:
    chooser = Chooser("ab", exploration=0.1)
    chooser.feed("a", 900, 10)
    chooser.feed("b", 0, 19)

    assert chooser.settled().best["b"] < 0.001
    assert chooser.settled().weights["b"] == pytest.approx(0.1, abs=0.01)
    chooser.feed("b", 0, 5)
    assert chooser.settled().weights["b"] < 0.001


@pytest.mark.parametrize(("bad", "leader"), [(0, "cheap"), (1, "dear")])
def test_cost_decides_among_equals_only(bad: int, leader: str) -> None:
    chooser = Chooser(["cheap", "dear"])
    for n in range(200):
        chooser.learn("dear", ok=True, cost=1.0, latency_ms=4000.0)
        chooser.learn("cheap", ok=n % 5 >= bad, cost=0.1, latency_ms=900.0)

    assert chooser.settled().leader == leader


def test_the_most_expensive_does_not_lead_a_tie() -> None:
    chooser = Chooser(["cheap", "dear"])
    for n in range(15):
        chooser.learn("dear", ok=n != 7, cost=1.0)
        chooser.learn("cheap", ok=n not in {3, 9}, cost=0.1)

    assert chooser.settled().leader == "cheap"


def test_a_blocked_leader_is_stood_in_for_and_comes_back() -> None:
    chooser = Chooser("ab")
    chooser.feed("a", 50, 0)
    chooser.feed("b", 20, 30)
    chooser.settle()

    assert chooser.decide(without={"a"}).leader == "b"
    assert chooser.decide(without={"a"}).weights == {"b": 1.0}
    assert chooser.decide(without={"a", "b"}).leader == "a"
    assert chooser.decide().leader == "a"


def test_hard_cases_sent_by_others_do_not_count_against_an_option() -> None:
    chooser = Chooser("ab")
    for n in range(600):
        chooser.learn("a", ok=n % 10 > 0, followed=True)
        chooser.learn("a", ok=n % 2 == 0)
        chooser.learn("b", ok=n % 5 > 0, followed=True)
        chooser.learn("b", ok=True)
    found = chooser.settled()

    assert found.apart
    assert found.leader == "a"


def test_the_calls_of_one_session_tell_less_than_as_many_of_their_own() -> None:
    one, many = Experience(), Experience()
    for n in range(10):
        one.learn(TYPE, "a", ok=True, session="s")
        many.learn(TYPE, "a", ok=True, session=f"s{n}")

    assert one.of(TYPE, "a")[1] < 0.8 * many.of(TYPE, "a")[1]


def test_calls_fade_with_those_that_come_after_them() -> None:
    experience = Experience()
    experience.learn(TYPE, "a", ok=True)
    for _ in range(1_000):
        experience.learn(TYPE, "b", ok=True)

    assert experience.of(TYPE, "a")[1] == pytest.approx(KEEP**1_000)


def test_a_choice_lists_only_so_many_options() -> None:
    names = [f"m{n:02d}" for n in range(30)]
    chooser = Chooser(names)
    for name in names:
        chooser.feed(name, 3, 1)
    found = chooser.settled()

    assert len(found.weights) == len(found.best) == OPTIONS_MOST
    assert found.leader in found.weights
    assert sum(found.best.values()) == pytest.approx(1.0)


def test_what_is_kept_is_bounded_whatever_names_come() -> None:
    experience = Experience()
    for n in range(50):
        experience.learn("usual", "usual", ok=n % 5 > 0)
    for n in range(3_000):
        experience.learn(f"type {n}", f"name {n}", ok=False)

    assert len(experience.options) <= NAMES_MOST
    assert len(experience.contests) <= TYPES_MOST
    assert experience.of("usual", "usual")[1] == pytest.approx(50.0, rel=0.05)
