"""One cause, one notice: tools, shapes, models and houses are watched at once."""

import random
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import pytest

from timmyd.core.estimating.notice import Notice, facts
from timmyd.core.estimating.notices import NEWS_S, SHOWN_S, USUAL_AFTER_S, Notices

DAY_S = 86_400.0
HOUSES, TOOLS, SHAPES, MODELS = ("timmy", "ezra"), ("a", "b", "c"), ("x", "y"), ("m1", "m2")


class Of(NamedTuple):
    """On which day, in which house, which tool, shape and model."""

    d: int
    h: str
    t: str
    s: str
    m: str


Rate = Callable[[Of], float]


def usual(of: Of) -> float:
    return 0.92 if of.d >= 0 else 0.0


def run(
    rate: Rate, days: range, notices: Notices | None = None, *, seed: int = 1, late_s: float = 0.0
) -> tuple[Notices, list[Notice]]:
    """Ten sessions a house and day, each with one model, of twelve calls; a tick after each session."""
    rng, notices = random.Random(seed), Notices() if notices is None else notices
    told = []
    for day in days:
        sessions = [
            (day * DAY_S + rng.uniform(8, 22) * 3600.0, house, rng.choice(MODELS))
            for house in HOUSES
            for _ in range(10)
        ]
        for n, (at, house, model) in enumerate(sorted(sessions)):
            for k in range(12):
                tool, shape = rng.choice(TOOLS), rng.choice(SHAPES)
                ok = rng.random() < rate(Of(day, house, tool, shape, model))
                now = at + k * 10.0 + late_s
                notices.learn(
                    house, tool, shape, model, f"{day}.{n}", ok=ok, at=at + k * 10.0, now=now, owner="o"
                )  # fmt: skip
            told += notices.tick(at + 200.0 + late_s)
    return notices, told


def after(fall: Rate) -> list[Notice]:
    """What is told in a week after a month of the usual."""
    notices, told = run(usual, range(40))
    assert told == []
    return run(fall, range(40, 47), notices, seed=2)[1]


def subjects(told: list[Notice]) -> list[tuple[str, str, str]]:
    return [(one.kind, one.house, one.subject) for one in told]


def test_a_tool_that_falls_in_one_house_is_told_once() -> None:
    told = after(lambda of: 0.3 if (of.h, of.t) == ("ezra", "b") else 0.92)
    assert subjects(told) == [("fell", "ezra", "b")]
    assert told[0].before == pytest.approx(0.92, abs=0.04)
    assert told[0].now < 0.6
    assert 40 * DAY_S <= told[0].since < 41.5 * DAY_S


def test_a_backend_that_is_down_for_all_tools_of_a_house_is_one_notice() -> None:
    told = after(lambda of: 0.1 if of.h == "ezra" else 0.92)
    assert subjects(told) == [("fell", "ezra", "all tools")]


def test_a_model_that_fails_everywhere_is_one_notice() -> None:
    told = after(lambda of: 0.2 if of.m == "m2" else 0.92)
    assert [(one.kind, one.subject) for one in told] == [("fell", "model:m2")]


def test_one_shape_of_a_tool_is_told_as_the_shape() -> None:
    told = after(lambda of: 0.1 if (of.h, of.t, of.s) == ("timmy", "c", "y") else 0.92)
    assert subjects(told) == [("fell", "timmy", "c (y)")]


def test_what_recovers_is_told_and_shown_for_a_while() -> None:
    notices, _ = run(usual, range(40))
    notices, fell = run(
        lambda of: 0.1 if (of.h, of.t) == ("ezra", "a") else 0.92, range(40, 43), notices
    )
    notices, back = run(usual, range(43, 47), notices, seed=3)
    assert subjects(fell) == [("fell", "ezra", "a")]
    assert subjects(back) == [("recovered", "ezra", "a")]
    assert back[0].now > 0.7 > back[0].before

    assert subjects(notices.shown(back[0].at)) == [("recovered", "ezra", "a")]
    assert notices.shown(back[0].at + SHOWN_S + 1.0) == []
    published = facts(back[0])
    assert set(published) == {"kind", "house", "tool", "from", "to", "since", "evidence"}


def test_what_stays_down_becomes_usual_and_is_shown_no_longer() -> None:
    notices, _ = run(usual, range(40))
    days = range(40, 40 + int(USUAL_AFTER_S / DAY_S) + 4)
    notices, told = run(lambda of: 0.1 if (of.h, of.t) == ("ezra", "a") else 0.92, days, notices)
    assert subjects(told) == [("fell", "ezra", "a")]
    assert notices.shown(days.stop * DAY_S) == []


def test_a_fall_of_long_ago_is_no_news() -> None:
    _, told = run(
        lambda of: 0.1 if of.d > 40 and of.t == "a" else 0.92, range(60), late_s=NEWS_S + 60.0
    )
    assert told == []


def test_going_on_from_a_dump_is_the_same_as_not_having_stopped() -> None:
    one, _ = run(usual, range(20))
    two = Notices(one.dump())
    for notices in (one, two):
        run(lambda of: 0.2 if of.t == "a" else 0.92, range(20, 23), notices)
    assert one.dump() == two.dump()
    assert one.shown(23 * DAY_S) == two.shown(23 * DAY_S)
    with pytest.raises(msgspec.MsgspecError):
        Notices(b"\xc1")
