"""Falls and recoveries of single signals, found soon and hardly ever found where there is none."""

import random
from collections.abc import Callable, Iterator

import pytest

from timmyd.core.estimating.falls import ALARM, BACK, WARM, FallDetector

DAY_S = 86_400.0
Stream = Iterator[tuple[float, str, bool]]


def calls(
    rng: random.Random, rate: float, days: range, *, icc: float = 0.1, sessions: int = 10
) -> Stream:
    """So many sessions of six calls a day, the calls of one alike."""
    worth = (1.0 - icc) / icc
    for day in days:
        found = []
        for session in range(sessions):
            at = day * DAY_S + rng.uniform(8, 22) * 3600.0
            own = rng.betavariate(rate * worth, (1.0 - rate) * worth) if 0.0 < rate < 1.0 else rate
            found += [(at + n * 20.0, f"{day}.{session}", rng.random() < own) for n in range(6)]
        yield from sorted(found)


def first(
    detector: FallDetector, stream: Stream, is_reached: Callable[[FallDetector], bool]
) -> tuple[float, int] | None:
    """When and after how many calls something is reached."""
    for n, (at, session, ok) in enumerate(stream, 1):
        detector.update(session, at, detector.level.limit(), ok=ok)
        if is_reached(detector):
            return at, n
    return None


def is_alarmed(detector: FallDetector) -> bool:
    return detector.level.seen >= WARM and detector.evidence >= ALARM


def settled(rng: random.Random, rate: float = 0.9) -> FallDetector:
    """A detector with a month of history, whatever it thought of that."""
    detector = FallDetector()
    stream = calls(rng, rate, range(30))
    while first(detector, stream, is_alarmed) is not None:
        detector.fall()
        detector.accept()
    return detector


@pytest.mark.parametrize("rate", [0.9, 0.99, 1.0])
def test_what_worked_and_now_fails_every_time_is_found_within_thirty_calls(rate: float) -> None:
    delays = []
    for seed in range(10):
        rng = random.Random(seed)
        found = first(settled(rng, rate), calls(rng, 0.0, range(30, 33)), is_alarmed)
        assert found is not None
        delays.append(found[1])
    assert max(delays) <= 30
    assert sorted(delays)[5] <= 14


def test_half_of_what_worked_is_missed_within_days_and_a_year_of_the_usual_is_not_noticed() -> None:
    in_time = alarms = 0
    for seed in range(10):
        rng = random.Random(seed)
        fell = first(settled(rng), calls(rng, 0.5, range(30, 36)), is_alarmed)
        in_time += fell is not None and fell[0] <= 32.5 * DAY_S
        detector, usual = settled(rng), calls(rng, 0.9, range(30, 66))
        while first(detector, usual, is_alarmed) is not None:
            alarms += 1
            detector.fall()
            detector.recover()
    assert in_time >= 9
    assert alarms <= 1


def test_a_fall_says_from_what_to_what_and_since_when_and_its_recovery_is_found() -> None:
    rng = random.Random(5)
    detector = settled(rng)
    assert first(detector, calls(rng, 0.3, range(30, 33)), is_alarmed) is not None
    fallen = detector.fall()
    assert fallen.before == pytest.approx(0.9, abs=0.04)
    assert fallen.now == pytest.approx(0.3, abs=0.15)
    assert 29.5 * DAY_S < fallen.since < 32 * DAY_S

    assert first(detector, calls(rng, 0.3, range(33, 40)), lambda d: d.fallen is not None and d.fallen.back.value >= BACK) is None  # fmt: skip
    back = first(detector, calls(rng, 0.9, range(40, 45)), lambda d: d.fallen is not None and d.fallen.back.value >= BACK)  # fmt: skip
    assert back is not None
    assert back[0] < 42 * DAY_S
    detector.recover()
    assert detector.level.mean == pytest.approx(0.9, abs=0.04)


def test_the_level_does_not_follow_a_fall_and_takes_it_over_only_when_told() -> None:
    rng = random.Random(6)
    detector = settled(rng)
    before = detector.level.mean
    assert first(detector, calls(rng, 0.2, range(30, 33)), is_alarmed) is not None
    detector.fall()
    for at, session, ok in calls(rng, 0.2, range(33, 40)):
        detector.update(session, at, detector.level.limit(), ok=ok)
    assert detector.level.mean == pytest.approx(before, abs=0.01)

    detector.accept()
    assert detector.level.mean == pytest.approx(0.2, abs=0.06)
    assert detector.fallen is None
