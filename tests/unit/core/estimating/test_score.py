"""Scores of frozen predictions, and a learning velocity that bursts and mixes do not fool."""

import random

import msgspec
import pytest

from timmyd.core.estimating.score import Prequential, Tally, learning_velocity


def test_there_is_no_score_before_there_is_enough() -> None:
    scores = Prequential()
    scores.add([(0.5, 0.5, True)] * 29)
    assert scores.scores() is None
    scores.add([])
    scores.add([(0.5, 0.5, True)])

    assert scores.scores() is not None


def test_perfect_predictions_score_perfectly_and_beat_the_reference() -> None:
    prequential = Prequential()
    for n in range(400):
        ok = n % 2 == 0
        prequential.add([(float(ok), prequential.reference, ok)])
    scores = prequential.scores()

    assert scores is not None
    assert scores.brier == 0.0
    assert scores.log_loss == pytest.approx(0.001, rel=0.01)
    assert scores.skill == 1.0
    assert scores.evidence > 20
    assert [(b.low, b.observed) for b in scores.calibration] == [(0.0, 0.0), (0.9, 1.0)]


def test_the_reference_does_not_beat_itself() -> None:
    prequential = Prequential()
    for n in range(200):
        prequential.add([(prequential.reference, prequential.reference, n % 3 > 0)])
    scores = prequential.scores()

    assert scores is not None
    assert (scores.skill, scores.evidence) == (0.0, 1.0)


def test_overconfidence_shows_in_the_calibration() -> None:
    prequential = Prequential()
    for n in range(1000):
        prequential.add([(0.95, 0.5, n % 2 == 0)])
    scores = prequential.scores()

    assert scores is not None
    assert scores.calibration_error == pytest.approx(0.45, abs=0.01)
    assert prequential.dump() == Prequential.load(prequential.dump()).dump()


def test_torn_state_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        Prequential.load(b"\xc1")


def window(
    seed: int, rate: float, sessions: int, *, tool: str = "t", bursty: bool = False
) -> list[Tally]:
    rng = random.Random(seed)
    rows = []
    for n in range(sessions):
        own = rng.betavariate(rate * 2.3, (1 - rate) * 2.3) if bursty else rate
        rows.append(Tally(f"{tool}{n}", ("h", tool), sum(rng.random() < own for _ in range(8)), 8))
    return rows


def test_no_data_no_velocity() -> None:
    few = window(1, 0.8, 4)
    for new, old in (([], []), (few, []), (few, few), (window(1, 0.8, 90), few)):
        assert learning_velocity(new, old).velocity is None


@pytest.mark.parametrize(
    ("new", "old", "label"), [(0.9, 0.6, "accelerating"), (0.6, 0.9, "declining")]
)
def test_a_real_move_is_named(new: float, old: float, label: str) -> None:
    velocity = learning_velocity(window(1, new, 100), window(2, old, 100))

    assert velocity.velocity == label
    assert velocity.low is not None
    assert velocity.high is not None
    assert velocity.low < new - old < velocity.high


def test_equal_windows_are_hardly_ever_labelled_even_in_bursts() -> None:
    labels = [
        learning_velocity(
            window(s, 0.8, 80, bursty=True), window(s + 999, 0.8, 80, bursty=True)
        ).velocity
        for s in range(60)
    ]

    assert sum(label in ("accelerating", "declining") for label in labels) <= 1


def test_another_mix_of_tools_is_no_learning() -> None:
    easy, hard = 0.95, 0.6
    new = [*window(1, easy, 150, tool="e"), *window(2, hard, 50, tool="x")]
    old = [*window(3, easy, 50, tool="e"), *window(4, hard, 150, tool="x")]
    velocity = learning_velocity(new, old)

    assert velocity.velocity in ("stable", "unclear")
    assert velocity.coverage == 1.0


def test_little_data_is_unclear() -> None:
    assert learning_velocity(window(1, 0.7, 8), window(2, 0.7, 8)).velocity == "unclear"
