"""Any history gives weights that are shares, with the leader on top, and a restart changes nothing."""

import pytest
from hypothesis import given, strategies as st

from timmyd.core.estimating.choose import Leader

HISTORY = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.booleans(), st.none() | st.sampled_from("xyz"), st.booleans(),
        st.none() | st.floats(0, 1e6), st.none() | st.floats(0, 1e3),
    ),
    max_size=250,
)  # fmt: skip


@given(HISTORY, st.sampled_from([0.0, 0.02, 0.5]), st.integers(0, 250))
def test_weights_are_shares_and_a_restart_changes_nothing(
    history: list[tuple[str, bool, str | None, bool, float | None, float | None]],
    exploration: float,
    cut: int,
) -> None:
    one = Leader("ab", exploration=exploration)
    two = Leader("ab", exploration=exploration)
    for n, (arm, ok, session, followed, latency, cost) in enumerate(history):
        if n == cut:
            two = Leader.load(two.dump(), exploration=exploration)
        for leader in (one, two):
            leader.learn(
                arm, ok=ok, session=session, followed=followed, latency_ms=latency, cost=cost
            )
            if n % 3 == 0:
                leader.settle()
        first, second = one.decide(), two.decide()
        assert first == second
        assert first is not None
        assert sum(first.weights.values()) == pytest.approx(1.0)
        assert all(0.0 <= weight <= 1.0 for weight in first.weights.values())
        assert first.weights[first.leader] >= max(first.weights.values()) - 1e-12
        assert 0.0 <= first.low <= first.success <= 1.0
    assert one.dump() == two.dump()
