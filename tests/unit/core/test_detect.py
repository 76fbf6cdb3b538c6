"""Promises of the intervals and detectors."""

import math
import random

import msgspec
import pytest

from timmyd.core.detect import (
    DropDetector,
    EDetector,
    confidence_sequence,
    log_e_value,
    wilson_interval,
)
from timmyd.core.judging.clusters import Clusters, DesignEffect, Pace


def test_wilson_knows_nothing_without_data_and_is_not_certain_after_one_success() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    low, high = wilson_interval(1, 1)
    assert low == pytest.approx(0.2065, abs=1e-4)
    assert high == 1.0


def test_wilson_and_the_confidence_sequence_give_the_figures_of_the_fact_sheet_at_80_of_100() -> (
    None
):
    assert wilson_interval(80, 100, z=1.96) == pytest.approx((0.711, 0.867), abs=1e-3)
    assert confidence_sequence(80, 100) == pytest.approx((0.652, 0.907), abs=1e-3)


@pytest.mark.parametrize(("successes", "trials"), [(2, 1), (-1, 3), (1, math.inf), (math.nan, 1)])
def test_what_is_no_tally_is_refused(successes: float, trials: float) -> None:
    with pytest.raises(ValueError, match="tally"):
        wilson_interval(successes, trials)
    with pytest.raises(ValueError, match="tally"):
        confidence_sequence(successes, trials)


def test_the_ends_of_the_confidence_sequence_are_where_the_evidence_reaches_the_bar() -> None:
    low, high = confidence_sequence(30, 40, alpha=0.05)

    for end in (low, high):
        assert log_e_value(30, 10, end) == pytest.approx(math.log(20), abs=1e-6)


def test_an_e_detector_fires_on_trouble_and_is_silent_on_the_good_side() -> None:
    rng = random.Random(1)
    bad, good = EDetector(limit=0.6, level=1e4), EDetector(limit=0.6, level=1e4)
    fired = [bad.update(float(rng.random() < 0.3), at) for at in range(200)]

    assert any(fired)
    assert not any(good.update(float(rng.random() < 0.75), at) for at in range(5000))


def test_above_is_the_mirror_of_below() -> None:
    rng = random.Random(2)
    below, above = (
        EDetector(limit=0.3, level=100.0),
        EDetector(limit=0.7, level=100.0, side="above"),
    )
    for at in range(300):
        x = rng.random() * 0.7
        below.update(x, at)
        above.update(1.0 - x, at)

    assert above.value == pytest.approx(below.value, rel=1e-9)


def test_false_alarms_at_the_limit_itself_stay_within_one_in_level_clusters() -> None:
    level, clusters, runs, alarms = 100.0, 1000, 60, 0
    for run in range(runs):
        rng = random.Random(run)
        detector = EDetector(limit=0.8, level=level)
        for at in range(clusters):
            if detector.update(float(rng.random() < 0.8), at):
                alarms += 1
                detector.reset()
    expected = runs * clusters / level

    assert 0.2 * expected < alarms <= expected + 3 * math.sqrt(expected)


def test_heavier_clusters_keep_the_factor_positive_and_the_mean_factor_at_most_one() -> None:
    detector = EDetector(limit=0.75, level=1e6)
    for weight in (0.01, 0.5, 1.0, 3.0, 30.0):
        detector.reset()
        detector.update(1.0, 0.0, weight)
        assert min(detector.parts) > 0.0
        up = list(detector.parts)
        detector.reset()
        detector.update(0.0, 0.0, weight)
        for good, bad in zip(up, detector.parts, strict=True):
            assert 0.75 * good + 0.25 * bad == pytest.approx(1.0)


def test_an_alarm_is_confirmed_only_after_its_span_and_further_clusters() -> None:
    detector = EDetector(limit=0.6, level=10.0)
    for at in range(20):
        detector.update(0.0, 100.0 * at)
    since = detector.hot_since

    assert since is not None
    assert detector.confirmed(since + 3600.0, span_s=3600.0, more=5)
    assert not detector.confirmed(since + 3599.0, span_s=3600.0, more=5)
    assert not detector.confirmed(since + 3600.0, span_s=3600.0, more=100)


def test_an_alarm_fades_once_the_trouble_is_over() -> None:
    detector = EDetector(limit=0.6, level=1e4)
    for at in range(500):
        detector.update(0.0, at)
    for at in range(500, 560):
        detector.update(1.0, at)

    assert detector.value < detector.level
    assert detector.hot_since is None


def test_detectors_survive_a_restart_bit_for_bit() -> None:
    rng = random.Random(3)
    whole = EDetector(limit=0.61, level=1e4)
    halves = EDetector(limit=0.61, level=1e4)
    drop, drop_halves = DropDetector(level=1e4), DropDetector(level=1e4)
    for at in range(400):
        x, weight = rng.random(), 0.5 + rng.random()
        whole.update(x, at, weight)
        drop.update(x, at)
        halves = msgspec.msgpack.decode(msgspec.msgpack.encode(halves), type=EDetector)
        halves.update(x, at, weight)
        drop_halves = msgspec.msgpack.decode(msgspec.msgpack.encode(drop_halves), type=DropDetector)
        drop_halves.update(x, at)

    assert halves == whole
    assert drop_halves == drop


def test_a_drop_is_seen_against_the_signals_own_level_and_no_drop_is_not() -> None:
    rng = random.Random(4)
    detector = DropDetector(level=1e4)
    assert not any(detector.update(float(rng.random() < 0.9), at) for at in range(2000))
    assert any(detector.update(float(rng.random() < 0.5), at) for at in range(2000, 2100))
    detector.restart()
    assert detector.baseline() is None


def test_clusters_end_by_silence_by_size_and_by_age_in_event_order() -> None:
    clusters = Clusters(idle_s=10.0, size=3, age_s=25.0)
    by_size = [c for at in (0.0, 1.0, 2.0) for c in clusters.add("a", 1.0, at)]
    for at in (0.0, 9.0, 18.0):
        clusters.add("b", 0.0, at)
        clusters.size = 99
    clusters.add("c", 1.0, 5.0)

    assert [(c.session, c.calls, c.due) for c in by_size] == [("a", 3, 2.0)]
    assert [(c.session, c.due) for c in clusters.over(30.0)] == [("c", 15.0), ("b", 25.0)]
    assert clusters.open == {}


def test_a_call_after_the_silence_begins_a_new_cluster_even_if_nobody_looked_between() -> None:
    clusters = Clusters(idle_s=10.0)
    clusters.add("a", 1.0, 0.0)

    assert [(c.total, c.calls) for c in clusters.add("a", 0.0, 500.0)] == [(1.0, 1)]


def test_the_design_effect_tells_correlated_sessions_from_independent_ones() -> None:
    rng = random.Random(5)
    alike, loose = DesignEffect(), DesignEffect()
    for _ in range(600):
        level = float(rng.random() < 0.7)
        alike.update(sum(rng.random() < 0.1 + 0.8 * level for _ in range(10)), 10)
        loose.update(sum(rng.random() < 0.7 for _ in range(10)), 10)

    assert alike.rho > 0.4
    assert loose.rho < 0.1
    assert alike.effective(10) < 3.0
    assert loose.effective(10) > 6.0


def test_the_pace_is_clusters_a_second() -> None:
    pace = Pace()
    for n in range(2000):
        pace.update(120.0 * n)

    assert pace.per_s(240_000.0) == pytest.approx(1 / 120, rel=0.05)
    assert Pace().per_s(5.0) == 0.0
