"""The rig itself: what a real agent does with a scripted model, and what it leaves behind."""

import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.environment import (
    HERMES_019,
    REQUIREMENTS,
    HermesUnavailableError,
    hermes_environment,
)
from tests.hermes.support.script import Fail, Hold, ToolCall, call, calls, say


def _contents(snapshot: dict[str, Any]) -> list[str]:
    return [m["content"] for m in snapshot["messages"] if m["role"] == "tool"]


def test_calls_of_every_kind_and_a_resumed_session_are_kept(hermes: HermesAgent) -> None:
    hermes.home.record_truth()
    for name in ("a.txt", "b.txt"):
        (hermes.home.work / name).write_text(f"this is {name}\n")
    server = hermes.server
    first = hermes.run_turn(
        server.turn(
            call("terminal", command="echo fine"),
            call("terminal", command="exit 3"),
            call("no_such_tool", x=1),
            calls(
                ToolCall("read_file", {"path": "a.txt"}), ToolCall("read_file", {"path": "b.txt"})
            ),
            say("first turn over"),
        )
    )
    second = hermes.run_turn(
        server.turn(call("terminal", command="echo again"), say("second turn over")),
        resume=first.session,
    )

    assert (first.completed, first.stdout.strip()) == (True, "first turn over")
    assert (second.completed, second.stdout.strip()) == (True, "second turn over")
    assert second.session == first.session
    results = [row["content"] for row in hermes.home.tool_rows(first.session)]
    assert len(results) == 6
    exit_codes = [json.loads(results[i])["exit_code"] for i in (0, 1, 5)]
    assert exit_codes == [0, 3, 0]
    assert "does not exist" in results[2]
    assert ["this is a.txt" in results[3], "this is b.txt" in results[4]] == [True, True]
    snapshots = hermes.home.snapshots()
    if hermes.version == HERMES_019:
        assert _contents(snapshots[first.session]) == results
    else:
        assert snapshots == {}
    ran = [record["tool_name"] for record in hermes.home.truth()]
    assert ran == ["terminal", "terminal", "read_file", "read_file", "terminal"]
    assert all(record["session_id"] == first.session for record in hermes.home.truth())


def test_the_model_is_told_what_the_tools_answered(hermes: HermesAgent) -> None:
    turn = hermes.server.turn(
        call("terminal", command="echo violet"),
        lambda request: say("seen" if "violet" in request.tool_results[-1] else "not seen"),
    )

    assert hermes.run_turn(turn).stdout.strip() == "seen"
    assert len(hermes.server.requests_of(turn)) == 2


def test_one_process_takes_several_messages(hermes: HermesAgent) -> None:
    server = hermes.server
    with hermes.conversation() as conversation:
        first = conversation.send(server.turn(call("terminal", command="echo one"), say()))
        second = conversation.send(server.turn(call("terminal", command="echo two"), say()))
        fresh = conversation.send("/new")
        third = conversation.send(server.turn(call("terminal", command="echo three"), say()))

    assert first == second != third == fresh
    assert [len(hermes.home.tool_rows(sid)) for sid in (first, third)] == [2, 1]


def test_ids_are_sent_as_the_script_has_them(hermes: HermesAgent) -> None:
    twice = ToolCall("terminal", {"command": "echo same id"}, id="call_0")
    result = hermes.run_turn(hermes.server.turn(calls(twice), calls(twice), say()))

    ids = [row["tool_call_id"] for row in hermes.home.tool_rows(result.session)]
    # The newer line itself makes a repeated id different.
    assert ids == ["call_0", "call_0" if hermes.version == HERMES_019 else "call_0_d2"]


def test_a_failing_model_is_asked_again(hermes_019: HermesAgent) -> None:
    turn = hermes_019.server.turn(Fail(503), say("back again"))

    assert hermes_019.run_turn(turn).stdout.strip() == "back again"
    assert len(hermes_019.server.requests_of(turn)) == 2


def test_an_agent_can_be_killed_while_its_model_thinks(hermes: HermesAgent) -> None:
    asked, never = threading.Event(), threading.Event()

    def think(_: object) -> Hold:
        asked.set()
        return Hold(never, say())

    turn = hermes.server.turn(call("terminal", command="echo done before"), think)
    running = hermes.start_turn(turn)
    assert asked.wait(60)
    killed = running.kill()
    never.set()

    assert killed.exit_code == -signal.SIGKILL
    assert not killed.completed
    (session,) = hermes.home.sessions()
    # 0.17 and later save a call as soon as it has run.
    assert len(hermes.home.tool_rows(session["id"])) == 1


def test_a_build_that_failed_says_why_and_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMMY_TEST_CACHE", str(tmp_path))
    monkeypatch.setitem(REQUIREMENTS, "none", str(tmp_path / "missing.whl"))
    with pytest.raises(HermesUnavailableError, match=r"(?s)hermes none: pip failed.*missing\.whl"):
        hermes_environment("none")

    (half_built,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (half_built / "left-over").touch()
    monkeypatch.setitem(REQUIREMENTS, "none", "pip")  # there already: nothing to fetch
    assert hermes_environment("none") == half_built
    assert not (half_built / "left-over").exists()

    (half_built / "kept").touch()
    assert hermes_environment("none") == half_built
    assert (half_built / "kept").exists()
