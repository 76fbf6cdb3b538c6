"""A learning velocity that bursts and mixes do not fool."""

import random

import pytest

from timmyd.core.estimating.velocity import SESSIONS_LEAST, SessionTally, learning_velocity


def window(
    seed: int, rate: float, sessions: int, *, tool: str = "t", bursty: bool = False
) -> list[SessionTally]:
    rng = random.Random(seed)
    rows = []
    for n in range(sessions):
        own = rng.betavariate(rate * 2.3, (1 - rate) * 2.3) if bursty else rate
        rows.append(
            SessionTally(f"{tool}{n}", ("h", tool), sum(rng.random() < own for _ in range(8)), 8)
        )
    return rows


def test_no_data_no_velocity_and_below_fifteen_sessions_a_side_it_is_unclear() -> None:
    assert learning_velocity([], []).velocity is None
    few, many = window(1, 1.0, SESSIONS_LEAST - 1), window(2, 0.1, 90)
    for new, old in ((few, []), (few, few), (few, many), (many, few)):
        assert learning_velocity(new, old).velocity == "unclear"
    assert learning_velocity(window(1, 1.0, SESSIONS_LEAST), many).velocity == "accelerating"


def test_stationary_users_with_few_calls_are_hardly_ever_labelled() -> None:
    """Sixty users with about fifty calls a day in five sessions, looked at for 25 days."""
    labelled = 0
    for user in range(60):
        rng = random.Random(user)
        days = [
            [
                SessionTally(
                    f"{day}.{n}", ("h", tool), sum(rng.random() < own for _ in range(calls)), calls
                )
                for n in range(5)
                for own in [rng.betavariate(0.85 * 2.3, 0.15 * 2.3)]
                for tool in "abc"
                for calls in [rng.randrange(1, 6)]
            ]
            for day in range(31)
        ]
        windows = [
            ([t for d in days[k - 3 : k] for t in d], [t for d in days[k - 6 : k - 3] for t in d])
            for k in range(6, 31)
        ]
        labels = {learning_velocity(new, old).velocity for new, old in windows}
        labelled += bool(labels & {"accelerating", "declining"})
    assert labelled <= 1


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
