"""What trying again is worth, learned from the order of calls alone."""

import random

import msgspec

from timmyd.core.estimating.remedies import Failure, Remedies, published
from timmyd.core.estimating.retries import MOST_FAILURES, RetryCurves
from timmyd.core.model import Execution
from timmyd.house.retries import upper_bound

AT = 1_800_000_000.0


class History:
    """Executions one after the other, ten seconds apart."""

    def __init__(self) -> None:
        self.number = 0

    def call(
        self, outcome: str, *, session: int = 1, shape: str = "git push", signature: str = "s",
        house: str = "ezra", tool: str = "terminal", task: str = "other", error: str | None = None,
    ) -> Execution:  # fmt: skip
        self.number += 1
        return Execution(
            id=self.number, at=AT + 10.0 * self.number, session=session, house=house, tool=tool,
            signature=signature, shape=shape, outcome=outcome, task_type=task, error_type=error,
        )  # fmt: skip


def curve_of(p: float, *, seed: int = 1, spirals: int = 200) -> RetryCurves:
    draw, history, curves = random.Random(seed), History(), RetryCurves()
    for session in range(1, spirals):
        for _ in range(8):
            ok = draw.random() < p
            curves.learn(history.call("ok" if ok else "error", session=session))
            if ok:
                break
    return curves


def test_a_flaky_call_is_told_as_flaky_and_never_refused() -> None:
    retries = curve_of(0.5, spirals=1_000).published(["ezra"], {"ezra": 3})["ezra"]
    assert all(0.35 < rate < 0.65 for rate in retries["terminal"]["after"][:3])
    assert upper_bound(retries, "terminal", "git push", 3) > 0.1


def test_a_dead_call_is_told_as_dead_and_refused_sooner_than_by_the_prior_alone() -> None:
    retries = curve_of(0.0).published(["ezra"], {"ezra": 2})["ezra"]
    assert retries["terminal"]["limit"] == 2
    assert upper_bound(retries, "terminal", "git push", 2) < 0.03


def test_one_shape_that_waits_on_purpose_speaks_for_itself_alone() -> None:
    history, curves = History(), RetryCurves()
    for session in range(1, 80):
        for outcome in ("error",) * 5 + ("ok",):
            curves.learn(history.call(outcome, session=session, shape="curl status"))
        for _ in range(8):
            curves.learn(history.call("error", session=session, shape="git push", signature="t"))
    mine = curves.published(["ezra"], {"ezra": 3})["ezra"]
    assert upper_bound(mine, "terminal", "curl status", 2) > 0.5
    assert upper_bound(mine, "terminal", "git push", 5) < 0.1


def failures_of(curve: RetryCurves) -> int:
    """After how many failures in a row a call is known to have been tried."""
    return max((len(one) for one in curve.curves.values()), default=0)


def test_success_a_build_call_and_a_long_pause_end_a_row() -> None:
    history, curves = History(), RetryCurves()
    for outcome in ("error", "error"):
        curves.learn(history.call(outcome))
    assert failures_of(curves) == 1
    curves.learn(history.call("ok", shape=".py", signature="p", tool="patch", task="build"))
    curves.learn(history.call("error"))
    history.number += 1_000
    curves.learn(history.call("error"))
    curves.learn(history.call("blocked"))
    assert failures_of(curves) == 1
    curves.learn(history.call("error"))
    curves.learn(history.call("error"))
    assert failures_of(curves) == 2


def test_wasted_is_what_hopelessly_repeats_two_failures_and_no_flaky_call() -> None:
    history, curves = History(), RetryCurves()
    dead = [
        [curves.learn(history.call("error", session=session, signature="d")) for _ in range(4)]
        for session in range(1, 30)
    ]
    assert dead[0] == [False] * 4, "nobody knows yet"
    assert dead[-1] == [False, False, True, True]
    history, curves = History(), RetryCurves()
    flaky = [
        curves.learn(
            history.call("error" if n % 4 else "ok", session=n // 8, shape="pytest", signature="f")
        )
        for n in range(8, 400)
    ]
    assert not any(flaky)


def test_houses_of_one_owner_pool_and_others_are_not_asked() -> None:
    history, curves = History(), RetryCurves()
    for house in ("ezra", "bezalel", "stranger"):
        for session in range(1, 30):
            outcome = "error" if house != "stranger" else "ok"
            curves.learn(history.call("error", house=house, session=session))
            curves.learn(history.call(outcome, house=house, session=session))
            curves.learn(history.call("ok", house=house, session=session))
    told = curves.published(["ezra", "bezalel"], {"ezra": 3, "bezalel": 3})
    assert told["ezra"]["terminal"]["after"][0] == 0.0
    assert told["ezra"]["terminal"]["samples"][0] > 50
    assert "stranger" not in told


def test_memory_is_bounded_whatever_comes() -> None:
    history, curves, remedies = History(), RetryCurves(), Remedies()
    for number in range(9_000):
        execution = history.call(
            "error",
            session=number,
            shape=f"s{number}",
            signature=str(number % 3),
            error=f"e{number}",
        )
        for _ in range(2):
            curves.learn(execution)
            remedies.learn(execution)
    assert len(curves.curves) <= 4_000
    assert len(curves.sessions) <= 2_000
    assert len(remedies.open) <= 2_000
    assert len(remedies.cases) <= 2_000
    assert max(len(curve) for curve in curves.curves.values()) <= MOST_FAILURES


def test_what_was_learned_survives_as_the_same_bytes() -> None:
    curves = curve_of(0.3, spirals=20)
    data = msgspec.msgpack.encode(curves)
    assert msgspec.msgpack.encode(msgspec.msgpack.decode(data, type=RetryCurves)) == data


def remedies_of(helps: float, without: float, *, seed: int = 2, failures: int = 120) -> Remedies:
    """`git push` fails; in half of the cases `git pull` follows, which helps with its own chance."""
    draw, history, remedies = random.Random(seed), History(), Remedies()
    for session in range(1, failures):
        remedies.learn(history.call("error", session=session, error="exit_1"))
        pulled = draw.random() < 0.5
        between = "git pull" if pulled else "git status"
        remedies.learn(history.call("ok", session=session, shape=between))
        chance = helps if pulled else without
        outcome = "ok" if draw.random() < chance else "error"
        remedies.learn(history.call(outcome, session=session, error="exit_1"))
    return remedies


def test_what_helped_is_told_with_its_lift() -> None:
    known = remedies_of(0.9, 0.1).known("ezra")
    (best,) = known[Failure("ezra", "terminal", "git push", "exit_1")]
    assert (best.tool, best.shape) == ("terminal", "git pull")
    assert best.success > 0.75
    assert best.lift > 0.5
    assert best.low < best.success < best.high
    assert list(published(known)["ezra"]) == ["terminal|git push|exit_1"]


def test_what_helped_no_more_than_chance_is_not_told() -> None:
    told = sum(bool(remedies_of(0.5, 0.5, seed=seed).known()) for seed in range(40))
    assert told <= 2


def test_a_way_round_counts_where_the_failing_call_is_left_behind() -> None:
    history, remedies = History(), Remedies()
    for session in range(1, 40):
        remedies.learn(
            history.call("error", session=session, tool="web_search", shape="query", error="e")
        )
        remedies.learn(history.call("ok", session=session, tool="web_extract", shape="urls"))
        for number in range(6):
            remedies.learn(history.call("ok", session=session, signature=str(number), shape="ls"))
    (best,) = remedies.known("ezra")[Failure("ezra", "web_search", "query", "e")]
    assert best.tool == "web_extract"


def test_a_forgotten_house_leaves_nothing() -> None:
    remedies, curves = remedies_of(0.9, 0.1), curve_of(0.5)
    remedies.forget("ezra")
    curves.forget("ezra")
    assert not remedies.known()
    assert curves.published(["ezra"], {"ezra": 3}) == {}
