"""What falls back to timmy is told by the policy in force, and on trial by what it would have been."""

from typing import Any

import msgspec
import pytest

from timmyd.core.judging.fallbacks import Fallbacks

ROUTES: dict[str, dict[str, Any]] = {
    "bad": {"house": "ezra", "confidence": 0.1},
    "poor": {"house": "ezra", "confidence": 0.27},
    "good": {"house": "ezra", "confidence": 0.9},
    "own": {"house": "timmy", "confidence": 0.05},
}


def noted(found: Fallbacks, at: float, *values: float, **more: Any) -> Fallbacks:
    trial_at = at if len(values) > 1 else None
    found.note(at, more.get("routes", ROUTES), more.get("predictions", {}), values=values,
               trial_at=more.get("trial_at", trial_at), keep_s=1000.0)  # fmt: skip
    return found


def told(
    found: Fallbacks, at: float, house: str = "timmy", revision: int | None = None
) -> list[str]:
    return [tool for tool in ROUTES if found.tell(tool=tool, house=house, at=at, revision=revision)]


def test_nothing_is_known_before_anything_was_published() -> None:
    assert Fallbacks().tell(tool="bad", house="timmy", at=1.0, revision=None) is None
    assert noted(Fallbacks(), 10.0, 0.3).tell(tool="bad", house="timmy", at=9.0, revision=4) is None


def test_a_call_in_timmy_of_a_tool_whose_best_house_is_below_the_threshold_fell_back() -> None:
    found = noted(Fallbacks(), 10.0, 0.3)

    assert told(found, 10.0) == ["bad", "poor"]
    assert told(found, 10.0, "ezra") == []


def test_a_prediction_that_is_published_counts_before_the_confidence_of_the_route() -> None:
    found = noted(Fallbacks(), 10.0, 0.3, predictions={"ezra": {"bad": {"success": 0.8}}})

    assert told(found, 10.0) == ["poor"]


def test_the_revision_tells_what_was_in_force_and_the_time_where_it_is_not_known() -> None:
    found = noted(Fallbacks(), 10.0, 0.3)
    found.published(7)
    noted(found, 20.0, 0.05).published(9)

    assert told(found, 30.0, revision=8) == ["bad", "poor"]
    assert told(found, 10.0, revision=9) == []
    assert told(found, 15.0) == ["bad", "poor"]
    assert told(found, 25.0) == []
    assert told(found, 15.0, revision=3) == ["bad", "poor"]


@pytest.mark.parametrize("house", ["timmy", "ezra"])
def test_on_trial_all_calls_of_the_tools_count_that_the_two_values_send_elsewhere(
    house: str,
) -> None:
    found = noted(Fallbacks(), 10.0, 0.3, 0.2)

    assert told(found, 10.0, house) == ["poor"]


def test_on_trial_the_tools_stay_those_of_its_beginning() -> None:
    found = noted(Fallbacks(), 10.0, 0.3, 0.2)
    noted(found, 20.0, 0.3, 0.2, routes={}, trial_at=10.0)
    assert told(found, 20.0) == ["poor"]

    noted(found, 30.0, 0.2)
    assert told(found, 30.0) == ["bad"]


def test_a_trial_that_sends_nothing_elsewhere_counts_what_falls_back_either_way() -> None:
    assert told(noted(Fallbacks(), 10.0, 0.3, 0.28), 10.0, "ezra") == ["bad", "poor"]


def test_it_is_bounded_and_a_dump_of_what_was_loaded_is_the_dump() -> None:
    found = Fallbacks()
    for n in range(500):
        noted(found, float(n), 0.3 if n % 2 else 0.2)
    dump = msgspec.msgpack.encode(found)

    assert len(found.stages) <= 64
    assert msgspec.msgpack.encode(msgspec.msgpack.decode(dump, type=Fallbacks)) == dump
    for n in range(500, 3000):
        noted(found, float(n), 0.3)
    assert len(found.stages) == 1
