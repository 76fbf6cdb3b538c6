"""What feeds the choices, what they keep, and who may be chosen."""

from typing import Any

import msgspec
import pytest

from timmyd.core.model import Execution
from timmyd.engine.choices import OPTIONS_MOST, ROUTES_MOST, Choices
from timmyd.engine.names import NAMES_MOST

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


def fed(*batches: list[Execution], **settings: Any) -> Choices:
    choices = Choices(minimum=MINIMUM, **settings)
    for batch in batches:
        choices.learn(batch)
    return choices


def weights(choices: Choices, task: str = "build") -> dict[str, float]:
    found: dict[str, float] = choices.published_models()[task]["weights"]
    return found


def test_a_name_that_a_session_made_up_gets_no_weight_until_it_has_shown_enough_calls() -> None:
    choices = fed(many(100), many(MINIMUM - 1, model="made_up"))
    assert set(weights(choices)) == {"m1"}

    choices.learn([one(model="made_up")])

    assert set(weights(choices)) == {"m1", "made_up"}


def test_calls_shown_before_a_restart_count_for_a_model_after_it() -> None:
    first = fed(many(100), many(MINIMUM - 1, model="m2"))

    again = Choices(first.dump(), minimum=MINIMUM)
    again.learn([one(model="m2")])

    assert set(weights(again)) == {"m1", "m2"}


def test_a_model_that_the_settings_name_may_be_explored_before_it_was_seen() -> None:
    choices = fed(many(100), models=["named"])

    assert set(weights(choices)) == {"m1", "named"}
    assert sum(weights(choices).values()) == pytest.approx(1.0)
    assert weights(choices)["m1"] > weights(choices)["named"] > 0


def test_below_the_minimum_nothing_is_published() -> None:
    choices = fed(many(MINIMUM // 2))

    assert choices.published_models() == {}
    assert choices.published_routes({}) == {}


def test_a_rejected_call_counts_against_its_model_and_not_against_house_or_tool() -> None:
    choices = fed(many(100), many(100, outcome="rejected"))

    assert choices.published_models()["build"]["success"] < 0.7
    assert choices.published_routes({})["terminal"]["confidence"] > 0.9


def test_a_house_whose_breaker_is_open_is_not_chosen_while_another_can_be() -> None:
    choices = fed(many(100), many(100, house="timmy", outcome="error"))
    assert choices.published_routes({})["terminal"]["house"] == "ezra"

    broken = {"terminal": frozenset({"ezra"})}
    leader = choices.route(choices.routes["terminal"], broken["terminal"])
    assert leader is not None
    assert leader.leader == "timmy"
    assert set(leader.weights) == {"timmy"}
    assert choices.published_routes({})["terminal"]["house"] == "ezra"


def test_what_is_kept_is_bounded_whatever_names_come() -> None:
    choices = fed(
        *[
            [
                one(n, tool=f"t{n}", house=f"h{n}", shape=f"s{n}", model=f"m{n}")
                for n in range(first, first + 1_500)
            ]
            for first in range(0, 3_000, 1_500)
        ]
    )

    assert len(choices.routes) <= ROUTES_MOST
    assert len(choices.houses) <= OPTIONS_MOST
    assert len(choices.model_calls) <= NAMES_MOST


def test_going_on_from_a_dump_is_the_same_as_not_having_stopped() -> None:
    batches = [
        [
            one(n, outcome="ok" if n % 3 else "error", model=f"m{n % 2}", house=f"h{n % 3}")
            for n in range(start, start + 40)
        ]
        for start in (1, 41, 81)
    ]
    whole, stopped = fed(*batches), Choices(minimum=MINIMUM)
    for batch in batches:
        stopped = Choices(stopped.dump(), minimum=MINIMUM)
        stopped.learn(batch)

    assert stopped.dump() == whole.dump()
    assert stopped.published_models() == whole.published_models()


@pytest.mark.parametrize("data", [b"", b"\xc1", b"no state", msgspec.msgpack.encode([1, 2])])
def test_a_state_that_cannot_be_read_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        Choices(data, minimum=MINIMUM)
