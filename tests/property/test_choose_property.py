"""Any history gives weights that are shares, and a restart changes nothing."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from timmyd.core.model import Execution
from timmyd.engine.bound import bound
from timmyd.engine.choices import Choices

CALLS = st.fixed_dictionaries(
    {
        "model": st.none() | st.sampled_from("abcd"),
        "house": st.sampled_from(["h1", "h2"]),
        "task_type": st.sampled_from(["read", "build"]),
        "outcome": st.sampled_from(["ok", "error", "rejected"]),
        "session": st.integers(0, 3),
        "followed": st.none() | st.booleans(),
        "latency_ms": st.none() | st.floats(0, 1e6),
        "cost": st.none() | st.floats(0, 1e3),
    }
)


def execution(number: int, facts: dict[str, Any]) -> Execution:
    owner = {"h1": "alice", "h2": "bob"}[facts["house"]]
    return Execution(
        id=number, at=float(number), tool="t", signature="0" * 16, shape="s", owner=owner, **facts
    )


@given(st.lists(CALLS, max_size=150), st.sampled_from([0.0, 0.02, 0.5]), st.integers(0, 150))
def test_weights_are_shares_and_a_restart_changes_nothing(
    history: list[dict[str, Any]], exploration: float, cut: int
) -> None:
    one, two = (Choices(exploration=exploration, minimum=3) for _ in range(2))
    for n, facts in enumerate(history):
        if n == cut:
            two = Choices(two.dump(), exploration=exploration, minimum=3)
        for choices in (one, two):
            choices.learn([execution(n + 1, facts)])
    found = bound(one, {})
    assert found == bound(two, {})
    assert one.dump() == two.dump()
    for kinds in found.own.values():
        for entries in kinds.values():
            for entry in entries.values():
                for shares in (entry["weights"], entry["best"]):
                    assert sum(shares.values()) == pytest.approx(1.0)
                    assert all(0.0 <= share <= 1.0 for share in shares.values())
                leader = entry.get("model", entry.get("house"))
                assert leader in entry["weights"]
                success = entry["success"] if "success" in entry else entry["confidence"]
                assert 0.0 <= entry.get("low", 0.0) <= success <= 1.0
