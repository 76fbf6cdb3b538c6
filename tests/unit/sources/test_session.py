"""The plain form of a session, and other programs' JSON beside it."""

import json
from datetime import UTC
from typing import Any

import pytest

from timmyd.errors import SessionError
from timmyd.sources import classify
from timmyd.sources.session import decode, from_dict

PLAIN: dict[str, Any] = {
    "session_id": "s1",
    "model": "hermes3:8b",
    "started_at": 1795381822.5,
    "messages": [
        {"role": "user", "content": "do it"},
        {"role": "tool", "name": "terminal", "error": None, "content": "{}",
         "execution_time_ms": 12.5, "params": {"command": "ls"}, "timestamp": 1795381823.0},
        {"role": "tool", "name": "read_file", "error": "no such file", "tool_call_id": "c1"},
        {"role": "tool", "name": "web_search"},
    ],
}  # fmt: skip


def shown(**changes: Any) -> Any:
    found = decode(json.dumps(PLAIN | changes).encode(), zone=UTC, fallback_id="by_name")
    assert found is not None
    return found


def test_results_alone_are_calls_with_their_own_verdict_time_and_arguments() -> None:
    first, second, third = shown().calls

    assert (first.tool, first.latency_ms, first.at) == ("terminal", 12.5, 1795381823.0)
    assert json.loads(first.arguments) == {"command": "ls"}
    assert (second.tool, second.verdict, second.call_id) == ("read_file", "error", "c1")
    assert (third.tool, third.verdict) == ("web_search", "ok")


def test_a_result_answers_its_request_and_is_no_second_call() -> None:
    request = {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "terminal"}}]}
    answer = {"role": "tool", "tool_call_id": "c1", "content": "x", "error": "failed"}

    (call,) = shown(messages=[request, answer]).calls

    assert (call.tool, call.verdict, call.content) == ("terminal", "error", "x")


def test_a_missing_id_is_replaced_by_the_files_name() -> None:
    assert shown().session_id == "s1"
    assert shown(session_id=None).session_id == "by_name"
    assert shown(session_id=17).session_id == "17"


@pytest.mark.parametrize(
    ("started_at", "expected"),
    [(1795381822.5, 1795381822.5), ("1970-01-01T01:00:00", 3600.0), (-5, None), (True, None), ("soon", None)],
)  # fmt: skip
def test_the_start_may_be_a_number_or_a_time(started_at: Any, expected: float | None) -> None:
    assert shown(started_at=started_at).started_at == expected


@pytest.mark.parametrize("data", [b"{}", b"[]", b"17", b'"messages"', b'{"messages": null}'])
def test_another_programs_json_is_none_of_ours(data: bytes) -> None:
    assert decode(data) is None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"\0\0\0", "empty"),
        (b'{"messages": [', "torn"),
        (b"messages", "not_json"),
        (b'{"messages": {}}', "wrong_type"),
    ],
)
def test_what_is_broken_is_refused_by_code_and_place_without_content(
    data: bytes, code: str
) -> None:
    with pytest.raises(SessionError) as caught:
        decode(data)

    assert caught.value.code == code
    assert caught.value.place


@pytest.mark.parametrize("time_ms", [-1, 1e300, "12", True, None])
def test_a_duration_that_cannot_be_is_unknown(time_ms: Any) -> None:
    message = {"role": "tool", "name": "terminal", "execution_time_ms": time_ms}

    assert shown(messages=[message]).calls[0].latency_ms is None


def test_a_session_that_is_a_dict_already_is_the_same() -> None:
    assert from_dict(PLAIN, zone=UTC) == decode(json.dumps(PLAIN).encode(), zone=UTC)
    assert from_dict({}) is None
    with pytest.raises(SessionError) as caught:
        from_dict({"messages": 1})
    assert (caught.value.code, caught.value.place) == ("wrong_type", "$.messages")


@pytest.mark.parametrize(
    ("name", "folder", "source"),
    [
        ("session_1.json", "", "snapshot"),
        ("notes.json", "", "session"),
        ("a.jsonl", "timmy", "telemetry"),
        ("a.jsonl", "", None),
        ("session_1.json", "timmy", None),
        ("sessions.json", "", None),
        ("request_dump_1.json", "", None),
        (".session_1.json", "", None),
        ("session_1.json.tmp", "", None),
        ("session_1.json~", "", None),
        ("session_1.sync-conflict-20261122.json", "", None),
        ("session_1 (conflicted copy).json", "", None),
        ("session_1.json.part", "", None),
        ("readme.txt", "", None),
    ],
)
def test_a_files_name_and_folder_say_who_reads_it(
    name: str, folder: str, source: str | None
) -> None:
    assert classify(name, folder) == source
