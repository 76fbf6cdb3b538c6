"""Hostile input: whatever bytes a file holds, a decoder says what is wrong with it, or something that can be stored."""

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from timmyd.core.model import Session
from timmyd.core.tasks import TaskTable
from timmyd.engine import IntelligenceEngine
from timmyd.engine.ingest import Ingest
from timmyd.engine.intake import Origin
from timmyd.errors import SessionError
from timmyd.sources import session as plain, snapshot, telemetry
from timmyd.store.database import PatternDatabase

NOW = 1_795_500_000.0
SECRET = "zq7secretzq7"

SNAPSHOT: dict[str, Any] = {
    "session_id": "20261122_215224_eeaaf7",
    "model": "hermes3:8b",
    "base_url": None,
    "platform": "cli",
    "session_start": "2026-11-22T21:52:28.096616",
    "last_updated": "2026-11-22T21:52:32.223076",
    "message_count": 5,
    "messages": [
        {"role": "user", "content": "do the work"},
        {
            "role": "assistant",
            "content": "",
            "_db_persisted": True,
            "tool_calls": [
                {
                    "id": "call_1",
                    "function": {"name": "terminal", "arguments": '{"command": "ls"}'},
                },
                {"id": "call_2", "function": {"name": "read_file", "arguments": '{"path": "a"}'}},
            ],
        },
        {"role": "tool", "content": '{"exit_code": 1, "error": null}', "tool_call_id": "call_1"},
        {"role": "tool", "content": [{"type": "text", "text": "x"}], "tool_call_id": "call_2"},
        {"role": "tool", "name": "terminal", "error": "no", "execution_time_ms": 3, "params": {}},
        {
            "role": "user",
            "content": "go on",
            "timestamp": 1795384345.2,
            "_compressed_summary": True,
        },
    ],
}
LINES: list[dict[str, Any]] = [
    {"schema": "timmy.telemetry/1", "run": "0123456789abcdef", "session_id": "s1", "house": "ezra"},
    {
        "run": "0123456789abcdef",
        "n": 1,
        "at": 1795381822.24,
        "kind": "tool",
        "tool": "terminal",
        "call_id": "call_0",
        "inner": False,
        "model": "hermes3:8b",
        "signature": "9f2c9f2c9f2c9f2c",
        "shape": "git status",
        "outcome": "error",
        "rule": "exit_nonzero",
        "error_type": "exit_128",
        "latency_ms": 740.2,
        "policy": 17,
        "followed": True,
    },
    {
        "run": "0123456789abcdef",
        "n": 2,
        "at": 1795381823.0,
        "kind": "model",
        "model": "m",
        "outcome": "ok",
        "latency_ms": 429.7,
        "tokens_in": 1000,
        "tokens_out": 20,
    },
    {
        "run": "0123456789abcdef",
        "n": 3,
        "at": 1795381824.0,
        "kind": "end",
        "completed": True,
        "interrupted": False,
    },
]

WEIRD: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    -(2**70),
    1e308,
    -1e308,
    math.nan,
    math.inf,
    -math.inf,
    "",
    "\ud800",
    "\0",
    "\x1b[2J",
    "\u202e" + SECRET,
    SECRET * 900,
    "9999-12-31T23:59:59",
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00",
    [],
    {},
    [[]],
    {"a": {"b": [1, {}]}},
    [None, 1, "x", {}],
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["messages", "role", "id", "x"]), inner)
    ),
    max_leaves=20,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found.extend(places(item, (*path, key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found.extend(places(item, (*path, index)))
    return found


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    result = copy.deepcopy(value)
    inner = result
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return result


def encoded(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")


def take(source: Any, data: bytes, house: str = "ezra") -> None:
    """Decode; if that gives something, record it and build all that is published and shown of it."""
    database = PatternDatabase(":memory:", clock=lambda: NOW)
    try:
        origin = Origin("/home/x/.hermes", house, source, "name", NOW - 5, NOW)
        with database.batch() as batch:
            try:
                Ingest(tasks=TaskTable.default()).take(batch, origin, data, None)
            except SessionError as error:
                check_words(error)
        assert len(database.executions_after(0, 1_000)) == database.counters()["executions"]
        engine = IntelligenceEngine(database, clock=lambda: NOW)
        engine.analyze_and_adapt()
        json.dumps(engine.policy_document(), allow_nan=False).encode()
        for pattern in database.get_model_performance():
            json.dumps(pattern.to_dict(), allow_nan=False)
        json.dumps(database.get_house_performance(house), allow_nan=False)
        database.tool_counts(0.0)
    finally:
        database.close()


def check_words(error: SessionError) -> None:
    assert error.code
    assert error.code.isidentifier()
    assert SECRET not in str(error)
    assert len(str(error)) < 400
    str(error).encode()


SOURCES: list[tuple[str, Any]] = [("snapshot", SNAPSHOT), ("session", SNAPSHOT)]


@pytest.mark.parametrize("source", ["snapshot", "session", "telemetry"])
@given(data=st.binary(max_size=300))
@example(data=b"")
@example(data=b"\0" * 100)
@example(data=b"\xef\xbb\xbf{}")
@example(data=b'{"messages": ' + b"[" * 100_000)
@example(data=b"[" * 3_000 + b"]" * 3_000)
@example(
    data=b'{"session_id":"x","messages":[{"role":"tool","tool_call_id":' + b"9" * 5_000 + b"}]}"
)
@example(data=b'{"session_id":"x","session_id":"y","messages":[],"messages":[{"role":"user"}]}')
@example(data=b'{"session_id":"x","messages":[{"role":"user","content":NaN,"timestamp":Infinity}]}')
def test_arbitrary_bytes_are_refused_in_words_or_taken(source: str, data: bytes) -> None:
    take(source, data)


@pytest.mark.parametrize("source", ["snapshot", "session"])
@given(value=json_values)
def test_arbitrary_json_is_refused_in_words_or_taken(source: str, value: Any) -> None:
    take(source, encoded(value))
    take(source, encoded({"session_id": "x", "messages": value}))
    take(source, encoded({"session_id": "x", "messages": [{"role": "tool", "content": value}]}))


@given(value=json_values)
def test_arbitrary_lines_of_telemetry_cost_only_themselves(value: Any) -> None:
    data = b"\n".join(
        [encoded(LINES[0]), encoded(value).replace(b"\n", b" "), encoded(LINES[1]), b""]
    )
    found = telemetry.decode(data, {})
    assert [line.n for line in found.lines if line.kind == "tool"][-1:] == [1]
    take("telemetry", data)


@pytest.mark.parametrize("name", [name for name, _ in SOURCES])
@pytest.mark.parametrize("weird", WEIRD, ids=lambda value: repr(value)[:24])
def test_a_wrong_value_at_any_place_is_refused_in_words_or_taken(name: str, weird: Any) -> None:
    for place in places(SNAPSHOT):
        take(name, encoded(replaced(SNAPSHOT, place, weird)))


@pytest.mark.parametrize("weird", WEIRD, ids=lambda value: repr(value)[:24])
def test_a_wrong_value_at_any_place_of_telemetry_is_refused_in_words_or_taken(weird: Any) -> None:
    for place in places(LINES):
        if len(place) > 1:
            lines = replaced(LINES, place, weird)
            take("telemetry", b"".join(encoded(line) + b"\n" for line in lines))


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize("depth", [50, 400, 900, 990, 1_100, 20_000])
@pytest.mark.parametrize(
    "hole",
    [
        b'{"role":"tool","tool_call_id":"c","content":%s}',
        b'{"role":"tool","name":"x","params":%s}',
        b'{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"x","arguments":%s}}]}',
        b'{"role":"tool","content":[{"type":%s}]}',
        b'{"role":"user","content":%s}',
        b'{"role":"user","unknown":%s}',
    ],
)
@pytest.mark.parametrize("source", ["snapshot", "session"])
def test_nesting_of_any_depth_is_refused_in_words_or_taken(
    source: str, hole: bytes, depth: int
) -> None:
    message = hole.replace(b"%s", nested(depth))
    request = (
        b'{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"x","arguments":"{}"}}]}'
    )
    take(source, b'{"session_id":"s","messages":[' + request + b"," + message + b"]}")


@pytest.mark.parametrize("cut", range(1, 100, 7))
def test_a_torn_file_is_told_from_one_that_is_no_json(cut: int) -> None:
    whole = encoded(SNAPSHOT)
    with pytest.raises(SessionError) as caught:
        snapshot.decode(whole[: len(whole) * cut // 100])
    assert caught.value.code == "torn"


DECODERS: list[Callable[[bytes], Session | None]] = [snapshot.decode, plain.decode]


@pytest.mark.parametrize("decode", DECODERS)
def test_what_is_decoded_has_neither_impossible_times_nor_impossible_latencies(
    decode: Callable[[bytes], Session | None],
) -> None:
    for weird in (-1, 0, 1e308, 2**70, True, "x"):
        value = replaced(SNAPSHOT, ("messages", 2, "timestamp"), weird)
        value = replaced(value, ("messages", 4, "execution_time_ms"), weird)
        for start in ("0001-01-01T00:00:00+14:00", "1969-12-31T00:00:00Z", weird):
            session = decode(encoded(value | {"session_start": start, "last_updated": start}))
            assert session is not None
            times = [session.started_at, session.updated_at, *(call.at for call in session.calls)]
            assert all(at is None or (math.isfinite(at) and at > 0) for at in times)
            slow = [call.latency_ms for call in session.calls if call.latency_ms is not None]
            assert all(0 <= latency <= 31 * 86_400_000 for latency in slow)


def test_no_sum_can_be_driven_over_what_a_database_holds() -> None:
    lines = [LINES[0]]
    lines += [LINES[1] | {"n": n, "latency_ms": 1e308, "confidence": 1e308} for n in range(10)]
    lines += [LINES[2] | {"n": 100 + n, "tokens_in": 2**62, "tokens_out": 2**62} for n in range(10)]
    take("telemetry", b"".join(encoded(line) + b"\n" for line in lines))
