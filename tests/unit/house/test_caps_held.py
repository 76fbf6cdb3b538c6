"""Where no request can be stopped, caps are said not to be held: by `/timmy`, in the telemetry, and so by `check`."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.house.test_hermes import OK, Agent, Context
from timmyd.house import hermes
from timmyd.house.seam import Caps, caps_of, wraps_requests

BOTH = SimpleNamespace(VALID_MIDDLEWARE={"tool_execution", "llm_execution"})
TOOLS_ONLY = SimpleNamespace(VALID_MIDDLEWARE={"tool_execution"})
CAPS = {"timmy": {"caps": {"tokens_per_day": 5_000}}}


@pytest.mark.parametrize(
    ("modules", "wraps"),
    [
        ({"hermes_cli.middleware": BOTH}, True),
        ({"hermes_cli.middleware": TOOLS_ONLY}, False),
        ({}, False),
        ({"hermes_cli": SimpleNamespace(), "hermes_cli.middleware": BOTH}, False),  # elsewhere
    ],
)
def test_whether_requests_can_be_stopped_is_told_by_what_is_there(
    modules: dict[str, Any], wraps: bool
) -> None:
    assert wraps_requests(Context(), modules) is wraps
    assert not wraps_requests(SimpleNamespace(), modules)


def _agent(folder: Path, monkeypatch: pytest.MonkeyPatch, middleware: Any) -> tuple[Agent, Context]:
    monkeypatch.setitem(sys.modules, "hermes_cli.middleware", middleware)
    agent, context = Agent(folder, "0.22"), Context()
    hermes.register(context, agent.plugin)
    agent.publish(budgets=CAPS)
    agent.turn()
    return agent, context


def _request(context: Context, api_mode: str, session: str = "s1") -> Any:
    frame = context.middleware["llm_execution"]
    return frame(
        request={}, next_call=lambda _: "answered", session_id=session, turn_id="t1", model="m",
        api_mode=api_mode, platform="cli",
    )  # fmt: skip


def _told(agent: Agent) -> list[str | None]:
    """What each line of the telemetry says of caps."""
    (path,) = (agent.home / "sessions" / "timmy").glob("*.jsonl")
    return [json.loads(line).get("caps") for line in path.read_text().splitlines()]


def test_a_hermes_that_lets_no_request_be_stopped_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, context = _agent(tmp_path, monkeypatch, TOOLS_ONLY)
    agent.call("terminal", OK)

    assert "llm_execution" not in context.middleware
    assert f"budget: {Caps.NO_WAY.words}" in agent.plugin.command("").splitlines()
    assert _told(agent) == ["no_way", None]


def test_without_caps_nothing_is_said_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hermes_cli.middleware", TOOLS_ONLY)
    agent = Agent(tmp_path, "0.22")
    hermes.register(Context(), agent.plugin)
    agent.publish()
    agent.turn()

    assert "held here" not in agent.plugin.command("")


def test_a_mode_that_we_cannot_answer_in_passes_at_the_cap_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, context = _agent(tmp_path, monkeypatch, BOTH)
    assert "held here" not in agent.plugin.command("")
    assert _request(context, "chat_completions") == "answered"
    agent.call("terminal", OK)
    assert "held here" not in agent.plugin.command("")
    agent.plugin.post_api_request(session_id="s1", model="m", usage={"total_tokens": 9_000})

    assert _request(context, "bedrock_converse") == "answered"
    assert f"budget: {Caps.UNKNOWN_MODE.words}" in agent.plugin.command("").splitlines()
    agent.call("terminal", OK)
    assert _told(agent) == ["held", None, None, "unknown_mode"]
    assert _request(context, "chat_completions") != "answered"
    assert "held here" not in agent.plugin.command("")
    assert _told(agent)[-1] == "held"


def test_words_of_other_kits_say_nothing() -> None:
    assert [caps_of(word) for word in ("held", "?", None, 7)] == [Caps.HELD, None, None, None]
    assert len({caps.words for caps in Caps}) == len(Caps)
