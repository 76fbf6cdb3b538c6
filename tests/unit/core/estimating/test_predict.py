"""Predictions: honest when little is known, explained, forgetful, the same after a restart."""

import msgspec
import pytest

from timmyd.core.estimating.calls import Call
from timmyd.core.estimating.effects import FORGOTTEN_AFTER_S
from timmyd.core.estimating.predict import INSUFFICIENT, Predictor


def taught(*outcomes: bool, signature: str = "s", house: str = "ezra") -> Predictor:
    model = Predictor()
    for n, ok in enumerate(outcomes):
        model.learn("terminal", house, ok=ok, at=float(n), signature=signature, model="m")
    return model


def test_nothing_known_is_no_probability() -> None:
    prediction = Predictor().predict("terminal", "ezra")

    assert (prediction.success, prediction.low, prediction.high) == (None, 0.0, 1.0)
    assert prediction.reasoning == INSUFFICIENT


def test_two_executions_are_not_enough_a_few_are() -> None:
    assert taught(True, True).predict("terminal", "ezra").success is None
    assert taught(*[True] * 3, *[False] * 2).predict("terminal", "ezra").success is not None


@pytest.mark.parametrize(
    ("period", "words"),
    [
        (0, "excellent track record"),
        (6, "good track record"),
        (2, "mixed results"),
        (1, "poor track record, consider alternatives"),
    ],
)
def test_the_words_follow_the_probability(period: int, words: str) -> None:
    outcomes = [period == 0 or (period > 1 and (n % 5 > 0 if period == 6 else n % 5 > 1)) for n in range(200)]  # fmt: skip
    reasoning = taught(*outcomes).predict("terminal", "ezra").reasoning

    assert words in reasoning
    assert "similar executions" in reasoning


def test_the_interval_holds_the_probability_and_narrows() -> None:
    widths = []
    for count in (5, 50, 500):
        p = taught(*[n % 4 > 0 for n in range(count)]).predict("terminal", "ezra")
        assert p.success is not None
        assert p.low <= p.success <= p.high
        widths.append(p.high - p.low)
    assert widths == sorted(widths, reverse=True)


def test_an_unknown_house_leans_on_the_others_with_a_wider_interval() -> None:
    model = taught(*[True] * 50)
    here, there = model.predict("terminal", "ezra"), model.predict("terminal", "bezalel")

    assert there.success is not None
    assert there.high - there.low > here.high - here.low


def test_arguments_that_never_work_are_told_from_those_that_do() -> None:
    model = taught(*[True] * 100, signature="good")
    for n in range(8):
        model.learn("terminal", "ezra", ok=False, at=float(n), signature="bad", model="m")

    assert (model.predict("terminal", "ezra", signature="bad").success or 1.0) < 0.2
    assert (model.predict("terminal", "ezra", signature="good").success or 0.0) > 0.9


def test_a_shape_carries_to_arguments_never_seen() -> None:
    model = Predictor()
    for n in range(60):
        shape = "git push" if n % 2 else "git status"
        model.learn("t", "h", ok=n % 2 == 0, at=float(n), shape=shape, signature=f"s{n}")
    push = model.predict("t", "h", shape="git push", signature="new").success
    status = model.predict("t", "h", shape="git status", signature="new").success

    assert push is not None
    assert status is not None
    assert status - push > 0.3
    assert model.shapes("t") == [("git push", 30), ("git status", 30)]


def test_a_change_for_the_worse_is_learned() -> None:
    model = taught(*[True] * 300, *[False] * 60)

    assert (model.predict("terminal", "ezra").success or 1.0) < 0.5


def test_what_is_not_used_for_a_month_is_forgotten() -> None:
    model = taught(True, True, True)
    assert model.prune(FORGOTTEN_AFTER_S + 10) > 0

    assert model.predict("terminal", "ezra").success is None


def test_memory_is_bounded() -> None:
    model = Predictor(most_keys=1000)
    for n in range(3000):
        model.learn("t", "h", ok=True, at=float(n), signature=f"s{n}")

    assert len(model) <= 1000


def test_a_restart_goes_on_bit_for_bit() -> None:
    one = taught(*[n % 3 > 0 for n in range(100)])
    two = Predictor.load(one.dump())
    for model in (one, two):
        model.learn("terminal", "ezra", ok=False, at=200.0, signature="x", hour=3)

    assert one.dump() == two.dump()
    assert one.expect(Call("terminal", "ezra")) == two.expect(Call("terminal", "ezra"))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", Predictor().dump()[:-1]])
def test_torn_state_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        Predictor.load(data)
