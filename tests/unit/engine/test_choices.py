"""What feeds the choices, what they keep, and who may be chosen."""

from typing import Any

import msgspec
import pytest

from timmyd.core.estimating.choose import OPTIONS_MOST
from timmyd.core.model import Execution
from timmyd.engine.bound import Entries, bound
from timmyd.engine.choices import OWN_CALLS, Choices

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
    found: dict[str, float] = models(choices)[task]["weights"]
    return found


def models(choices: Choices) -> Entries:
    return bound(choices, {}).models


def routes(choices: Choices) -> Entries:
    return bound(choices, {}).routes


def test_a_name_that_a_session_made_up_gets_no_weight_until_it_has_shown_enough_calls() -> None:
    choices = fed(many(100), many(OWN_CALLS - 1, model="made_up"))
    assert set(weights(choices)) == {"m1"}

    choices.learn([one(model="made_up")])

    assert set(weights(choices)) == {"m1", "made_up"}


def test_calls_shown_before_a_restart_count_for_a_model_after_it() -> None:
    first = fed(many(100), many(OWN_CALLS - 1, model="m2"))

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

    assert models(choices) == {}
    assert routes(choices) == {}


def test_a_rejected_call_counts_against_its_model_and_not_against_house_or_tool() -> None:
    choices = fed(many(100), many(100, outcome="rejected"))

    assert models(choices)["build"]["success"] < 0.7
    assert routes(choices)["terminal"]["confidence"] > 0.9


def test_a_house_whose_breaker_is_open_is_not_chosen_while_another_can_be() -> None:
    choices = fed(many(100), many(100, house="timmy", outcome="error"))
    assert routes(choices)["terminal"]["house"] == "ezra"

    without = bound(choices, {"terminal": frozenset({"ezra"})}).routes["terminal"]
    assert without["house"] == "timmy"
    assert set(without["weights"]) == {"timmy"}
    assert routes(choices)["terminal"]["house"] == "ezra"


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

    assert len(choices.dump()) < 1_000_000
    assert all(len(entry["weights"]) <= OPTIONS_MOST for entry in routes(choices).values())


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
    assert models(stopped) == models(whole)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"no state", msgspec.msgpack.encode([1, 2])])
def test_a_state_that_cannot_be_read_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        Choices(data, minimum=MINIMUM)


def calls(owner: str, model: str, count: int, good: float, *, start: int = 0) -> list[Execution]:
    return [
        one(
            start + n, session=start + n, owner=owner, house=f"{owner}-house", model=model,
            outcome="ok" if (n + 1) * good // 1 > n * good // 1 else "error",
        )
        for n in range(1, count + 1)
    ]  # fmt: skip


def honest() -> list[list[Execution]]:
    return [
        calls(owner, model, 1_500, good)
        for owner in ("alice", "bob")
        for model, good in (("m1", 0.9), ("m2", 0.7))
    ]


def binding(choices: Choices, owner: str, *, shares: bool = True) -> dict[str, Any]:
    found, house = bound(choices, {}), f"{owner}-house"
    entries = found.models | found.own.get(house, {}).get("models", {})
    return {task: entry["weights"] if shares else entry["model"] for task, entry in entries.items()}


@pytest.mark.parametrize("invented", ["m2", "evil"])
def test_what_one_owner_invents_changes_no_decision_for_two_others(invented: str) -> None:
    lies = [
        batch
        for model, good in (("m1", 0.0), (invented, 1.0))
        for batch in (calls("mallory", model, 4_000, good),)
    ]
    alone, among = fed(*honest()), fed(*lies, *honest(), *lies)

    for owner in ("alice", "bob"):
        assert binding(among, owner, shares=False) == binding(alone, owner, shares=False)
        assert "evil" not in binding(among, owner)["build"]
        assert binding(among, owner)["build"]["m1"] > 0.9


def test_an_owner_without_calls_is_bound_by_nobody_who_is_alone() -> None:
    choices = fed(calls("mallory", "m2", 500, 1.0), calls("mallory", "m1", 500, 0.0))
    choices.know({"alice-house": "alice"})

    assert binding(choices, "alice") == {}
    assert binding(choices, "mallory", shares=False) == {"build": "m2"}


def test_three_owners_who_agree_bind_a_fourth_who_has_few_calls() -> None:
    choices = fed(
        *honest(), calls("carol", "m1", 500, 0.9), calls("carol", "m2", 500, 0.7),
        calls("dora", "m1", 5, 0.5), calls("dora", "m2", 5, 1.0),
    )  # fmt: skip

    assert bound(choices, {}).models["build"]["model"] == "m1"
    assert binding(choices, "dora", shares=False) == {"build": "m1"}


def test_owners_whom_the_operator_lets_pool_are_one() -> None:
    lies = calls("mallory", "m2", 500, 1.0), calls("mallory", "m1", 500, 0.0)
    few = calls("alice", "m1", 6, 1.0), calls("alice", "m2", 6, 0.5)

    alone, pooled = fed(*lies, *few), fed(*lies, *few, together=[["alice", "mallory"]])
    assert binding(alone, "alice") == {}
    assert binding(pooled, "alice", shares=False) == {"build": "m2"}


def test_a_house_is_led_only_to_houses_of_its_own_owner() -> None:
    choices = fed(
        calls("mallory", "m1", 500, 1.0), calls("alice", "m1", 300, 0.6),
        [one(n, owner="alice", house="alice-other", outcome="error") for n in range(1, 100)],
    )  # fmt: skip
    found = bound(choices, {})

    assert found.routes == {}
    assert found.routes_of("alice-house")["terminal"]["house"] == "alice-house"
    assert set(found.routes_of("alice-house")["terminal"]["weights"]) <= {
        "alice-house",
        "alice-other",
    }


def test_a_published_choice_is_not_withdrawn_by_being_followed() -> None:
    choices = fed(many(30))
    for n in range(40):
        choices.learn([one(n, followed=True, outcome="ok" if n % 4 else "error")])
        assert models(choices)["build"]["model"] == "m1"
