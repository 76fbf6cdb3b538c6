"""What feeds the estimates, and what they keep."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

import msgspec
import pytest

from timmyd.core.model import Execution
from timmyd.engine.estimates import FRESH_S, HISTORY_MOST, SLICE_MOST, Estimates
from timmyd.engine.names import NAMES_MOST

NOW = 1_795_381_822.0


def one(number: int = 1, **facts: Any) -> Execution:
    values: dict[str, Any] = {
        "id": number, "at": NOW - 60.0, "session": number, "house": "ezra", "tool": "terminal",
        "signature": "0" * 16, "shape": "git push", "model": "m1", "task_type": "build", "outcome": "ok",
    }  # fmt: skip
    return Execution(**values | facts)


def many(count: int, **facts: Any) -> list[Execution]:
    return [one(number, **facts) for number in range(1, count + 1)]


def fed(*batches: list[Execution]) -> Estimates:
    estimates = Estimates(zone=UTC)
    for batch in batches:
        learn(estimates, batch)
    return estimates


def learn(estimates: Estimates, executions: Sequence[Execution]) -> None:
    estimates.learn(estimates.select(executions, now=NOW), now=NOW)


def learned(estimates: Estimates) -> int:
    return sum(estimates.pairs.values())


def test_history_counts_until_its_budget_is_used_and_what_is_fresh_always() -> None:
    old = NOW - FRESH_S - 1.0
    batches = [many(1_000, at=old) for _ in range(HISTORY_MOST // 1_000 + 2)]

    estimates = fed(*batches)
    assert learned(estimates) == HISTORY_MOST

    learn(estimates, many(10, at=NOW - FRESH_S))
    assert learned(estimates) == HISTORY_MOST + 10


def test_the_budget_of_history_is_not_given_anew_by_a_restart() -> None:
    old = NOW - FRESH_S - 1.0
    first = fed(*[many(1_000, at=old) for _ in range(HISTORY_MOST // 1_000)])

    again = Estimates(first.dump(), zone=UTC)
    learn(again, many(500, at=old))

    assert learned(again) == HISTORY_MOST


def test_outcomes_that_say_nothing_use_no_budget() -> None:
    old = NOW - FRESH_S - 1.0
    outcomes = ("blocked", "cancelled", "unknown")
    estimates = fed(*[many(SLICE_MOST, at=old, outcome=outcome) for outcome in outcomes * 2])
    assert learned(estimates) == 0

    learn(estimates, many(SLICE_MOST, at=old))
    assert learned(estimates) == SLICE_MOST


def test_where_more_comes_in_than_a_tick_affords_whole_sessions_are_left_out() -> None:
    executions = [one(n, session=1 + n // 10, tool=f"t{n // 10}") for n in range(4 * SLICE_MOST)]

    estimates = fed(executions)

    assert 0 < learned(estimates) <= SLICE_MOST
    assert set(estimates.pairs.values()) == {10}


def test_going_on_from_a_dump_is_the_same_as_not_having_stopped() -> None:
    batches = [
        [
            one(n, outcome="ok" if n % 3 else "error", model=f"m{n % 2}", house=f"h{n % 3}")
            for n in range(start, start + 40)
        ]
        for start in (1, 41, 81)
    ]
    whole = fed(*batches)
    stopped = Estimates(None, zone=UTC)
    for batch in batches:
        stopped = Estimates(stopped.dump(), zone=UTC)
        learn(stopped, batch)

    assert stopped.dump() == whole.dump()
    assert stopped.published_predictions() == whole.published_predictions()


def test_unknown_accuracy_is_none() -> None:
    assert fed().accuracy() is None
    assert fed().published_predictions() == {}


def test_a_rejected_call_does_not_count_against_its_house_or_tool() -> None:
    estimates = fed(many(100), many(100, outcome="rejected"))

    assert learned(estimates) == 100
    assert estimates.published_predictions()["ezra"]["terminal"]["success"] > 0.9


def test_the_names_kept_are_bounded_whatever_names_come() -> None:
    batches = [
        [one(n, tool=f"t{n}", house=f"h{n}", shape=f"s{n}") for n in range(first, first + 1_500)]
        for first in range(0, 3_000, 1_500)
    ]
    estimates = fed(*batches)

    assert max(len(estimates.pairs), len(estimates.shapes)) <= NAMES_MOST


@pytest.mark.parametrize("data", [b"", b"\xc1", b"no state", msgspec.msgpack.encode([1, 2])])
def test_a_state_that_cannot_be_read_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        Estimates(data, zone=UTC)


def test_what_is_learned_again_is_not_scored_and_scores_say_since_when() -> None:
    estimates = Estimates(None, zone=UTC)
    estimates.learn(many(100), now=NOW, scored=False)
    assert (estimates.accuracy(), estimates.scored_since) == (None, None)

    learn(estimates, many(100))

    assert estimates.accuracy() is not None
    assert Estimates(estimates.dump(), zone=UTC).scored_since == NOW
