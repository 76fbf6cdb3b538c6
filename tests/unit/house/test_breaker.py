"""Breakers: when they open, when they close, what they publish, and that nothing makes them raise."""

import json
import math
from typing import Any

import pytest

from timmyd.house.breaker import (
    ALLOWED,
    CLOSED,
    HALF_OPEN,
    OPEN,
    Breaker,
    BreakerKey,
    BreakerRule,
    Breakers,
)
from timmyd.house.breaker_evidence import Evidence, lone_evidence


def calls(breaker: Breaker, outcome: str, session: str, count: int, start: float) -> float:
    for n in range(count):
        breaker.record(start + n, outcome, session)
    return start + count


def opened(**options: Any) -> tuple[Breaker, float]:
    breaker = Breaker(**options)
    now = calls(breaker, "ok", "good", 80, 0.0)
    for n in range(20):
        now += 1
        breaker.record(now, "error", f"s{n % 2}")
        if breaker.state == OPEN:
            return breaker, now
    pytest.fail("it never opened")


def test_failures_of_two_sessions_open_within_ten() -> None:
    breaker, _ = opened(opens_alone=False)

    assert breaker.recent.count(0) <= 10


@pytest.mark.parametrize("goods", [0, 80, 500])
def test_one_session_opens_by_the_tenth_failure_in_a_house(goods: int) -> None:
    breaker = Breaker()
    now = calls(breaker, "ok", "same", goods, 0.0)
    calls(breaker, "error", "same", 10, now)

    assert breaker.state == OPEN


def test_the_daemon_does_not_open_on_one_session_alone() -> None:
    breaker = Breaker(opens_alone=False)
    calls(breaker, "error", "bad input", 50, 0.0)

    assert breaker.state == CLOSED


def test_an_unreliable_tool_is_not_convicted_by_a_run_in_one_session() -> None:
    assert max(lone_evidence(run, 0.3) for run in range(200)) < 300


def test_a_long_healthy_session_gathers_no_evidence() -> None:
    breaker = Breaker()
    calls(breaker, "ok", "long", 2000, 0.0)

    assert breaker.evidence.value < 10


@pytest.mark.parametrize("outcome", ["blocked", "cancelled", "rejected", "unknown", "", "OK"])
def test_what_was_not_rated_is_no_evidence(outcome: str) -> None:
    breaker = Breaker()
    before = breaker.to_dict()
    calls(breaker, outcome, "s", 50, 0.0)

    assert breaker.to_dict() == before


def test_open_blocks_until_the_wait_is_over_then_lets_single_probes_through() -> None:
    breaker, now = opened()
    assert not breaker.allows(now + 1).allowed
    later = now + 34

    first, second = breaker.allows(later), breaker.allows(later + 1)
    third = breaker.allows(later + 5)

    assert (first.allowed, first.probe) == (True, True)
    assert not second.allowed
    assert third.allowed


def test_good_probes_close_it_and_a_failed_one_doubles_the_wait_up_to_the_cap() -> None:
    breaker, now = opened()
    waits = []
    for _ in range(6):
        assert breaker.probe_at is not None
        now = breaker.probe_at
        assert breaker.allows(now).probe
        breaker.record(now, "timeout", "probe")
        assert breaker.state == OPEN
        waits.append(breaker.probe_at - now)
    assert all(
        0.9 * want <= got <= 1.1 * want
        for got, want in zip(waits, (60, 120, 240, 240, 240, 240), strict=True)
    )

    while breaker.state != CLOSED:
        assert breaker.probe_at is not None
        now = breaker.probe_at
        assert breaker.allows(now).probe
        breaker.record(now, "ok", "probe")
    assert breaker.allows(now) == ALLOWED


def test_the_jitter_is_the_seeds_own_and_nothing_else() -> None:
    waits = {seed: opened(seed=seed)[0].probe_at for seed in ("a", "b", "a")}

    assert waits["a"] == opened(seed="a")[0].probe_at
    assert waits["a"] != waits["b"]


def test_a_clock_set_back_a_year_cannot_hold_it_open() -> None:
    breaker, now = opened()
    past = now - 365 * 86_400
    breaker.allows(past)

    assert breaker.allows(past + 300).probe


def test_observe_says_why_but_blocks_nothing() -> None:
    breaker, now = opened(rule=BreakerRule(mode="observe"))
    verdict = breaker.allows(now + 1)

    assert verdict.allowed
    assert "succeeded" in verdict.reason


def test_a_restart_goes_on_with_the_same_decisions() -> None:
    breaker, now = opened(seed="x")
    again = Breaker.from_dict(json.loads(json.dumps(breaker.to_dict())), seed="x")

    for n in range(200):
        at = now + 3.0 * n
        assert breaker.allows(at) == again.allows(at)
        for one in (breaker, again):
            one.record(at, "ok" if n > 100 else "error", f"s{n % 3}")
    assert breaker.to_dict() == again.to_dict()


@pytest.mark.parametrize("garbage", [None, 3, "x", [], {"state": "open", "times": "no"}, {"evidence": {"parts": [math.nan] * 6, "baseline": ["a", 0, -1, None]}, "sessions": [[1], ["a"], 3], "state": 7, "recent": "no", "opened": math.inf}])  # fmt: skip
def test_garbage_makes_a_working_breaker(garbage: Any) -> None:
    breaker = Breaker.from_dict(garbage)
    breaker.record(1.0, "error", "s")
    breaker.record(math.nan, "error", "s")

    assert breaker.allows(math.inf) == ALLOWED
    assert Evidence.from_dict(garbage).value >= 0.0


def test_a_rule_takes_only_sane_numbers() -> None:
    rule = BreakerRule.from_dict(
        {"open_at": -1, "wait_s": "x", "wait_max_s": 10, "probe_every_s": True}
    )

    assert rule == BreakerRule(wait_max_s=30.0)
    assert BreakerRule.from_dict(rule.to_dict()) == rule


# ------------------------------------------------------------------ the collection


def break_tool(breakers: Breakers, house: str, tool: str, now: float = 0.0) -> float:
    for n in range(30):
        now += 1
        breakers.record(house, tool, now, "error", session=f"s{n % 3}")
    return now


def state(breakers: Breakers, house: str, tool: str | None, model: str | None = None) -> str:
    breaker = breakers.get(house, tool, model=model)
    assert breaker is not None
    return breaker.state


def test_at_most_the_share_of_a_house_is_open_at_once() -> None:
    breakers = Breakers(most_open=0.5)
    for n in range(4):
        breakers.record("ezra", f"t{n}", 0.0, "ok", session="s")
    for n in range(4):
        break_tool(breakers, "ezra", f"t{n}")

    assert sum(b.state == OPEN for _, b in breakers) == 2


def test_the_last_house_of_a_tool_stays_open_for_business() -> None:
    breakers = Breakers(most_open=1.0)
    for house in ("ezra", "bezalel"):
        breakers.record(house, "web", 0.0, "ok", session="s")
    for house in ("ezra", "bezalel"):
        break_tool(breakers, house, "web")

    assert (state(breakers, "ezra", "web"), state(breakers, "bezalel", "web")) == (OPEN, CLOSED)


def test_a_tool_that_only_one_house_has_is_still_stopped() -> None:
    breakers = Breakers()
    break_tool(breakers, "timmy", "web")

    assert state(breakers, "timmy", "web") == OPEN


def test_the_last_model_of_a_house_is_never_stopped() -> None:
    breakers = Breakers(most_open=1.0)
    for n in range(40):
        breakers.record("ezra", None, float(n), "error", session=f"s{n % 3}", model="only")

    assert state(breakers, "ezra", None, "only") == CLOSED


def test_published_open_binds_until_published_closed() -> None:
    daemon, house = Breakers(opens_alone=False), Breakers()
    now = break_tool(daemon, "ezra", "web")
    published = json.loads(json.dumps(daemon.published(now)))
    house.load(published, daemon.rule, now)
    assert not house.allows("ezra", "web", now).allowed

    later = now + 40
    for n in range(10):
        assert house.allows("ezra", "web", later + 6 * n).probe
        house.record("ezra", "web", later + 6 * n, "ok", session="p")
    assert state(house, "ezra", "web") == HALF_OPEN

    house.load([], daemon.rule, later + 60)
    assert house.allows("ezra", "web", later + 61) == ALLOWED


def test_what_a_house_opened_itself_stays_whatever_is_published() -> None:
    house = Breakers()
    now = break_tool(house, "ezra", "web")
    house.load([], BreakerRule(), now)

    assert not house.allows("ezra", "web", now).allowed


def test_a_second_failing_session_is_stopped_by_the_tenth_failure() -> None:
    daemon, now = Breakers(opens_alone=False), 0.0
    for n in range(83):
        now += 5
        daemon.record("ezra", "web", now, "ok" if n < 80 else "error", session="first")
    house = Breakers()
    house.load(daemon.published(now), daemon.rule, now)
    failures = 3
    while house.allows("ezra", "web", now).allowed:
        failures, now = failures + 1, now + 5
        house.record("ezra", "web", now, "error", session="second")

    assert failures <= 10


def test_forced_is_published_without_a_next_probe_until_cleared() -> None:
    daemon, house = Breakers(), Breakers()
    daemon.force("ezra", "web", 5.0)
    daemon.record("ezra", "web", 6.0, "ok", session="s")
    (item,) = daemon.published(1000.0)
    house.load([item], daemon.rule, 1000.0)

    assert (item["state"], item["probe_at"]) == ("open", None)
    assert not house.allows("ezra", "web", 1e6).allowed
    daemon.clear("ezra", "web", 2000.0)
    assert daemon.published(2000.0) == []


def test_hostile_items_are_left_out_and_the_rest_is_obeyed() -> None:
    house = Breakers()
    items: list[Any] = [
        3, None, {}, {"house": [], "tool": {}}, {"house": "e", "tool": "t", "state": "open", "probe_at": "soon"},
        {"house": "ezra", "tool": "web", "state": "open", "since": None, "probe_at": "2026-11-22T21:00:00Z"},
    ]  # fmt: skip
    house.load(items, BreakerRule(), 1_795_381_190.0)

    assert not house.allows("ezra", "web", 1_795_381_190.0).allowed


def test_all_of_it_survives_a_restart() -> None:
    breakers = Breakers(seed="d")
    now = break_tool(breakers, "ezra", "web")
    breakers.record("ezra", "calm", now, "ok", session="s")
    again = Breakers.from_dict(json.loads(json.dumps(breakers.to_dict())), seed="d")

    assert again.to_dict() == breakers.to_dict()
    assert len(Breakers.from_dict({"breakers": [None, [1], ["h", None, None, {}]]})) == 0


def test_a_tool_known_to_be_unreliable_is_given_more_patience() -> None:
    told, new = Breakers(), Breakers()
    told.expect("ezra", "web", 0.6)
    for breakers in (told, new):
        for n in range(10):
            breakers.record("ezra", "web", float(n), "error", session="one")

    assert (state(told, "ezra", "web"), state(new, "ezra", "web")) == (CLOSED, OPEN)


def test_a_breaker_is_named_by_its_tool_or_its_model() -> None:
    for key in (BreakerKey("ezra", "terminal"), BreakerKey("ezra", None, "hermes3:8b")):
        assert BreakerKey.named("ezra", key.name) == key
    assert BreakerKey("ezra", None, "hermes3:8b").name == "model:hermes3:8b"


def test_however_long_a_session_works_its_successes_do_not_pile_evidence_up() -> None:
    breaker = Breaker()
    now, most = 0.0, 0.0
    for _ in range(40):
        now = calls(breaker, "ok", "long", 10, now)
        most = max(most, breaker.evidence.value)

    assert most < 0.1 * breaker.rule.open_at
    assert breaker.evidence.value < 10


def test_a_closed_breaker_whose_calls_all_succeed_is_not_shown() -> None:
    breakers = Breakers()
    for number in range(400):
        at = 1_790_000_000.0 + number
        breakers.record("ezra", "terminal", at, "ok", session=str(number // 90))
        assert breakers.published(at) == []
