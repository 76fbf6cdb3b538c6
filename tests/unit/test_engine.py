"""The engine through its public verbs alone, as research and a caller of the original use it."""

import random
from collections.abc import Mapping
from typing import Any

import pytest

from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.config import Settings, parse
from timmyd.core.publishing import encode
from timmyd.errors import SessionError
from timmyd.house.policy import parse as read_policy

START = 1_790_000_000.0


class Time:
    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> float:
        return self.at


def new_engine(
    time: Time, path: str = ":memory:", settings: Settings | None = None
) -> IntelligenceEngine:
    return IntelligenceEngine(PatternDatabase(path, clock=time), settings=settings, clock=time)


def calls(
    n: int,
    *,
    at: float,
    house: str = "ezra",
    tool: str = "terminal",
    failing: float = 0.1,
    seed: int = 1,
    **more: Any,
) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {"at": at + k, "session_id": f"{seed}-{k // 8}", "house": house, "tool": tool,
         "outcome": "error" if rng.random() < failing else "ok", "params": {"command": f"git log {k % 3}"},
         "model": rng.choice(["small", "large"]), "latency_ms": 10.0 + k % 7, **more}
        for k in range(n)
    ]  # fmt: skip


def test_an_empty_engine_knows_nothing_and_changes_nothing() -> None:
    time = Time()
    engine = new_engine(time)
    for _ in range(5):
        assert engine.analyze_and_adapt() == []
        time.at += 60
    assert engine.predict_success("terminal", "ezra") == (None, "Insufficient data for prediction")
    assert engine.get_optimal_house("terminal") == ("timmy", None)
    assert engine.get_best_model("read") is None
    assert engine.current_policies["ezra"] == {
        "evidence_threshold": 0.8,
        "confidence_boost_for_read_ops": 0.1,
    }
    report = engine.get_intelligence_report()
    houses = report["house_performance"]
    assert {house: one["total_executions"] for house, one in houses.items()} == {
        "timmy": 0, "ezra": 0, "bezalel": 0,
    }  # fmt: skip
    assert report["learning_velocity"]["velocity"] is None


def test_what_was_recorded_is_counted_predicted_chosen_and_published() -> None:
    time = Time()
    engine = new_engine(time)
    time.at += 400
    assert engine.record_executions(calls(300, at=START)) == 300
    engine.analyze_and_adapt()
    performance = engine.database.get_house_performance("ezra")
    assert performance["total_executions"] == 300
    probability, words = engine.predict_success("terminal", "ezra", {"command": "git log 1"})
    assert probability is not None
    assert 0.8 < probability < 1.0
    assert "track record" in words
    assert engine.get_optimal_house("terminal")[0] == "ezra"
    assert engine.get_best_model("read") in {"small", "large"}
    document = engine.policy_document()
    policy = read_policy(encode(document), now=time.at)
    assert policy.predictions["ezra"]["terminal"]["samples"] == 300
    pattern = engine.database.get_pattern("terminal", "ezra")
    assert pattern is not None
    assert pattern.sample_count == 300


def test_the_same_call_of_a_session_is_counted_once_and_calls_without_an_id_always() -> None:
    engine = new_engine(Time())
    call = {"at": START, "session_id": "a", "call_id": "1", "tool": "terminal", "outcome": "ok"}
    assert engine.record_executions([call, call]) == 1
    assert engine.record_executions([call]) == 0
    free = {"at": START, "tool": "terminal", "outcome": "ok"}
    assert engine.record_executions([free, free]) == 2


def test_a_wrong_outcome_is_refused_whole() -> None:
    engine = new_engine(Time())
    good = {"at": START, "tool": "terminal", "outcome": "ok"}
    with pytest.raises(ValueError, match="outcome: expected one of"):
        engine.record_executions([good, {**good, "outcome": "great"}])
    assert engine.database.counters().get("executions", 0) == 0


def test_a_session_given_as_a_dict_is_taken_in_once() -> None:
    engine = new_engine(Time())
    session = {
        "session_id": "s",
        "house": "bezalel",
        "messages": [
            {
                "role": "tool",
                "name": "terminal",
                "error": None,
                "execution_time_ms": 5,
                "params": {"command": "ls"},
            },
            {"role": "tool", "name": "terminal", "error": "exit 1", "execution_time_ms": None},
        ],
    }
    assert engine.ingest_hermes_session(session) == 2
    assert engine.ingest_hermes_session(session) == 0
    assert engine.database.get_house_performance("bezalel")["successes"] == 1
    with pytest.raises(SessionError):
        engine.ingest_hermes_session({"session_id": "x"})


def test_a_tool_that_breaks_in_two_sessions_opens_its_breaker_and_says_so() -> None:
    time = Time()
    engine = new_engine(time)
    time.at += 300
    engine.record_executions(calls(200, at=START, failing=0.02))
    engine.analyze_and_adapt()
    time.at += 30
    engine.record_executions(calls(24, at=START + 301, failing=1.0, seed=9))
    events = engine.analyze_and_adapt()
    assert [event.kind for event in events] == ["breaker_opened"]
    listed = [b for b in engine.policy_document()["breakers"] if b["state"] != "closed"]
    assert [(b["house"], b["tool"]) for b in listed] == [("ezra", "terminal")]
    assert engine.explain("ezra/terminal")["state"] == "open"
    assert engine.explain("breaker.ezra.terminal")["state"] == "open"
    assert engine.adaptation_history[-1].change_type == "breaker.ezra.terminal"


def test_old_evidence_opens_no_breaker() -> None:
    time = Time()
    engine = new_engine(time)
    time.at += 10 * 86_400
    engine.record_executions(calls(300, at=START, failing=1.0))
    assert engine.analyze_and_adapt() == []
    assert engine.open_breakers() == 0


def test_an_order_is_carried_out_at_the_next_tick_and_recorded() -> None:
    time = Time()
    engine = new_engine(time)
    engine.database.add_order("pin", {"key": "ezra.evidence_threshold", "value": 0.7}, at=time.at)
    events = engine.analyze_and_adapt()
    assert [event.kind for event in events] == ["pinned"]
    assert engine.current_policies["ezra"]["evidence_threshold"] == 0.7
    assert engine.database.open_orders() == []
    engine.database.add_order("rollback", {"event": events[0].id}, at=time.at)
    engine.database.add_order("unpin", {"key": "ezra.evidence_threshold"}, at=time.at)
    engine.analyze_and_adapt()
    assert engine.current_policies["ezra"]["evidence_threshold"] == 0.8
    engine.database.add_order("pin", {"key": "no.such", "value": 1}, at=time.at)
    assert [event.kind for event in engine.analyze_and_adapt()] == ["order_refused"]


def test_the_operator_can_stop_a_model_too() -> None:
    time = Time()
    engine = new_engine(time)
    body = {"house": "ezra", "tool": "model:small"}
    engine.database.add_order("force", body, at=time.at)
    engine.analyze_and_adapt()
    (listed,) = engine.policy_document()["breakers"]
    assert (listed["house"], listed["tool"], listed["model"]) == ("ezra", None, "small")
    assert (listed["state"], listed["probe_at"]) == ("open", None)
    engine.database.add_order("clear", body, at=time.at)
    engine.analyze_and_adapt()
    assert engine.policy_document()["breakers"] == []


def test_a_restart_between_any_two_ticks_changes_nothing(tmp_path: Any) -> None:
    def run(name: str, *, restart_every: int) -> list[Mapping[str, Any]]:
        time = Time()
        path = str(tmp_path / name)
        engine = new_engine(time, path)
        documents: list[Mapping[str, Any]] = []
        for tick in range(90):
            time.at += 60
            engine.record_executions(
                calls(6, at=time.at - 50, failing=0.3, seed=tick, policy=tick, followed=True)
            )
            engine.analyze_and_adapt()
            documents.append(engine.policy_document(revision=tick + 1))
            engine.announce(tick + 1, now=time.at)
            if restart_every and tick % restart_every == 0:
                engine.database.close()
                engine = new_engine(time, path)
        engine.database.close()
        return documents

    steady = run("steady.db", restart_every=0)
    assert run("often.db", restart_every=1) == steady
    assert run("seldom.db", restart_every=23) == steady


def test_other_settings_apply_and_what_was_learned_stays() -> None:
    time = Time()
    engine = new_engine(time)
    time.at += 400
    engine.record_executions(calls(300, at=START))
    engine.analyze_and_adapt()
    engine.use(
        parse(
            '[publish]\nmode = "observe"\n[policies."ezra.evidence_threshold"]\npin = 0.7\n', "test"
        )
    )
    document = engine.policy_document()
    assert document["mode"] == "observe"
    assert document["policies"]["ezra"]["evidence_threshold"] == 0.7
    assert document["predictions"]["ezra"]["terminal"]["samples"] == 300


def test_a_model_that_an_operator_shuts_is_explained_by_its_name() -> None:
    time = Time()
    engine = new_engine(time)
    engine.database.add_order(
        "force", {"house": "ezra", "tool": "model:nous/hermes.3:8b"}, at=time.at
    )
    engine.analyze_and_adapt()

    for key in ("ezra/model:nous/hermes.3:8b", "breaker.ezra.model:nous/hermes.3:8b"):
        assert engine.explain(key)["state"] == "open"
    with pytest.raises(KeyError):
        engine.explain("ezra/model:another")
