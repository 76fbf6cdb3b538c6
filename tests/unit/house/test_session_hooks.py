"""What the recorder tells beside the calls: where a session runs, its skill, its requests, its turns' ends."""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.house.documents import PUBLISHED_AT
from tests.unit.house.test_hermes import Agent
from timmyd.house.kit import Kit
from timmyd.house.obey import Decision
from timmyd.house.recorder import Recorder
from timmyd.house.settings import GRACE_S, INSTALLED_FILE, KitSettings, grace_until, kit_settings


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path, "0.22")


def _header(agent: Agent, session: str) -> dict[str, Any]:
    path = agent.home / "sessions" / "timmy" / f"{session}.jsonl"
    header: dict[str, Any] = json.loads(path.read_text().splitlines()[0])
    return header


def test_a_cron_session_names_its_job_and_its_platform(agent: Agent) -> None:
    session = "cron_nightly_report_20261201_030000"
    agent.plugin.on_session_start(session_id=session, platform="cron")
    agent.call(session=session)

    header = _header(agent, session)
    assert (header["platform"], header["cron"]) == ("cron", "nightly_report")
    agent.call()
    assert "cron" not in _header(agent, "s1")


def test_the_job_that_hermes_says_is_running_counts_before_the_name_of_the_session(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = SimpleNamespace(current_cron_execution=lambda: SimpleNamespace(job_id="j7"))
    monkeypatch.setitem(sys.modules, "cron.execution_identity", running)
    agent.turn()
    agent.call()

    assert _header(agent, "s1")["cron"] == "j7"


def test_what_is_learned_after_the_header_the_next_line_says(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, house="ezra", kit="1")
    recorder.end("s1", completed=True, interrupted=False)
    recorder.about("s1", platform="telegram")
    recorder.end("s1", completed=True, interrupted=False, reason="text_response")
    recorder.end("s1", completed=True, interrupted=False)

    lines = [json.loads(line) for line in (tmp_path / "s1.jsonl").read_text().splitlines()]
    assert [line.get("platform") for line in lines] == [None, None, "telegram", None]
    assert [line.get("reason") for line in lines[1:]] == [None, "text_response", None]


def test_the_end_of_a_turn_has_its_reason_but_none_of_its_words(agent: Agent) -> None:
    for reason in ("text_response(finish_reason=stop)", "local_processing_error(hunter2)", None, 7):
        agent.plugin.on_session_end(session_id="s1", completed=True, turn_exit_reason=reason)

    ends = [line.get("reason") for line in agent.lines("end")]
    assert ends == ["text_response", "local_processing_error", None, None]


def test_a_skill_that_was_loaded_is_that_of_the_calls_that_follow(agent: Agent) -> None:
    agent.turn()
    agent.call()
    agent.plugin.on_skill_lifecycle(action="created", skill_name="other", session_id="s1")
    agent.plugin.on_skill_lifecycle(action="loaded", skill_name="deploy", task_id="k1")
    agent.call()
    agent.call("skill_view", {"name": "review"}, '{"success": true}')
    agent.call()
    agent.call(session="s2", task="k2")

    skills = [line.get("skill") for line in agent.lines()]
    assert skills == [None, "deploy", "review", "review", None]


def test_a_request_tells_its_provider_its_tokens_and_from_where_it_fell_back(agent: Agent) -> None:
    given = {"session_id": "s1", "api_request_id": "t1:api:1", "base_url": "http://a"}
    agent.plugin.api_request_error(
        **given, model="big", provider="p", status_code=429, retry_count=2, reason="rate_limit",
        error={"type": "RateLimitError", "message": "hunter2"},
    )  # fmt: skip
    usage = {
        "input_tokens": 100, "output_tokens": 20, "cache_read_tokens": 900, "reasoning_tokens": 7,
    }  # fmt: skip
    agent.plugin.post_api_request(**given, model="small", provider="p", usage=usage)
    moved = {**given, "base_url": "http://b"}
    agent.plugin.post_api_request(**moved, model="small", provider="q", usage=usage)
    other = {**moved, "api_request_id": "t1:api:2"}
    agent.plugin.post_api_request(**other, model="big", provider="p", usage=usage)

    failed, answered, elsewhere, fresh = agent.lines("model")
    assert (failed["error_class"], failed["retry"], failed["outcome"]) == ("rate_limit", 2, "error")
    assert (answered["fallback_from"], answered["provider"]) == ("big", "p")
    assert (answered["tokens_in"], answered["tokens_cached"]) == (100, 900)
    assert answered["tokens_reasoning"] == 7
    assert elsewhere["fallback_from"] == "p"
    assert "fallback_from" not in fresh
    assert "hunter2" not in json.dumps(agent.lines("model"))


@pytest.mark.parametrize(
    ("told", "error_class"),
    [
        ({"reason": "billing"}, "billing"),
        ({"reason": SimpleNamespace(value="overloaded")}, "overloaded"),
        ({"reason": "unknown", "status_code": 500}, "server_error"),
        ({"status_code": 401}, "auth"),
        ({"status_code": 418, "reason": "a secret phrase"}, None),
        ({"error": {"type": "ReadTimeout"}}, "timeout"),
        ({}, None),
    ],
)
def test_why_a_request_failed_is_one_word(
    told: dict[str, Any], error_class: str | None, agent: Agent
) -> None:
    agent.plugin.api_request_error(session_id="s1", model="m", **told)

    (line,) = agent.lines("model")
    assert line.get("error_class") == error_class
    assert line["outcome"] == ("timeout" if error_class == "timeout" else "error")


# ---------------------------------------------------------- grace after 0.1

SINCE = PUBLISHED_AT - 86_400.0


@pytest.mark.parametrize(
    ("record", "until"),
    [
        ({"version": "0.2.0", "since": SINCE, "upgraded_from": "0.1.0"}, SINCE + GRACE_S),
        ({"since": "2026-11-22T21:00:00+00:00", "upgraded_from": "0.1"}, PUBLISHED_AT + GRACE_S),
        ({"version": "0.2.0", "since": SINCE, "upgraded_from": None}, None),
        ({"version": "0.3.0", "since": SINCE, "upgraded_from": "0.2.0"}, None),
        ({"version": "0.20.0", "since": SINCE, "upgraded_from": "0.10.0"}, None),
        ({"kit": "0.1.0"}, None),
        ([], None),
    ],
)
def test_a_kit_that_took_the_place_of_a_0_1_has_seven_days(
    record: Any, until: float | None, tmp_path: Path
) -> None:
    (tmp_path / INSTALLED_FILE).write_text(json.dumps(record))
    assert grace_until(tmp_path) == until
    assert kit_settings(tmp_path, tmp_path, {}).grace_until == until


def test_an_upgrade_that_does_not_say_when_counts_from_its_record(tmp_path: Path) -> None:
    (tmp_path / INSTALLED_FILE).write_text('{"upgraded_from": "0.1.0", "since": "lately"}')
    until = grace_until(tmp_path)
    assert until is not None
    assert abs(until - GRACE_S - time.time()) < 60.0


@pytest.mark.parametrize(
    ("rule", "until", "refused"),
    [
        ("retry_limit", PUBLISHED_AT + 60.0, False),
        ("retry_limit", PUBLISHED_AT, True),
        ("retry_limit", None, True),
        ("breaker_open", PUBLISHED_AT + 60.0, True),
        ("evidence_threshold", PUBLISHED_AT + 60.0, True),
    ],
)
def test_refusals_that_0_1_did_not_know_are_advice_for_that_long(
    rule: str, until: float | None, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(tmp_path, "0.22", grace_until=until)
    kit: Kit = agent.plugin.kit()
    decision = Decision(allowed=False, message="Do not.", rule=rule)
    monkeypatch.setattr(kit.obedience, "before", lambda *_, **__: decision)
    agent.turn()

    assert agent.call() == ("Do not." if refused else None)
    assert agent.told() == [("blocked", rule) if refused else ("ok", "exit_zero")]
    told = agent.turn("t2")
    assert told == (None if refused else "Do not.")
    assert agent.turn("t3") is None


def test_the_command_says_how_long_new_refusals_are_advice(tmp_path: Path) -> None:
    said = Agent(tmp_path, grace_until=time.time() + 86_400.0).plugin.command()
    assert "new in this version are advice only until 20" in said
    assert KitSettings("timmy").grace_until is None


def test_what_a_skipped_hook_did_not_tell_the_middleware_around_requests_does(agent: Agent) -> None:
    agent.plugin.ask(
        session_id="s1", turn_id="t7", task_id="k7", platform="telegram", model="m", api_mode="x"
    )
    agent.call(turn="t7")

    assert _header(agent, "s1")["platform"] == "telegram"
    assert agent.lines("tool")[0]["model"] == "m"


def test_a_session_that_starts_within_a_call_of_another_is_its_child(agent: Agent) -> None:
    agent.turn()
    given = {"tool_name": "delegate_task", "session_id": "s1", "turn_id": "t1", "tool_call_id": "d"}
    call = agent.plugin.enter(args={}, **given)
    agent.plugin.ask(session_id="child", turn_id="c1", platform="subagent", model="m")
    agent.plugin.ask(session_id="s1", turn_id="t1", platform="cli", model="m")
    agent.plugin.leave(call, result="{}")
    agent.call(session="child", turn="c1")

    assert _header(agent, "child")["parent"] == "s1"
    assert _header(agent, "s1")["parent"] is None
