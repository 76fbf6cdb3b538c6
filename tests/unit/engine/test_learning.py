"""The learner: what it takes in, what it decides, what survives a restart."""

import json
from typing import Any

import msgspec
import pytest

from timmyd.config import Settings
from timmyd.core.alerts import alert_of
from timmyd.core.model import AdaptationEvent, Execution
from timmyd.engine import IntelligenceEngine
from timmyd.engine.learning import Learner
from timmyd.engine.predictions import FRESH_S
from timmyd.store.database import PatternDatabase

NOW = 1_795_381_822.0
DAY_S = 86_400.0


def failing(count: int, *, at: float = NOW, sessions: int = 5, outcome: str = "error") -> list[Execution]:  # fmt: skip
    return [
        Execution(
            id=number, at=at - count + number, session=1 + number % sessions, house="ezra",
            tool="terminal", signature="0" * 16, shape="git push", outcome=outcome,
        )
        for number in range(1, count + 1)
    ]  # fmt: skip


def broken(now: float = NOW) -> Learner:
    learner = Learner(Settings(), {})
    learner.observe(failing(60, at=now), [], now=now)
    learner.tick(now)
    return learner


def test_a_tool_that_fails_opens_its_breaker_once_and_says_so() -> None:
    learner = Learner(Settings(), {})
    learner.observe(failing(60), [], now=NOW)

    (event,) = [event for event in learner.tick(NOW) if event.trigger == "breaker"]

    assert (event.kind, event.change_type) == ("breaker_opened", "breaker.ezra.terminal")
    assert (event.old_value, event.new_value) == ("closed", "open")
    assert event.reason
    assert learner.tick(NOW + 0.1) == []
    assert learner.open_breakers() == 1
    assert learner.broken() == {"terminal": frozenset({"ezra"})}


def test_a_restart_neither_forgets_an_open_breaker_nor_says_it_again() -> None:
    again = Learner(Settings(), broken().dump())

    assert again.open_breakers() == 1
    assert again.tick(NOW + 0.1) == []


def test_history_opens_nothing() -> None:
    learner = Learner(Settings(), {})
    learner.observe(failing(200, at=NOW - FRESH_S - 1.0), [], now=NOW)

    assert learner.tick(NOW) == []
    assert learner.open_breakers() == 0


@pytest.mark.parametrize("outcome", ["blocked", "cancelled", "rejected", "unknown", "ok"])
def test_what_is_no_failure_opens_nothing(outcome: str) -> None:
    learner = Learner(Settings(), {})
    learner.observe(failing(200, outcome=outcome), [], now=NOW)
    learner.tick(NOW)

    assert learner.open_breakers() == 0


def test_the_order_in_which_executions_come_in_changes_nothing() -> None:
    executions = failing(60)
    states = []
    for ordered in (executions, executions[::-1]):
        learner = Learner(Settings(), {})
        learner.observe(ordered, [], now=NOW)
        learner.tick(NOW)
        states.append(learner.dump())

    assert states[0] == states[1]


def test_a_dump_of_what_was_loaded_is_the_dump() -> None:
    saved: dict[str, Any] = broken().dump()

    assert Learner(Settings(), saved).dump() == saved
    assert json.loads(saved["breakers"])


def test_a_clock_that_is_ahead_for_one_tick_forgets_nothing() -> None:
    learner, open_one = Learner(Settings(), {}), broken()
    learner.observe(failing(10, outcome="ok"), [], now=NOW)
    learner.tick(NOW)
    before = (learner.dump(), learner.predictions.published(NOW))
    for one in (learner, open_one):
        one.tick(NOW + 32 * DAY_S)
        one.tick(NOW + 1.0)

    assert len(list(learner.breakers)) > 0
    assert learner.predictions.published(NOW) == before[1]
    assert learner.dump()["notices"] == before[0]["notices"]
    assert open_one.open_breakers() == 1


def asked(count: int, outcome: str, *, model: str) -> list[Execution]:
    return [
        msgspec.structs.replace(execution, model=model)
        for execution in failing(count, outcome=outcome)
    ]


def model_states(learner: Learner) -> dict[str | None, str]:
    return {key.model: breaker.state for key, breaker in learner.breakers if key.tool is None}


def test_a_model_that_asks_for_calls_that_are_none_opens_its_breaker_and_its_tools_do_not() -> None:
    learner = Learner(Settings(), {})
    learner.observe(
        asked(60, "rejected", model="bad") + asked(60, "error", model="good"), [], now=NOW
    )
    kinds = [(event.kind, event.change_type) for event in learner.tick(NOW)]

    assert model_states(learner) == {"bad": "open", "good": "closed"}
    assert ("breaker_opened", "breaker.ezra.model:bad") in kinds


def test_a_model_that_does_not_answer_opens_its_breaker_unless_it_is_the_last() -> None:
    alone, both = Learner(Settings(), {}), Learner(Settings(), {})
    for minute in range(10):
        now = NOW + 60.0 * minute
        for learner, models in ((alone, ["bad"]), (both, ["bad", "good"])):
            learner.observe_requests(
                [("ezra", model, [model == "good"] * 6) for model in models], now=now
            )
            learner.tick(now)

    assert model_states(alone) == {"bad": "closed"}
    assert model_states(both)["good"] == "closed"
    assert model_states(both)["bad"] != "closed"


def test_one_spell_of_vain_tries_is_one_session_and_opens_nothing() -> None:
    learner = Learner(Settings(), {})
    learner.observe_requests([("ezra", "bad", [False] * 50), ("ezra", "good", [True])], now=NOW)
    learner.tick(NOW)

    assert model_states(learner)["bad"] == "closed"


def test_a_breaker_that_only_observes_keeps_no_house_from_being_chosen() -> None:
    settings = msgspec.structs.replace(
        Settings(), breaker=msgspec.structs.replace(Settings().breaker, mode="observe")
    )
    learner = Learner(settings, broken().dump())

    assert learner.open_breakers() == 1
    assert learner.broken() == {}


def test_what_falls_and_recovers_is_told_published_and_explained_and_survives_a_restart() -> None:
    time = [NOW - 20 * DAY_S]
    engine = IntelligenceEngine(
        PatternDatabase(":memory:", clock=lambda: time[0]), clock=lambda: time[0]
    )
    told: list[AdaptationEvent] = []
    for day in range(20):
        for session in range(6):
            at = time[0] + session * 3_600.0
            engine.record_executions(
                {"at": at + n, "session_id": f"{day}.{session}", "house": "ezra", "tool": tool,
                 "shape": "x", "outcome": "error" if tool == "web" and day in (15, 16) and n % 3 else "ok"}
                for n in range(6)
                for tool in ("web", "terminal")
            )  # fmt: skip
            time[0] = at + 60.0
            told += [e for e in engine.analyze_and_adapt() if e.trigger == "notice"]
            if (day, session) == (15, 2):  # before its breaker opens, which then speaks for it
                notice = engine.policy_document()["notices"][0]
                assert (notice["kind"], notice["house"], notice["tool"]) == ("fell", "ezra", "web")
                assert notice["from"] > 0.9
                assert notice["to"] < 0.6
                assert "web in ezra fell from" in engine.explain("ezra/web")["notices"][0]
                before = engine.policy_document()
                engine.use(engine.settings)
                assert engine.policy_document() == before
        time[0] += DAY_S - 5 * 3_600.0 - 60.0
    assert [(event.kind, event.evidence["tool"]) for event in told] == [
        ("fell", "web"), ("recovered", "web"),
    ]  # fmt: skip
    alerts = [alert_of(event) for event in told]
    assert [alert is not None and alert.trouble for alert in alerts] == [
        "fell:success.ezra.web"
    ] * 2
