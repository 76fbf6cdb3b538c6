"""Where the kit meets tool calls: chosen by what the agent offers; the middleware passes all through."""

import contextvars
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.house.documents import PUBLISHED_AT, open_breaker
from tests.unit.house.test_hermes import FAILED, OK, Agent, Context
from timmyd.house import hermes
from timmyd.house.seam import Seam, seam_of, seams

MIDDLEWARE = SimpleNamespace(VALID_MIDDLEWARE={"tool_request", "tool_execution", "llm_request"})
OLD_MIDDLEWARE = SimpleNamespace(VALID_MIDDLEWARE={"llm_request"})
FAILS_CLOSED = SimpleNamespace(_HOOK_TIMEOUT_FAIL_CLOSED_HOOKS={"pre_tool_call"})
FAILS_OPEN = SimpleNamespace(_HOOK_TIMEOUT_FAIL_CLOSED_HOOKS=set())
CLI, PLUGINS = SimpleNamespace(), SimpleNamespace()


@pytest.mark.parametrize(
    ("modules", "first"),
    [
        ({}, Seam.HOOKS),
        ({"hermes_cli": CLI, "hermes_cli.plugins": PLUGINS}, Seam.HOOKS),
        ({"hermes_cli.middleware": MIDDLEWARE}, Seam.MIDDLEWARE),
        ({"hermes_cli.middleware": OLD_MIDDLEWARE}, Seam.HOOKS),
        ({"hermes_cli.plugins_dispatch": FAILS_CLOSED}, Seam.REPORTS),
        ({"hermes_cli.plugins_dispatch": FAILS_OPEN}, Seam.HOOKS),
        (
            {"hermes_cli.middleware": MIDDLEWARE, "hermes_cli.plugins_dispatch": FAILS_CLOSED},
            Seam.MIDDLEWARE,
        ),
        ({"hermes_cli": CLI}, Seam.REPORTS),  # the agent is in another process
    ],
)
def test_the_seam_is_chosen_by_what_is_there(modules: dict[str, Any], first: Seam) -> None:
    assert next(seams(Context(), modules)) is first


def test_a_context_without_middleware_and_a_plugin_process_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    modules = {"hermes_cli.middleware": MIDDLEWARE, "hermes_cli.plugins_dispatch": FAILS_CLOSED}
    assert next(seams(SimpleNamespace(), modules)) is Seam.REPORTS
    monkeypatch.setenv("HERMES_PLUGIN_HOST_PROCESS", "1")
    assert list(seams(Context(), modules)) == [Seam.REPORTS]
    assert [seam_of(word) for word in ("hooks", "?", None, 7)] == [Seam.HOOKS, None, None, None]
    assert len({seam.words for seam in Seam}) == len(Seam)


class Framed:
    """An agent that wraps its calls, as 0.17 and later do."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        monkeypatch.setitem(sys.modules, "hermes_cli.middleware", MIDDLEWARE)
        monkeypatch.setitem(sys.modules, "hermes_cli.plugins_dispatch", FAILS_CLOSED)
        self.agent = Agent(folder, "0.22", **settings)
        self.context = Context()
        hermes.register(self.context, self.agent.plugin)
        self.ran = 0

    def call(
        self,
        tool: str = "terminal",
        result: Any = OK,
        *,
        run: Callable[[], Any] | None = None,
        **given: Any,
    ) -> Any:
        """One call through the middleware."""
        args = given.pop("args", {"command": "ls"})
        ids = {
            "session_id": "s1", "turn_id": "t1", "task_id": "k1", "tool_call_id": "c1",
            "api_request_id": "r1",
        }  # fmt: skip

        def next_call(passed: Any) -> Any:
            assert passed is args
            self.ran += 1
            return result if run is None else run()

        frame = self.context.middleware["tool_execution"]
        return frame(
            tool_name=tool, args=args, original_args=args, next_call=next_call,
            telemetry_schema_version="x", **{**ids, **given},
        )  # fmt: skip

    def mark(self, status: str, tool: str = "terminal", **given: Any) -> None:
        ids = {
            "session_id": "s1", "turn_id": "t1", "task_id": "k1", "tool_call_id": "c1",
            "api_request_id": "r1",
        }  # fmt: skip
        self.context.hooks["post_tool_call"](
            tool_name=tool, args={}, result="{}", duration_ms=9, status=status, **{**ids, **given}
        )

    def lines(self) -> list[tuple[str, str, str, bool]]:
        return [
            (line["session"], line["tool"], line["outcome"], line["inner"])
            for line in self.agent.lines()
        ]


@pytest.fixture
def framed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Framed:
    return Framed(tmp_path, monkeypatch)


def test_a_call_runs_once_and_is_recorded_once_with_its_latency(framed: Framed) -> None:
    assert "pre_tool_call" not in framed.context.hooks
    assert framed.call(result=FAILED) is FAILED
    framed.mark("error")
    framed.mark("ok")

    assert framed.ran == 1
    (line,) = framed.agent.lines()
    assert (line["outcome"], line["rule"], line["turn"]) == ("error", "exit_nonzero", "t1")
    assert 0.0 < line["latency_ms"] < 1000.0


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("hunter2"), "error"),
        (TimeoutError(), "timeout"),
        (KeyboardInterrupt(), "cancelled"),
        (SystemExit(2), "error"),
    ],
)
def test_what_the_call_raises_passes_unchanged(
    error: BaseException, outcome: str, framed: Framed
) -> None:
    def broken() -> Any:
        raise error

    with pytest.raises(type(error)) as raised:
        framed.call(run=broken)
    assert raised.value is error
    assert framed.ran == 1
    assert [line[2] for line in framed.lines()] == [outcome]
    assert "hunter2" not in json.dumps(framed.agent.lines())


def test_an_open_breaker_answers_in_place_of_the_call(framed: Framed) -> None:
    framed.agent.publish(breakers=[open_breaker("terminal", probe_at=PUBLISHED_AT + 600.0)])
    told = json.loads(framed.call())
    framed.mark("error")

    assert framed.ran == 0
    assert told["error"].startswith("The tool terminal is unavailable since ")
    (line,) = framed.agent.lines()
    assert (line["outcome"], line["rule"], line["latency_ms"]) == ("blocked", "breaker_open", None)


def test_a_call_that_is_wrapped_twice_counts_once(framed: Framed) -> None:
    assert framed.call(run=framed.call) == OK
    assert framed.ran == 2
    assert framed.lines() == [("s1", "terminal", "ok", False)]


def test_a_call_inside_a_script_is_that_of_the_script_also_on_another_thread(
    framed: Framed,
) -> None:
    inner: dict[str, Any] = {
        "session_id": "",
        "turn_id": "",
        "tool_call_id": "",
        "api_request_id": "",
    }

    def script() -> str:
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(lambda: framed.call("read_file", "{}", **inner),)
        )
        thread.start()
        thread.join()
        framed.call("read_file", "{}", **inner)
        return OK

    framed.call("execute_code", run=script)

    assert framed.lines() == [
        ("s1", "read_file", "ok", True),
        ("s1", "read_file", "ok", True),
        ("s1", "execute_code", "ok", False),
    ]
    assert {line["turn"] for line in framed.agent.lines()} == {"t1"}


def test_a_call_that_names_no_session_is_that_of_its_context(framed: Framed) -> None:
    here: contextvars.ContextVar[str] = contextvars.ContextVar("HERMES_SESSION_ID", default="")
    nobody: dict[str, Any] = {
        "session_id": "",
        "task_id": "?",
        "tool_call_id": "",
        "api_request_id": "",
    }
    framed.call("read_file", "{}", **nobody)
    token = here.set("s7")
    framed.call("read_file", "{}", **nobody)
    here.reset(token)

    assert framed.lines() == [("s7", "read_file", "ok", True)]
    assert framed.ran == 2
    assert "not recorded: 1 calls of which Hermes" in framed.agent.plugin.command()


@pytest.mark.parametrize("origin", ["background_review", "side_question"])
def test_what_hermes_does_beside_a_session_is_in_no_transcript(
    origin: str, framed: Framed, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = ["assistant_tool"]
    provenance = SimpleNamespace(get_current_write_origin=lambda: now[0])
    monkeypatch.setitem(sys.modules, "tools.skill_provenance", provenance)
    framed.call()
    now[0] = origin
    framed.call("memory", "{}", turn_id="t9", task_id="k9")
    now[0] = "assistant_tool"
    framed.call(turn_id="", tool_call_id="c3")

    found = [(line["tool"], line["turn"], line["inner"]) for line in framed.agent.lines()]
    assert found == [("terminal", "t1", False), ("memory", "t9", True), ("terminal", "t1", False)]


def test_a_call_that_was_stopped_before_it_came_here_is_marked(framed: Framed) -> None:
    framed.mark("blocked")
    framed.mark("cancelled", tool_call_id="c2")

    assert [line[2] for line in framed.lines()] == ["blocked", "cancelled"]


def test_a_call_without_an_id_that_was_stopped_is_told_from_those_before_it(framed: Framed) -> None:
    inner: dict[str, Any] = {"session_id": "", "tool_call_id": "", "api_request_id": ""}

    def script() -> str:
        framed.call("read_file", "{}", **inner)
        framed.mark("blocked", "read_file", **inner)
        return OK

    framed.call("execute_code", run=script)

    assert [line[1:] for line in framed.lines()] == [
        ("read_file", "ok", True),
        ("read_file", "blocked", True),
        ("execute_code", "ok", False),
    ]


def test_a_call_that_was_stopped_within_is_no_error(framed: Framed) -> None:
    def stopped() -> str:
        framed.mark("blocked")
        return '{"error": "not this one"}'

    framed.call(run=stopped)

    assert [line[2] for line in framed.lines()] == ["blocked"]


def test_an_abandoned_call_is_over_when_hermes_says_so(framed: Framed) -> None:
    running, over = threading.Event(), threading.Event()

    def slow() -> str:
        running.set()
        over.wait(10)
        return OK

    thread = threading.Thread(target=framed.call, kwargs={"run": slow})
    thread.start()
    running.wait(10)
    framed.mark("timeout")
    over.set()
    thread.join()

    (line,) = framed.agent.lines()
    assert (line["outcome"], line["latency_ms"]) == ("timeout", 9.0)


def test_a_mark_that_comes_late_says_nothing_new_but_the_next_request_may_use_the_id_again(
    framed: Framed,
) -> None:
    def interrupted() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        framed.call(run=interrupted)
    framed.mark("cancelled")
    framed.mark("blocked", api_request_id="r2")

    assert [line[2] for line in framed.lines()] == ["cancelled", "blocked"]


def test_where_the_call_cannot_be_made_from_here_hermes_makes_it(framed: Framed) -> None:
    frame = framed.context.middleware["tool_execution"]
    with pytest.raises(TypeError):  # Hermes goes on without a middleware that raises
        frame(tool_name="terminal", args={}, next_call=object(), session_id="s1")
    assert framed.lines() == []


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
@pytest.mark.parametrize("place", ["enter", "leave", "mark", "kit", "_caller"])
def test_nothing_of_ours_reaches_the_agent_whatever_it_is(
    place: str, error: type[BaseException], framed: Framed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(type(framed.agent.plugin), place, broken)
    context = Context()
    hermes.register(context, framed.agent.plugin)
    framed.context = context

    assert framed.call() is OK
    framed.mark("blocked", tool_call_id="c2")
    assert framed.ran == 1


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, RuntimeError])
def test_a_registration_that_breaks_is_none(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    agent = Agent(tmp_path)
    monkeypatch.setattr(hermes, "_attach", broken)
    hermes.register(Context(), agent.plugin)
    assert agent.plugin.seam is Seam.REPORTS


def test_only_hooks_that_this_hermes_knows_are_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = SimpleNamespace(VALID_HOOKS={"pre_llm_call", "on_session_end"})
    monkeypatch.setitem(sys.modules, "hermes_cli.plugins", plugins)
    context = Context()
    hermes.register(context, Agent(tmp_path).plugin)

    assert set(context.hooks) == {
        "pre_tool_call", "post_tool_call", "pre_llm_call", "on_session_end",
    }  # fmt: skip


def test_without_middleware_where_hooks_fail_closed_the_kit_listens_and_refuses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hermes_cli.plugins_dispatch", FAILS_CLOSED)
    agent, context = Agent(tmp_path, "0.22"), Context()
    agent.publish(breakers=[open_breaker("terminal")])
    hermes.register(context, agent.plugin)
    assert "pre_tool_call" not in context.hooks
    given = {"tool_name": "terminal", "session_id": "s1", "tool_call_id": "c1"}
    context.hooks["post_tool_call"](**given, args={}, result=OK, status="ok", duration_ms=5)

    assert agent.told() == [("ok", "exit_zero")]
    assert agent.plugin.kit().recorder.seam == "reports"


def test_sessions_with_the_same_ids_keep_apart_where_hooks_are_safe(tmp_path: Path) -> None:
    agent = Agent(tmp_path, "0.15")
    for number in range(4):
        agent.call("todo", {}, "{}", session=f"s{number}", task=f"k{number}")
    barrier = threading.Barrier(4)

    def script(number: int) -> None:
        barrier.wait()
        for _ in range(25):
            agent.call("read_file", {}, "{}", session="", task=f"k{number}", call_id="")

    threads = [threading.Thread(target=script, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    inner = [line["session"] for line in agent.lines() if line["inner"]]
    assert [inner.count(f"s{number}") for number in range(4)] == [25] * 4
