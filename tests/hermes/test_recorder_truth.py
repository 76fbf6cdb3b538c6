"""The recorder against the truth: what it wrote is what ran, once, with the right outcome and latency."""

from collections import Counter
from typing import Any

import pytest

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.daemon import wait_for
from tests.hermes.support.kit import headers, install_kit, telemetry, tool_lines
from tests.hermes.support.script import Step, ToolCall, call, calls, say, terminal
from timmyd.clock import now
from timmyd.service.hermes_kit import install, plan_install

LATENCY_TOLERANCE_MS = 50.0  # five times what a busy machine takes between two clocks

EVERY_TOOL = ("terminal", "file", "todo", "code_execution", "delegation", "memory")

Key = tuple[str, str, str]


def _truth(agent: HermesAgent) -> list[dict[str, Any]]:
    """What Hermes told its observers of calls that ran and are in a transcript.

    From 0.21 on it does not tell them of calls inside scripts, and 0.22 tells of unusable ones too.
    """
    return [
        record
        for record in agent.home.truth()
        if record["session_id"] and "tool was not executed" not in str(record["result"])
    ]


def _key(record: dict[str, Any]) -> Key:
    return record["session_id"], record["tool_name"], record["tool_call_id"]


def _agree(agent: HermesAgent) -> None:
    """Every execution once, and each latency about as Hermes measured it."""
    lines = [line for line in tool_lines(agent.home.path) if not line["inner"]]
    keys = [(line["session"], line["tool"], line["call_id"]) for line in lines]
    assert Counter(keys) == Counter(map(_key, _truth(agent)))
    truth: dict[Key, list[float]] = {}
    for record in _truth(agent):
        truth.setdefault(_key(record), []).append(float(record["duration_ms"]))
    for key, line in zip(keys, lines, strict=True):
        meant = truth[key].pop(0)
        if line["latency_ms"] is not None:
            assert abs(line["latency_ms"] - meant) <= LATENCY_TOLERANCE_MS


SESSIONS: dict[str, tuple[list[Step], list[tuple[str, str]]]] = {
    "exit codes": (
        terminal("echo ok", "exit 3", "grep zzz a.txt", "kill -9 $$"),
        [("terminal", "ok"), ("terminal", "error"), ("terminal", "ok"), ("terminal", "error")],
    ),
    "a timeout and a start in the background": (
        [
            call("terminal", command="sleep 8", timeout=1),
            call("terminal", command="sleep 1; exit 4", background=True),
            say(),
        ],
        [("terminal", "timeout"), ("terminal", "ok")],
    ),
    "files": (
        [
            call("write_file", path="new.txt", content="hi"),
            call("read_file", path="new.txt"),
            call("read_file", path="missing.txt"),
            call("patch", path="new.txt", old_string="absent", new_string="x"),
            call("search_files", pattern="nothing-like-this", path="."),
            say(),
        ],
        [
            ("write_file", "ok"),
            ("read_file", "ok"),
            ("read_file", "error"),
            ("patch", "error"),
            ("search_files", "ok"),
        ],
    ),
    "a parallel batch": (
        [
            calls(*(ToolCall("read_file", {"path": name}) for name in ("a.txt", "b.txt", "no"))),
            say(),
        ],
        [("read_file", "error"), ("read_file", "ok"), ("read_file", "ok")],
    ),
    "one id for every call": (
        [
            calls(ToolCall("terminal", {"command": "echo 1"}, id="call_0")),
            calls(ToolCall("terminal", {"command": "exit 1"}, id="call_0")),
            calls(ToolCall("terminal", {"command": "echo 3"}, id="call_0")),
            say(),
        ],
        [("terminal", "ok"), ("terminal", "error"), ("terminal", "ok")],
    ),
    "calls that never ran": (
        [
            call("no_such_tool", x=1),
            calls(ToolCall("terminal", "[1, 2]")),
            call("terminal", command="echo after"),
            say(),
        ],
        [("terminal", "ok")],
    ),
    "tools that the agent loop runs itself": (
        [
            call("todo", todos=[{"id": "1", "content": "x", "status": "pending"}]),
            call("memory", action="add", target="memory", content="a fact"),
            say(),
        ],
        [("todo", "ok"), ("memory", "ok")],
    ),
}


@pytest.mark.parametrize("name", SESSIONS)
def test_what_ran_is_recorded_once_with_its_outcome(name: str, hermes: HermesAgent) -> None:
    steps, expected = SESSIONS[name]
    hermes.home.configure({"platform_toolsets": {"cli": list(EVERY_TOOL)}})
    hermes.home.record_truth()
    install_kit(hermes.home)
    for file in ("a.txt", "b.txt"):
        (hermes.home.work / file).write_text(f"this is {file}\n")

    turn = hermes.run_turn(hermes.server.turn(*steps))

    assert turn.exit_code == 0, turn.stderr
    _agree(hermes)
    found = [(line["tool"], line["outcome"]) for line in tool_lines(hermes.home.path)]
    if name == "tools that the agent loop runs itself":  # builds of 0.22 call it todo_list
        offered = hermes.server.requests[0].tool_names
        expected = [(tool, outcome) for tool, outcome in expected if tool in offered]
        assert ("memory", "ok") in expected
    assert (sorted(found) if name == "a parallel batch" else found) == expected


def test_calls_inside_a_script_belong_to_the_session_that_ran_it(hermes: HermesAgent) -> None:
    hermes.home.configure({"platform_toolsets": {"cli": list(EVERY_TOOL)}})
    hermes.home.record_truth()
    install_kit(hermes.home)
    code = (
        "from hermes_tools import terminal, read_file\n"
        "print(terminal('echo inside'))\nprint(read_file('missing.txt'))\n"
    )

    turn = hermes.run_turn(hermes.server.turn(call("execute_code", code=code), say()))

    _agree(hermes)
    lines = tool_lines(hermes.home.path)
    found = [(line["tool"], line["inner"], line["outcome"]) for line in lines]
    assert found == [
        ("terminal", True, "ok"),
        ("read_file", True, "error"),
        ("execute_code", False, "ok"),
    ]
    assert {line["session"] for line in lines} == {turn.session}
    assert len({line["turn"] for line in lines}) == 1


def test_a_resumed_session_is_one_file_with_a_header_for_each_process(hermes: HermesAgent) -> None:
    hermes.home.record_truth()
    install_kit(hermes.home)
    first = hermes.run_turn(hermes.server.turn(*terminal("echo 1", "exit 2")))
    hermes.run_turn(hermes.server.turn(*terminal("echo 3")), resume=first.session)

    _agree(hermes)
    assert [h["session_id"] for h in headers(hermes.home.path)] == [first.session] * 2
    by_run: dict[str, list[int]] = {}
    for line in telemetry(hermes.home.path):
        by_run.setdefault(line["run"], []).append(line["n"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_run.values())
    assert len(by_run) == 2


def test_undone_and_retried_calls_ran_and_are_recorded(hermes: HermesAgent) -> None:
    hermes.home.record_truth()
    install_kit(hermes.home)
    server = hermes.server
    with hermes.conversation() as talk:
        talk.send(server.turn(*terminal("echo first")))
        talk.send(server.turn(*terminal("exit 4")))
        talk.send("/undo")
        talk.send(server.turn(*terminal("echo third")))

    _agree(hermes)
    found = [line["outcome"] for line in tool_lines(hermes.home.path)]
    assert found == ["ok", "error", "ok"]


def test_a_subagents_calls_belong_to_its_own_session(hermes: HermesAgent) -> None:
    hermes.home.configure({"platform_toolsets": {"cli": list(EVERY_TOOL)}})
    hermes.home.record_truth()
    install_kit(hermes.home)
    server = hermes.server
    child = server.turn(*terminal("echo child"), text="do a small thing")
    with hermes.conversation() as talk:
        parent = talk.send(server.turn(call("delegate_task", goal=child), say("delegated")))
        wait_for(lambda: len(tool_lines(hermes.home.path)) >= 2)

    _agree(hermes)
    by_tool = {line["tool"]: line["session"] for line in tool_lines(hermes.home.path)}
    assert by_tool["delegate_task"] == parent
    assert by_tool["terminal"] != parent
    parents = {h["session_id"]: h["parent"] for h in headers(hermes.home.path)}
    assert parents[by_tool["terminal"]] == parent


def test_requests_to_the_model_are_recorded_with_their_tokens(hermes: HermesAgent) -> None:
    hermes.home.record_truth()
    install_kit(hermes.home)
    hermes.run_turn(hermes.server.turn(*terminal("echo 1", "echo 2")))

    truth = hermes.home.truth("post_api_request")
    lines = [line for line in telemetry(hermes.home.path) if line["kind"] == "model"]
    assert len(lines) == len(truth) == 3
    for line, record in zip(lines, truth, strict=True):
        usage: dict[str, Any] = record["usage"] or {}
        assert line["tokens_in"] == usage.get("input_tokens")
        assert line["tokens_out"] == usage.get("output_tokens")
        assert abs(line["latency_ms"] - 1000.0 * record["api_duration"]) <= LATENCY_TOLERANCE_MS
    ends = [line for line in telemetry(hermes.home.path) if line["kind"] == "end"]
    assert [(line["completed"], line["interrupted"]) for line in ends] == [(True, False)]


def test_nothing_that_was_said_is_in_the_telemetry(hermes: HermesAgent) -> None:
    install_kit(hermes.home)
    (hermes.home.work / "secret-file.txt").write_text("hunter2-in-the-output\n")
    hermes.run_turn(
        hermes.server.turn(
            call("terminal", command="cat secret-file.txt; TOKEN=hunter3 false"),
            call("read_file", path="/no/such/hunter4"),
            say("hunter5"),
        )
    )

    folder = hermes.home.sessions_dir / "timmy"
    written = b"".join(path.read_bytes() for path in folder.iterdir())
    assert written.count(b'"kind":"tool"') == 2
    assert b"hunter" not in written
    assert b"secret" not in written
    assert all((path.stat().st_mode & 0o777) == 0o600 for path in folder.iterdir())


def test_each_profile_records_in_its_own_home(hermes: HermesAgent) -> None:
    install_kit(hermes.home)
    profile = hermes.home.path / "profiles" / "ezra"
    profile.mkdir(parents=True)
    settings = hermes.home.config_file.read_text().replace("- timmy", "- nothing")
    (profile / "config.yaml").write_text(settings)
    install(plan_install(profile), now=now())
    place = {"HERMES_HOME": str(profile)}
    agent = HermesAgent(hermes.version, hermes.home.user_home, hermes.server, environment=place)
    agent.run_turn(hermes.server.turn(*terminal("echo here")))

    assert tool_lines(hermes.home.path) == []
    assert len(tool_lines(profile)) == 1
    assert {h["house"] for h in headers(profile)} == {"ezra"}


def test_the_agent_has_a_slash_command_that_tells_what_timmy_sees(hermes: HermesAgent) -> None:
    install_kit(hermes.home, house="ezra")
    with hermes.conversation() as talk:
        talk.send("/timmy")
        said = talk.output

    assert "timmy: house ezra, mode intelligent" in said
    assert "breakers: all closed" in said
