"""What feeds the estimates, what they keep, and who may be chosen."""

from datetime import UTC
from typing import Any

import msgspec
import pytest

from timmyd.core.model import Execution
from timmyd.engine.estimates import (
    FRESH_S,
    HISTORY_MOST,
    OPTIONS_MOST,
    ROUTES_MOST,
    SLICE_MOST,
    Estimates,
)

NOW = 1_795_381_822.0
MINIMUM = 20


def one(number: int = 1, **facts: Any) -> Execution:
    values: dict[str, Any] = {
        "id": number, "at": NOW - 60.0, "session": number, "house": "ezra", "tool": "terminal",
        "signature": "0" * 16, "shape": "git push", "model": "m1", "task_type": "build", "outcome": "ok",
    }  # fmt: skip
    return Execution(**values | facts)


def many(count: int, **facts: Any) -> list[Execution]:
    return [one(number, **facts) for number in range(1, count + 1)]


def fed(*batches: list[Execution], **settings: Any) -> Estimates:
    estimates = Estimates(minimum=MINIMUM, zone=UTC, **settings)
    for batch in batches:
        estimates.learn(batch, now=NOW)
    return estimates


def learned(estimates: Estimates) -> int:
    return sum(estimates.pairs.values())


def test_history_counts_until_its_budget_is_used_and_what_is_fresh_always() -> None:
    old = NOW - FRESH_S - 1.0
    batches = [many(1_000, at=old) for _ in range(HISTORY_MOST // 1_000 + 2)]

    estimates = fed(*batches)
    assert learned(estimates) == HISTORY_MOST

    estimates.learn(many(10, at=NOW - FRESH_S), now=NOW)
    assert learned(estimates) == HISTORY_MOST + 10


def test_the_budget_of_history_is_not_given_anew_by_a_restart() -> None:
    old = NOW - FRESH_S - 1.0
    first = fed(*[many(1_000, at=old) for _ in range(HISTORY_MOST // 1_000)])

    again = Estimates(first.dump(), minimum=MINIMUM, zone=UTC)
    again.learn(many(500, at=old), now=NOW)

    assert learned(again) == HISTORY_MOST


def test_outcomes_that_say_nothing_use_no_budget() -> None:
    old = NOW - FRESH_S - 1.0
    outcomes = ("blocked", "cancelled", "unknown")
    estimates = fed(*[many(SLICE_MOST, at=old, outcome=outcome) for outcome in outcomes * 2])
    assert learned(estimates) == 0

    estimates.learn(many(SLICE_MOST, at=old), now=NOW)
    assert learned(estimates) == SLICE_MOST


def test_where_more_comes_in_than_a_tick_affords_whole_sessions_are_left_out() -> None:
    executions = [one(n, session=1 + n // 10, tool=f"t{n // 10}") for n in range(4 * SLICE_MOST)]

    estimates = fed(executions)

    assert 0 < learned(estimates) <= SLICE_MOST
    assert set(estimates.pairs.values()) == {10}


def weights(estimates: Estimates, task: str = "build") -> dict[str, float]:
    found: dict[str, float] = estimates.published_models()[task]["weights"]
    return found


def test_a_name_that_a_session_made_up_gets_no_weight_until_it_has_shown_enough_calls() -> None:
    estimates = fed(many(100), many(MINIMUM - 1, model="made_up"))
    assert set(weights(estimates)) == {"m1"}

    estimates.learn([one(model="made_up")], now=NOW)

    assert set(weights(estimates)) == {"m1", "made_up"}


def test_calls_shown_before_a_restart_count_for_a_model_after_it() -> None:
    first = fed(many(100), many(MINIMUM - 1, model="m2"))

    again = Estimates(first.dump(), minimum=MINIMUM, zone=UTC)
    again.learn([one(model="m2")], now=NOW)

    assert set(weights(again)) == {"m1", "m2"}


def test_a_model_that_the_settings_name_may_be_explored_before_it_was_seen() -> None:
    estimates = fed(many(100), models=["named"])

    assert set(weights(estimates)) == {"m1", "named"}
    assert sum(weights(estimates).values()) == pytest.approx(1.0)
    assert weights(estimates)["m1"] > weights(estimates)["named"] > 0


def test_below_the_minimum_nothing_is_published() -> None:
    estimates = fed(many(MINIMUM // 2))

    assert estimates.published_models() == {}
    assert estimates.published_routes({}) == {}


def test_a_rejected_call_counts_against_its_model_and_not_against_house_or_tool() -> None:
    estimates = fed(many(100), many(100, outcome="rejected"))

    assert estimates.published_models()["build"]["success"] < 0.7
    assert learned(estimates) == 100
    assert estimates.published_predictions()["ezra"]["terminal"]["success"] > 0.9


def test_a_house_whose_breaker_is_open_is_not_chosen_while_another_can_be() -> None:
    estimates = fed(many(100), many(100, house="timmy", outcome="error"))
    assert estimates.published_routes({})["terminal"]["house"] == "ezra"

    broken = {"terminal": frozenset({"ezra"})}
    leader = estimates.route(estimates.routes["terminal"], broken["terminal"])
    assert leader is not None
    assert leader.leader == "timmy"
    assert set(leader.weights) == {"timmy"}
    assert estimates.published_routes({})["terminal"]["house"] == "ezra"


def test_what_is_kept_is_bounded_whatever_names_come() -> None:
    estimates = fed(
        *[
            [
                one(n, tool=f"t{n}", house=f"h{n}", shape=f"s{n}", model=f"m{n}")
                for n in range(first, first + 1_500)
            ]
            for first in range(0, 3_000, 1_500)
        ]
    )

    assert len(estimates.routes) <= ROUTES_MOST
    assert len(estimates.houses) <= OPTIONS_MOST
    assert max(len(estimates.pairs), len(estimates.shapes), len(estimates.model_calls)) <= 2_000


def test_going_on_from_a_dump_is_the_same_as_not_having_stopped() -> None:
    batches = [
        [
            one(n, outcome="ok" if n % 3 else "error", model=f"m{n % 2}", house=f"h{n % 3}")
            for n in range(start, start + 40)
        ]
        for start in (1, 41, 81)
    ]
    whole = fed(*batches)
    stopped = Estimates(None, minimum=MINIMUM, zone=UTC)
    for batch in batches:
        stopped = Estimates(stopped.dump(), minimum=MINIMUM, zone=UTC)
        stopped.learn(batch, now=NOW)

    assert stopped.dump() == whole.dump()
    assert stopped.published_predictions() == whole.published_predictions()


@pytest.mark.parametrize("data", [b"", b"\xc1", b"no state", msgspec.msgpack.encode([1, 2])])
def test_a_state_that_cannot_be_read_is_learned_afresh(data: bytes) -> None:
    estimates = Estimates(data, minimum=MINIMUM, zone=UTC)
    estimates.learn(many(100), now=NOW)

    assert set(weights(estimates)) == {"m1"}


def test_unknown_accuracy_is_none() -> None:
    assert fed().accuracy() is None
    assert fed().published_predictions() == {}
