"""Scores of predictions that were published before their calls began."""

import random

import msgspec
import pytest

from timmyd.core.estimating.score import Coverage, Prequential


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


def covered(width: float, *, seed: int = 1, blocks: int = 400) -> float:
    """The share of intervals that held, of figures that are right up to a normal error of .04."""
    rng, coverage = random.Random(seed), Coverage()
    for n in range(blocks):
        truth = rng.uniform(0.3, 0.95)
        said = min(1.0, max(0.0, truth + rng.gauss(0.0, 0.04)))
        for _ in range(20):
            coverage.add((str(n),), said, said - width, said + width, ok=rng.random() < truth)
    assert coverage.share is not None
    return coverage.share


def test_honest_intervals_hold_and_those_that_are_too_sure_do_not() -> None:
    assert covered(1.96 * 0.04) == pytest.approx(0.96, abs=0.03)
    assert covered(0.0, blocks=2_000) < 0.95

    wrong = Coverage()
    for n in range(400):
        wrong.add(("h", "t"), 0.85, 0.8, 0.9, ok=n % 10 == 0)
    assert wrong.share == 0.0


def test_coverage_goes_on_from_a_dump_and_is_unknown_before_enough() -> None:
    coverage = Coverage()
    assert coverage.share is None
    for n in range(250):
        coverage.add(("h", "t"), 0.8, 0.7, 0.9, ok=n % 5 > 0)
    again = Coverage(coverage.dump())
    assert again.share == coverage.share == 1.0
    assert again.dump() == coverage.dump()


def test_accuracy_is_that_of_the_last_seven_days() -> None:
    day_s, scores = 86_400.0, Prequential()
    scores.note_day(1.0, 1_000.0, ok=False)
    for day in range(3, 10):
        scores.note_day(0.8, day * day_s, ok=True)

    assert scores.accuracy(9 * day_s) == pytest.approx(0.8)
    assert scores.accuracy(5 * day_s) == pytest.approx((3 * 0.8 + 0.0) / 4)
    assert Prequential().accuracy(0.0) is None
