"""Choices: evidence before a change, a little exploration, never the last option removed."""

import random
from itertools import pairwise

import msgspec
import pytest

from timmyd.core.estimating.arms import Memories
from timmyd.core.estimating.choose import Choice, Leader


def decide(leader: Leader, available: set[str] | None = None) -> Choice:
    leader.settle(available)
    choice = leader.decide(available)
    assert choice is not None
    return choice


def feed(leader: Leader, arm: str, good: int, bad: int, *, followed: bool = False) -> None:
    for n in range(good + bad):
        leader.learn(arm, ok=n >= bad, followed=followed)


def test_no_options_no_choice() -> None:
    assert Leader().decide() is None


def test_too_few_executions_are_not_evaluated() -> None:
    leader = Leader("ab", default="a")
    feed(leader, "a", 10, 0)
    assert not decide(leader).evaluated
    feed(leader, "a", 20, 0)

    assert decide(leader).evaluated


def test_one_of_one_does_not_beat_ninety_nine_of_a_hundred() -> None:
    leader = Leader("ab", default="a")
    feed(leader, "a", 99, 1)
    feed(leader, "b", 1, 0)

    assert decide(leader).leader == "a"


def test_a_clearly_better_option_takes_over_and_gets_nearly_all() -> None:
    leader = Leader("ab", default="a")
    feed(leader, "a", 30, 30)
    feed(leader, "b", 60, 0)
    choice = decide(leader)

    assert choice.leader == "b"
    assert 0.98 <= choice.weights["b"] < 1.0
    assert sum(choice.weights.values()) == pytest.approx(1.0)
    assert choice.low < choice.success


def test_a_leader_with_few_executions_of_its_own_is_published_or_it_would_never_get_any() -> None:
    leader = Leader("ab", default="a")
    feed(leader, "a", 20, 180)
    feed(leader, "b", 8, 0)
    choice = decide(leader)

    assert (choice.leader, choice.samples) == ("b", 7)
    assert choice.evaluated


def test_asking_changes_nothing_only_settling_moves_the_leader() -> None:
    leader = Leader("ab", default="a")
    feed(leader, "a", 30, 30)
    feed(leader, "b", 60, 0)
    before = leader.dump()
    first = leader.decide()

    assert first == leader.decide()
    assert leader.dump() == before
    assert leader.leader == "a"
    leader.settle()
    assert leader.leader == "b"


def test_a_long_good_record_does_not_hide_a_fall() -> None:
    leader = Leader("ab", default="a")
    feed(leader, "a", 2_850, 150)
    assert decide(leader).success > 0.94
    feed(leader, "a", 0, 20)

    assert decide(leader).success < 0.75


def test_a_lucky_find_does_not_lead_where_few_follow() -> None:
    few, most = Leader("ab", default="a"), Leader("ab", default="a")
    for leader, others in ((few, 3), (most, 0)):
        for n in range(400):
            leader.learn("a", ok=n % 5 > 0, followed=True)
            for _ in range(others):
                leader.learn("a", ok=n % 2 > 0)
        feed(leader, "b", 10, 0, followed=True)
        leader.settle()

    assert (few.leader, most.leader) == ("a", "b")


def test_doubt_explores_more() -> None:
    leader = Leader("ab", default="a")
    feed(leader, "a", 20, 20)
    feed(leader, "b", 4, 2)

    assert decide(leader).weights["b"] == pytest.approx(0.3)


def test_forbidden_exploration_publishes_one_option_but_still_leaves_a_failing_one() -> None:
    leader = Leader("ab", default="a", exploration=0.0)
    feed(leader, "a", 400, 0)
    assert decide(leader).weights == {"a": 1.0}
    feed(leader, "a", 0, 200)

    assert decide(leader).weights == {"b": 1.0}


def test_cost_decides_among_equals_only() -> None:
    for bad, want in ((0, "cheap"), (20, "dear")):
        leader = Leader(["cheap", "dear"], default="dear")
        for n in range(200):
            leader.learn("dear", ok=True, cost=1.0, latency_ms=4000.0)
            leader.learn("cheap", ok=n % 100 >= bad, cost=0.1, latency_ms=900.0)
        assert decide(leader).leader == want


def test_a_blocked_leader_is_stood_in_for_and_comes_back() -> None:
    leader = Leader("ab", default="a")
    feed(leader, "a", 50, 0)
    feed(leader, "b", 40, 10)

    assert decide(leader, {"b"}).leader == "b"
    assert decide(leader, set()).leader == "a"
    assert decide(leader).leader == "a"


def test_the_last_option_is_never_retired() -> None:
    leader = Leader("ab", default="a")

    assert leader.retire("a")
    assert not leader.retire("b")
    assert decide(leader).leader == "b"


def test_hard_cases_sent_by_others_do_not_count_against_an_option() -> None:
    leader = Leader("ab", default="a")
    for n in range(600):
        leader.learn("a", ok=n % 10 > 0, followed=True)
        leader.learn("a", ok=n % 2 == 0)
        leader.learn("b", ok=n % 5 > 0, followed=True)
        leader.learn("b", ok=True)
    choice = decide(leader)

    assert choice.confounded
    assert choice.leader == "a"


def test_a_burst_of_one_session_weighs_less_than_many_sessions() -> None:
    burst, many = Leader("a"), Leader("a")
    for n in range(30):
        burst.learn("a", ok=False, session="one")
        many.learn("a", ok=False, session=f"s{n}")

    assert burst.standing("a").samples < many.standing("a").samples / 2


def test_a_restart_goes_on_bit_for_bit() -> None:
    one = Leader("abc", default="b")
    for n in range(150):
        one.learn("abc"[n % 3], ok=n % 7 > 1, session=f"s{n // 4}", followed=n % 2 == 0)
    two = Leader.load(one.dump())
    for leader in (one, two):
        leader.learn("a", ok=True, session="s37", cost=2.0)

    assert decide(one) == decide(two)
    assert one.dump() == two.dump()


@pytest.mark.parametrize("data", [b"", b"\xc1", Leader("a").dump()[:-1]])
def test_torn_state_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        Leader.load(data)


def test_the_first_failure_of_what_never_failed_is_learned_like_any_other() -> None:
    memories = Memories()
    for clock in range(1, 2_000):
        memories.learn(1.0, ok=True, usual=1.0, clock=float(clock))

    memories.learn(1.0, ok=False, usual=1.0, clock=2_000.0)

    assert 0.9 < memories.estimate(1.0, 2_000.0).mean < 1.0
    assert sum(memories.belief) == pytest.approx(1.0)


def test_an_option_that_may_not_lead_does_not_keep_the_lead() -> None:
    leader = Leader(["rare"], default="rare")
    rng = random.Random(3)
    leaders = []
    for number in range(4_000):
        leader.learn("ab"[number % 2], ok=rng.random() < 0.85)
        leader.settle({"a", "b"})
        leaders.append(leader.leader)

    assert "rare" not in leaders[1:]
    assert sum(one != other for one, other in pairwise(leaders)) <= 5
