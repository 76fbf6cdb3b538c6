"""Predictions: honest when little is known, soon right after a change, the same in any order and after a restart."""

import random
from collections.abc import Iterable

import msgspec
import pytest

from timmyd.core.estimating.levels import Levels
from timmyd.core.estimating.predict import FEW, MOST_MOVED, Figures, Predictor

DAY_S = 86_400.0
NOW = 1_790_000_000.0


def taught(
    outcomes: Iterable[bool],
    predictor: Predictor | None = None,
    *,
    house: str = "ezra",
    tool: str = "terminal",
    shape: str = "git push",
    arguments: str = "a",
    owner: str = "alice",
) -> Predictor:
    predictor = Predictor() if predictor is None else predictor
    for n, ok in enumerate(outcomes):
        predictor.learn(
            house, tool, shape, arguments, ok=ok, at=NOW + n, now=NOW + n, owner=owner
        )  # fmt: skip
    return predictor


def told(predictor: Predictor, *of: str, house: str = "ezra") -> Figures:
    found = predictor.tell(house, "terminal", *of)
    assert found is not None
    return found


def every(n: int, calls: int) -> list[bool]:
    return [k % n > 0 for k in range(calls)]


def test_nothing_known_is_no_figure_and_a_few_calls_are() -> None:
    assert Predictor().tell("ezra", "terminal") is None
    assert taught([True] * (FEW - 1)).tell("ezra", "terminal") is None
    assert told(taught([True] * FEW)).samples == FEW
    assert taught([True] * 9).tell("bezalel", "terminal") is None


def test_the_interval_holds_the_figure_and_narrows() -> None:
    widths = []
    for calls in (5, 50, 500):
        found = told(taught(every(4, calls)))
        assert found.low <= found.success <= found.high
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


def test_of_what_never_failed_the_interval_reaches_one_and_of_what_never_worked_nought() -> None:
    assert told(taught([True] * 40)).high == 1.0
    assert told(taught([False] * 40)).low == 0.0
    assert told(taught([True] * 40 + [False])).high < 1.0


def test_a_fall_is_told_within_a_day_and_surely() -> None:
    rng = random.Random(1)
    predictor = taught(rng.random() < 0.85 for _ in range(500))
    taught((rng.random() < 0.1 for _ in range(100)), predictor)
    for found in (told(predictor), told(predictor, "git push")):
        assert found.low <= 0.1 <= found.high
        assert abs(found.success - 0.1) < 0.08
        assert found.high - found.low < 0.25


def test_each_level_says_what_happens_to_its_calls_whatever_the_mix() -> None:
    predictor = Predictor()
    for n in range(2_000):
        common = n % 10 > 0
        predictor.learn(
            "ezra", "terminal", "ls" if common else "make", f"{n}",
            ok=common or n % 20 > 9, at=NOW + n, now=NOW + n,
        )  # fmt: skip
    assert told(predictor).success == pytest.approx(0.95, abs=0.02)
    assert told(predictor, "make").success == pytest.approx(0.5, abs=0.08)
    assert told(predictor, "ls").success > 0.99


def test_arguments_that_never_work_are_told_from_those_that_do() -> None:
    predictor = taught([True] * 100, arguments="good")
    taught([False] * 5, predictor, arguments="bad")

    assert told(predictor, "git push", "bad").success < 0.2
    assert told(predictor, "git push", "good").success > 0.97


def test_a_shape_that_is_new_in_a_house_leans_on_what_others_of_its_owner_saw() -> None:
    predictor = taught([False] * 60, shape="make")
    taught([True] * 200, predictor, shape="ls")
    taught([True] * 200, predictor, house="bezalel", shape="ls")
    taught([True], predictor, house="bezalel", shape="make")

    assert told(predictor, "make", house="bezalel").success < 0.8


def test_calls_in_any_order_of_arrival_give_about_the_same() -> None:
    rng = random.Random(3)
    calls = [(NOW + n * 600.0, rng.random() < (0.9 if n < 900 else 0.3)) for n in range(1_000)]
    orders = {
        "in order": calls,
        "newest first": calls[::-1],
        "by week, newest first": [c for k in range(900, -1, -100) for c in calls[k : k + 100]],
        "the present first": [*calls[900:], *calls[:900]],
    }
    found = {}
    for name, order in orders.items():
        levels = Levels()
        for at, ok in order:
            levels.learn("ezra", "terminal", "ls", "a", ok=ok, at=at, now=NOW + 7 * DAY_S)
        posterior = levels.tell("ezra", "terminal")
        assert posterior is not None
        assert posterior.samples == 1_000
        found[name] = posterior.mean
    assert found["in order"] == pytest.approx(0.3, abs=0.12)
    assert all(mean == pytest.approx(found["in order"], abs=0.15) for mean in found.values())


def test_a_clock_that_was_ahead_once_forgets_nothing() -> None:
    predictor = taught(every(4, 400))
    before = told(predictor)
    ahead = NOW + 32 * DAY_S
    predictor.learn("ezra", "terminal", "ls", "b", ok=True, at=ahead, now=ahead, owner="alice")
    for n in range(400):
        at = NOW + 500 + n
        predictor.learn(
            "ezra", "terminal", "git push", "a", ok=n % 2 > 0, at=at, now=at, owner="alice"
        )

    assert before.success == pytest.approx(0.75, abs=0.03)
    assert told(predictor).success == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("calls", [30, 3_000])
@pytest.mark.parametrize("others", [(), ("bob",), ("bob", "carol", "dave")])
def test_what_one_owner_writes_moves_no_figure_of_another_by_more_than_the_law_allows(
    calls: int, others: tuple[str, ...]
) -> None:
    def world(*, hostile: bool) -> Predictor:
        predictor = taught(every(5, 12))
        for owner in others:
            taught(every(6, 200), predictor, house=owner, owner=owner)
        if hostile:
            taught([False] * calls, predictor, house="mallory", owner="mallory")
        return predictor

    with_it, without = world(hostile=True), world(hostile=False)
    for of in ((), ("git push",), ("git push", "a")):
        one, other = told(with_it, *of), told(without, *of)
        for field in ("success", "low", "high"):
            assert abs(getattr(one, field) - getattr(other, field)) <= MOST_MOVED + 1e-4
        assert one.samples == other.samples


def test_owners_that_agree_are_a_hint_where_little_is_known() -> None:
    alone = taught([True] * 3)
    hinted = taught([True] * 3)
    for owner in ("bob", "carol", "dave"):
        taught([False] * 300, hinted, house=owner, owner=owner)

    assert told(hinted).success == pytest.approx(told(alone).success - 2 * MOST_MOVED, abs=0.001)


def test_what_nobody_was_known_to_own_goes_with_its_house() -> None:
    predictor = taught(every(4, 100), owner="unknown")
    taught([True], predictor, house="other", owner="unknown")
    taught([True], predictor, owner="alice")
    taught([True], predictor, house="other", owner="unknown")

    assert told(predictor).samples == 101
    assert told(predictor, house="other").samples == 2


def test_memory_is_bounded_and_what_was_used_lately_stays() -> None:
    levels = Levels(most_keys=1_000)
    for n in range(3_000):
        levels.learn("h", "t", "ls", f"{n}", ok=True, at=NOW + n, now=NOW + n)

    assert len(levels) <= 1_000
    assert levels.tell("h", "t", "ls", "2999") is not None
    assert levels.tell("h", "t", "ls", "5") is None
    assert levels.calls("t") == 3_000


def test_a_restart_goes_on_bit_for_bit() -> None:
    one = taught(every(3, 100))
    two = Predictor(one.dump())
    for predictor in (one, two):
        taught([False, True], predictor, arguments="x")
        taught([False, True], predictor, house="bob", owner="bob")

    assert one.dump() == two.dump()
    assert told(one, "git push", "x") == told(two, "git push", "x")


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", Predictor().dump()[:-1]])
def test_torn_state_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        Predictor(data)
