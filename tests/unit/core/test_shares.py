"""Whose turn it is: equal time for all that wait, no credit for who did not, rates only beside others."""

from timmyd.core.shares import Shares


def serve(shares: Shares[str], waiting: dict[str, float], spans: int) -> dict[str, float]:
    """Work off the owners that always wait, each with the cost of one thing; returns time by owner."""
    spent = dict.fromkeys(waiting, 0.0)
    for _ in range(spans):
        owner = shares.next(waiting, 0.0)
        assert owner is not None
        spent[owner] += waiting[owner]
        shares.charge(owner, waiting[owner])
    return spent


def test_time_is_shared_and_not_things() -> None:
    spent = serve(Shares(per_s=1e9), {"dear": 0.2, "cheap": 0.001, "middle": 0.01}, 20_000)
    assert max(spent.values()) - min(spent.values()) <= 0.2


def test_who_comes_late_is_next_and_gets_no_more_than_a_share_from_then_on() -> None:
    shares: Shares[str] = Shares(per_s=1e9)
    serve(shares, {"storm": 0.25}, 1_000)
    for _ in range(3):
        found = shares.next(["storm", "late"], 0.0)
        assert found == "late"
        shares.charge("late", 0.001)
        shares.next(["storm"], 0.0)
        shares.charge("storm", 0.25)
    spent = serve(shares, {"storm": 0.01, "late": 0.01}, 1_000)
    assert abs(spent["storm"] - spent["late"]) <= 0.3


def test_a_rate_binds_only_while_another_waits() -> None:
    shares: Shares[str] = Shares(per_s=100)
    for _ in range(1_000):
        assert shares.next(["storm"], 5.0) == "storm"
        shares.charge("storm", 0.0)
    assert shares.bound == set()
    for _ in range(50):
        assert shares.next(["storm", "dear"], 5.0) == "dear"
        shares.charge("dear", 1.0)
    assert shares.bound == {"storm"}
    assert shares.next(["storm", "dear"], 6.0) == "storm"  # another second


def test_nobody_waits_for_who_is_also_at_the_limit() -> None:
    shares: Shares[str] = Shares(per_s=1)
    seen = set()
    for _ in range(10):
        owner = shares.next(["a", "b"], 0.0)
        assert owner is not None
        seen.add(owner)
        shares.charge(owner, 0.1)
    assert seen == {"a", "b"}
    assert shares.next([], 0.0) is None


def test_what_is_forgotten_is_nothing_that_counts() -> None:
    shares: Shares[str] = Shares(per_s=1e9)
    serve(shares, {str(n): 0.01 for n in range(1_000)}, 5_000)
    shares.forget()
    spent = serve(shares, {"0": 0.01, "new": 0.01}, 1_000)
    assert abs(spent["0"] - spent["new"]) <= 0.1
