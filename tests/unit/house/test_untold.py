"""A hook that Hermes skips loses neither what a model used nor the line of the request, and counts nothing twice."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.house.test_hermes import Agent, Context
from timmyd.house import hermes, session_hooks
from timmyd.house.untold import Untold

MIDDLEWARE = SimpleNamespace(VALID_MIDDLEWARE={"tool_execution", "llm_execution"})
CHAT = SimpleNamespace(prompt_tokens=900, completion_tokens=100, total_tokens=1_000)
CAPS = {"timmy": {"caps": {"tokens_per_day": 50_000}}}


class Asking:
    """An agent whose requests go through the middleware; a test says whether the hook afterwards comes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "hermes_cli.middleware", MIDDLEWARE)
        self.beside = False
        monkeypatch.setattr(session_hooks, "in_side_work", lambda: self.beside)
        self.agent, self.context = Agent(folder, "0.21"), Context()
        hermes.register(self.context, self.agent.plugin)
        self.agent.publish(budgets=CAPS)
        self.agent.turn()

    def request(
        self, request: str, *, told: bool = True, session: str = "s1", fails: bool = False
    ) -> None:
        ids = {"session_id": session, "turn_id": "t1", "api_request_id": request}
        given = {**ids, "model": "m", "provider": "p", "base_url": "http://x", "platform": "cli"}

        def next_call(_: Any) -> Any:
            if fails:
                raise RuntimeError
            return SimpleNamespace(usage=CHAT)

        frame = self.context.middleware["llm_execution"]
        try:
            frame(request={}, next_call=next_call, api_mode="chat_completions", **given)
        except RuntimeError:
            assert fails
        if told:
            self.hook(request, session)

    def hook(self, request: str, session: str = "s1") -> None:
        usage = {"input_tokens": 900, "output_tokens": 100, "total_tokens": 1_000}
        self.agent.plugin.post_api_request(
            session_id=session, api_request_id=request, model="m", provider="p",
            base_url="http://x", usage=usage, api_duration=0.5,
        )  # fmt: skip

    def lines(self) -> list[dict[str, Any]]:
        folder = self.agent.home / "sessions" / "timmy"
        lines = [json.loads(t) for p in folder.glob("*.jsonl") for t in p.read_text().splitlines()]
        return [line for line in lines if line.get("kind") == "model"]

    @property
    def spent(self) -> float:
        budget = self.agent.plugin.kit().requests.budget
        return next(one.used for one in budget.standing())


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asking:
    return Asking(tmp_path, monkeypatch)


def test_a_request_whose_hook_is_skipped_is_recorded_with_the_next_one(asking: Asking) -> None:
    asking.request("r1", told=False)
    assert asking.lines() == []
    asking.request("r2")

    first, second = asking.lines()
    for name in ("model", "provider", "outcome", "tokens_out"):
        assert first[name] == second[name], name
    assert first["tokens_in"] == 900
    assert first["latency_ms"] >= 0.0
    assert asking.spent == 2_000


def test_the_last_one_of_a_turn_is_recorded_with_its_end(asking: Asking) -> None:
    asking.request("r1", told=False)
    asking.agent.plugin.on_session_end(session_id="s1", completed=True, interrupted=False)

    assert len(asking.lines()) == 1
    assert asking.spent == 1_000
    asking.request("r2")
    assert (len(asking.lines()), asking.spent) == (2, 2_000)


def test_a_hook_that_comes_late_counts_nothing_twice(asking: Asking) -> None:
    asking.request("r1", told=False)
    asking.request("r2")
    asking.hook("r1")

    assert (len(asking.lines()), asking.spent) == (2, 2_000)


def test_a_request_that_is_tried_again_under_its_id_counts_again(asking: Asking) -> None:
    asking.request("r1", told=False)
    asking.request("r1", told=False)
    asking.hook("r1")

    assert (len(asking.lines()), asking.spent) == (2, 2_000)


def test_what_failed_is_not_recorded_as_answered(asking: Asking) -> None:
    asking.request("r1", told=False, fails=True)
    asking.agent.plugin.api_request_error(session_id="s1", api_request_id="r1", reason="timeout")
    asking.request("r2")

    assert [line["outcome"] for line in asking.lines()] == ["timeout", "ok"]
    assert asking.spent == 1_000


def test_a_response_that_hermes_cannot_use_is_the_error_that_it_tells(asking: Asking) -> None:
    asking.request("r1", told=False)
    asking.agent.plugin.api_request_error(session_id="s1", api_request_id="r1", reason="timeout")
    asking.request("r2")

    assert [line["outcome"] for line in asking.lines()] == ["timeout", "ok"]


def test_a_review_at_work_does_not_take_what_its_session_is_about_to_tell(asking: Asking) -> None:
    asking.request("r1", told=False)
    asking.beside = True
    asking.request("b1")
    asking.beside = False
    asking.hook("r1")

    assert len(asking.lines()) == 2


def test_an_id_is_needed_to_tell_requests_apart(asking: Asking) -> None:
    asking.request("", told=False)
    asking.request("")

    assert len(asking.lines()) == 1


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (None, None),
        (SimpleNamespace(), None),
        (CHAT, {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1_000}),
        (
            SimpleNamespace(prompt_tokens=9, prompt_tokens_details=SimpleNamespace(cached_tokens=4)),
            {"prompt_tokens": 9, "input_tokens": 5, "cache_read_tokens": 4},
        ),
        (
            SimpleNamespace(input_tokens=5, output_tokens=2, cache_read_input_tokens=4),
            {"input_tokens": 5, "output_tokens": 2, "cache_read_tokens": 4},
        ),
        (SimpleNamespace(input_tokens="5", output_tokens=None), None),
    ],
)  # fmt: skip
def test_what_a_response_used_is_told_in_the_words_of_the_hooks(usage: Any, told: Any) -> None:
    untold = Untold()
    response = SimpleNamespace(usage=usage)
    untold.answered("s", {"api_request_id": "r", "model": "m"}, response, beside=False, seconds=1.0)
    assert untold.take("s", beside=True) == []
    (found,) = untold.take("s", beside=False)

    assert found == {"api_request_id": "r", "model": "m", "usage": told, "api_duration": 1.0}
    assert untold.take("s", beside=False) == []
