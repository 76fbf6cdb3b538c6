"""What feeds the predictions, what is published and scored of them, and what they keep."""

from typing import Any

import msgspec
import pytest

from timmyd.core.model import Execution
from timmyd.engine.predictions import (
    ARGUMENTS_MOST,
    FRESH_S,
    PAIRS_MOST,
    SHAPES_MOST,
    Predictions,
)
from timmyd.house.shape import shape as shape_of, signature

NOW = 1_795_381_822.0
DAY_S = 86_400.0
LIFE_S = 900.0


def one(number: int = 1, **facts: Any) -> Execution:
    values: dict[str, Any] = {
        "id": number, "at": NOW - 60.0, "session": number, "house": "ezra", "tool": "terminal",
        "signature": "0" * 16, "shape": "git push", "model": "m1", "task_type": "build", "outcome": "ok",
    }  # fmt: skip
    return Execution(**values | facts)


def many(count: int, **facts: Any) -> list[Execution]:
    return [one(number, **facts) for number in range(1, count + 1)]


def fed(*batches: list[Execution]) -> Predictions:
    predictions = Predictions()
    for batch in batches:
        predictions.learn(batch, now=NOW)
    return predictions


def told(predictions: Predictions, house: str = "ezra", tool: str = "terminal") -> dict[str, Any]:
    return predictions.published(NOW)[house][tool]


@pytest.mark.parametrize("age_s", [0.0, FRESH_S + 1.0, 40 * DAY_S])
def test_all_that_is_rated_is_learned_however_old_and_however_much(age_s: float) -> None:
    predictions = fed(*[many(5_000, at=NOW - age_s) for _ in range(4)])

    assert predictions.learned == told(predictions)["samples"] == 20_000


def test_outcomes_that_say_nothing_are_not_learned() -> None:
    outcomes = ("blocked", "cancelled", "unknown", "rejected")
    predictions = fed(many(100), *[many(100, outcome=outcome) for outcome in outcomes])

    assert predictions.learned == 100
    assert told(predictions)["success"] > 0.9


def test_once_a_day_from_cron_the_figure_of_each_day_is_that_of_the_day() -> None:
    predictions = Predictions()
    for day in range(30):
        now = NOW + day * DAY_S
        rate = 10 if day < 20 else 2
        batch = [
            one(n, at=now - DAY_S + n * 80.0, outcome="ok" if n % rate else "error")
            for n in range(1_000)
        ]
        predictions.learn(batch, now=now)
        if day in (19, 29):
            success = predictions.published(now)["ezra"]["terminal"]["success"]
            assert success == pytest.approx(1.0 - 1.0 / rate, abs=0.05)


# ------------------------------------------------------------------------- publishing
def test_arguments_are_published_where_they_leave_the_interval_of_their_shape() -> None:
    usual = [one(n, signature=f"{n:016x}", outcome="ok" if n % 10 else "error") for n in range(300)]
    predictions = fed(usual, many(6, signature="bad", outcome="error"))
    like = told(predictions)["shapes"]["git push"]

    assert like["arguments"]["bad"]["success"] < 0.3
    assert like["arguments"]["bad"]["samples"] == 6
    for figures in like["arguments"].values():
        assert not like["low"] <= figures["success"] <= like["high"]


def test_a_shape_with_few_calls_is_not_published() -> None:
    predictions = fed(many(50), many(2, shape="git pull"))
    assert set(told(predictions)["shapes"]) == {"git push"}


def test_the_last_two_days_stand_beside_the_long_run_only_where_they_disagree() -> None:
    now = NOW
    long_run = [one(n, at=now - 10 * DAY_S + n) for n in range(500)]
    predictions = fed(long_run, [one(n, at=now - 9 + n) for n in range(6)])
    assert "recent" not in told(predictions)

    failing = fed(long_run, [one(n, at=now - 9 + n, outcome="error") for n in range(6)])
    recent = told(failing)["recent"]
    assert (recent["success"], recent["samples"]) == (0.0, 6)
    assert recent["high"] < told(failing)["success"]
    assert "recent" not in failing.published(now + 3 * DAY_S)["ezra"]["terminal"]


def test_what_is_published_is_bounded_whatever_names_come_and_owners_share_alike() -> None:
    batches = [
        [
            one(n, tool=f"t{n % 700}", house=f"{owner}{n % 3}", shape=f"s{n % 900}", owner=owner,
                signature=f"{n}", outcome="ok" if n % 7 else "error")
            for n in range(20_000 if owner == "mallory" else 300)
        ]
        for owner in ("mallory", "alice")
    ]  # fmt: skip
    batches[1] = [
        one(n, house="alice", owner="alice", tool=f"t{n % 20}", shape=f"s{n % 20}")
        for n in range(400)
    ]
    published = fed(*batches).published(NOW)
    tools = [tool for house in published.values() for tool in house.values()]
    shapes = [shape for tool in tools for shape in tool["shapes"].values()]

    assert len(tools) <= PAIRS_MOST
    assert len(shapes) <= SHAPES_MOST
    assert sum(len(shape.get("arguments", {})) for shape in shapes) <= ARGUMENTS_MOST * 3
    assert len(published["alice"]) == 20


# ---------------------------------------------------------------------------- scoring
def scored(predictions: Predictions) -> int:
    found = predictions.scores()
    return 0 if found is None else found.samples


def test_a_call_is_scored_against_what_was_published_when_it_began() -> None:
    predictions = fed([one(n, at=NOW - 7_200.0 + n) for n in range(200)])
    predictions.note(now=NOW, life_s=LIFE_S)
    first = told(predictions)["success"]
    predictions.learn(
        [one(n, at=NOW + n, session=9, outcome="error") for n in range(300, 400)], now=NOW + 400
    )
    predictions.note(now=NOW + 400, life_s=LIFE_S)

    before = predictions.scores()
    late = [one(n, at=NOW + 350.0, latency_ms=1_000.0, session=n) for n in range(100)]
    predictions.learn(late, now=NOW + 800)
    after = predictions.scores()

    assert before is not None
    assert before.brier == pytest.approx(first**2, abs=1e-3)
    assert after is not None
    assert after.samples == 200
    assert after.brier == pytest.approx((first**2 + (1 - first) ** 2) / 2, abs=0.02)


def test_a_call_that_began_before_a_publish_and_ended_after_it_counts_for_the_one_before() -> None:
    predictions = fed(many(100))
    predictions.note(now=NOW, life_s=LIFE_S)
    predictions.learn(many(400, outcome="error"), now=NOW)
    predictions.note(now=NOW + 100, life_s=LIFE_S)
    predictions.learn(many(40, at=NOW + 130, latency_ms=60_000.0), now=NOW + 140)

    scores = predictions.scores()
    assert scores is not None
    assert scores.brier < 0.01


def test_without_a_publish_in_force_a_call_is_learned_and_not_scored() -> None:
    predictions = fed(many(100))
    predictions.note(now=NOW, life_s=LIFE_S)
    for at in (NOW - 1.0, NOW + LIFE_S, NOW - 8 * DAY_S):
        predictions.learn(many(40, at=at), now=NOW + LIFE_S + 60)
    predictions.learn(many(40, at=NOW + 1, at_approximate=True), now=NOW + 5)
    predictions.learn(many(40, at=NOW + 1, house="new"), now=NOW + 5)

    assert scored(predictions) == 0
    assert predictions.learned == 300
    predictions.learn(many(40, at=NOW + 1), now=NOW + 5)
    assert scored(predictions) == 40


def test_where_nothing_is_published_the_figures_of_a_tick_stand_until_the_next() -> None:
    predictions = fed(many(100))
    predictions.note(now=NOW, life_s=None)
    predictions.learn(many(40, at=NOW + 7_200), now=NOW + 7_300)
    assert scored(predictions) == 40

    predictions.note(now=NOW + 7_300, life_s=LIFE_S)
    predictions.note(now=NOW + 9_000, life_s=None)
    predictions.learn(many(40, at=NOW + 9_100), now=NOW + 9_200)
    assert scored(predictions) == 40


def test_what_is_learned_again_is_not_scored_and_scores_say_since_when() -> None:
    predictions = fed(many(100))
    predictions.note(now=NOW, life_s=LIFE_S)
    predictions.learn(many(100, at=NOW + 1), now=NOW + 2, scored=False)
    assert (predictions.scores(), predictions.scored_since) == (None, None)

    predictions.learn(many(100, at=NOW + 1), now=NOW + 2)

    assert predictions.scores() is not None
    assert Predictions(predictions.dump()).scored_since == NOW + 2


def test_nothing_scored_is_none() -> None:
    assert fed().scores() is None
    assert fed().accuracy(NOW) is None
    assert fed().coverage is None
    assert fed().published(NOW) == {}


# ------------------------------------------------------------------- asking, restarting
def test_a_house_and_the_engine_come_to_the_same_figures() -> None:
    params = {"command": "git push"}
    exact, shape = signature(params), shape_of("terminal", params)
    usual = [one(n, signature=f"{n}", shape=shape) for n in range(100)]
    predictions = fed(usual, many(6, signature=exact, shape=shape, outcome="error"))

    def asked(params: object) -> tuple[float, str]:
        found = predictions.nearest("ezra", "terminal", shape, params, now=NOW)
        assert found is not None
        return found[0]["success"], found[1]

    like = told(predictions)["shapes"][shape]
    assert asked(params) == (like["arguments"][exact]["success"], "same arguments")
    assert asked({"command": "git push -f"}) == (like["success"], "same shape")
    other = predictions.nearest("ezra", "terminal", "ls", None, now=NOW)
    assert other is not None
    assert other[1] == "same tool and house"
    assert predictions.nearest("bezalel", "terminal", None, None, now=NOW) is None


def test_going_on_from_a_dump_is_the_same_as_not_having_stopped() -> None:
    batches = [
        [
            one(n, outcome="ok" if n % 3 else "error", house=f"h{n % 3}", at=NOW + n)
            for n in range(start, start + 40)
        ]
        for start in (1, 41, 81)
    ]
    whole, stopped = Predictions(), Predictions()
    for n, batch in enumerate(batches):
        stopped = Predictions(stopped.dump())
        for predictions in (whole, stopped):
            predictions.learn(batch, now=NOW + 200)
            predictions.note(now=NOW + n, life_s=LIFE_S)

    assert stopped.dump() == whole.dump()
    assert stopped.published(NOW) == whole.published(NOW)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"no state", msgspec.msgpack.encode([1, 2])])
def test_a_state_that_cannot_be_read_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        Predictions(data)
