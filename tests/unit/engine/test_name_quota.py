"""Names beyond an owner's quota are `other` in what is learned, and nobody else notices."""

from typing import Any

from hypothesis import given, strategies as st

from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.config import Settings
from timmyd.config.quota import Quota
from timmyd.core.model import Execution
from timmyd.engine.name_quota import OTHER, NameQuota

NOW = 1_795_392_000.0
DAY = 86_400.0
SMALL = Quota(tools=10, shapes=20, models=2, sessions=100)


def call(n: int, at: float = NOW, *, owner: str = "mallory", **facts: Any) -> Execution:
    given = {"tool": "terminal", "shape": "git push", "session": n, "model": None, **facts}
    return Execution(
        id=n, at=at, house=owner, owner=owner, signature="0" * 16, task_type="other", outcome="ok",
        rule="exit_code", source="telemetry", **given,
    )  # fmt: skip


def test_the_first_names_keep_their_place_and_the_rest_are_other() -> None:
    names = NameQuota(SMALL)
    told = names.fold(call(n, tool=f"tool{n % 30}", model=f"model{n % 5}") for n in range(1, 91))
    assert {e.tool for e in told} == {*(f"tool{n}" for n in range(1, 11)), OTHER}
    assert {e.model for e in told} == {"model1", "model2", OTHER}
    assert set(names.reached) == {("mallory", "tools"), ("mallory", "models")}
    assert all(e.shape == (OTHER if e.tool == OTHER else "git push") for e in told)


def test_owners_have_places_of_their_own() -> None:
    names = NameQuota(SMALL)
    names.fold(call(n, tool=f"junk{n}") for n in range(1, 1_000))
    (kept,) = names.fold([call(1_000, owner="alice", tool="web_search")])
    assert kept.tool == "web_search"


def test_a_name_of_long_ago_gives_its_place_to_a_new_one() -> None:
    names = NameQuota(SMALL)
    names.fold(call(n, tool=f"old{n}") for n in range(1, 11))
    names.fold([call(11, NOW + 20 * DAY, tool="old1")])
    (soon,) = names.fold([call(12, NOW + 20 * DAY, tool="new")])
    (later,) = names.fold([call(13, NOW + 40 * DAY, tool="new")])
    (kept,) = names.fold([call(14, NOW + 40 * DAY, tool="old1")])
    assert (soon.tool, later.tool, kept.tool) == (OTHER, "new", "old1")


def test_sessions_beyond_those_of_a_day_are_one() -> None:
    names = NameQuota(SMALL)
    told = names.fold(
        [call(n) for n in range(1, 301)] + [call(n, session=0) for n in range(301, 401)]
    )
    assert len({e.session for e in told}) == 101
    assert 0 not in {e.session for e in told}
    (next_day,) = names.fold([call(401, NOW + DAY)])
    assert next_day.session == 401


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 60)), max_size=200)
)
def test_a_restart_at_any_moment_changes_nothing(drawn: list[tuple[int, int, int]]) -> None:
    calls = [
        call(n, NOW + days * DAY, tool=f"t{tool}", shape=f"s{shape}")
        for n, (tool, shape, days) in enumerate(drawn, 1)
    ]
    whole, names = NameQuota(SMALL).fold(calls), NameQuota(SMALL)
    told = []
    for one in calls:
        told += names.fold([one])
        names = NameQuota(SMALL, names.dump())
    assert told == whole


def test_what_cannot_be_read_is_begun_anew() -> None:
    assert NameQuota(SMALL, b"junk").fold([call(1)]) == [call(1)]


def test_the_policy_of_one_who_invents_names_is_bounded_and_the_executions_keep_theirs() -> None:
    database = PatternDatabase(":memory:", clock=lambda: NOW)
    settings = Settings(quota=SMALL)
    engine = IntelligenceEngine(database, settings=settings, clock=lambda: NOW)
    engine.record_executions(
        {
            "house": "mallory",
            "tool": f"tool{n}",
            "model": f"m{n}",
            "outcome": "error",
            "at": NOW - n,
        }
        for n in range(500)
    )
    engine.record_executions(
        {"house": "mallory", "tool": "tool3", "outcome": "ok", "at": NOW - n} for n in range(50)
    )
    engine.analyze_and_adapt()
    document = engine.policy_document()
    assert len(document["predictions"]["mallory"]) <= 11
    assert all(item["tool"] != OTHER for item in document["breakers"])
    assert not any(OTHER in choice["weights"] for choice in document["models"].values())
    kept = database.executions_between(0, 10_000)
    assert len({e.tool for e in kept}) == 500
    assert set(engine.learner.names.reached) >= {("unknown", "tools"), ("unknown", "models")}
