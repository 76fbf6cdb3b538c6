"""Requests and results of a conversation find each other by id, block by block."""

import json
import math
from typing import Any

import msgspec
import pytest

from timmyd.core.model import Call
from timmyd.errors import SessionError
from timmyd.sources.decoding import decode_lenient
from timmyd.sources.messages import Message, as_json, converse, text
from timmyd.sources.times import duration_ms, moment, number

_messages = msgspec.json.Decoder(list[Message])


def calls(*messages: dict[str, Any], plain: bool = False) -> list[Call]:
    return converse(_messages.decode(json.dumps(messages).encode()), plain=plain).calls


def asks(*requests: tuple[Any, str], arguments: Any = "{}") -> dict[str, Any]:
    return {
        "role": "assistant",
        "tool_calls": [
            {"id": call_id, "function": {"name": tool, "arguments": arguments}}
            for call_id, tool in requests
        ],
    }


def answer(call_id: Any, content: Any = "done", **facts: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content} | facts


USER = {"role": "user", "content": "go on"}


def test_results_find_their_requests_whatever_their_order() -> None:
    found = calls(asks(("a", "t1"), ("b", "t2")), answer("b", "2"), answer("a", "1"))

    assert [(call.tool, call.content) for call in found] == [("t1", "1"), ("t2", "2")]


@pytest.mark.parametrize("both", [False, True])
def test_blanks_around_an_id_are_none_of_it(both: bool) -> None:
    request = {"id": "call_7 ", "function": {"name": "t", "arguments": "{}"}}
    asked = {
        "role": "assistant",
        "tool_calls": [request | ({"call_id": "call_7 "} if both else {})],
    }
    assert [call.content for call in calls(asked, answer(" call_7", "1"))] == ["1"]


def test_equal_ids_in_one_block_are_answered_in_order() -> None:
    found = calls(asks(("", "t1"), ("", "t2")), answer("", "1"), answer("", "2"))

    assert [call.content for call in found] == ["1", "2"]


def test_an_id_that_comes_again_belongs_to_the_newest_request() -> None:
    found = calls(asks(("a", "t1")), USER, asks(("a", "t2")), answer("a", "2"), answer("a", "1"))

    assert [call.content for call in found] == ["1", "2"]


def test_a_late_result_finds_its_request_by_its_id_but_never_without_one() -> None:
    found = calls(asks(("a", "t1"), ("", "t2")), USER, answer("a", "1"), answer("", "2"))

    assert [call.content for call in found] == ["1", None]


def test_a_result_nobody_asked_for_is_a_call_only_in_the_plain_form() -> None:
    stray = answer("x", "1", name="terminal")

    assert calls(stray) == []
    (call,) = calls(stray, plain=True)
    assert (call.tool, call.content) == ("terminal", "1")


def test_a_result_without_content_is_an_answer_all_the_same() -> None:
    (call,) = calls(asks(("a", "t1")), answer("a", None))

    assert call.content == ""


def test_calls_after_a_summary_are_marked() -> None:
    summary = USER | {"_compressed_summary": True}

    found = calls(asks(("a", "t")), answer("a"), summary, asks(("b", "t")), answer("b"))

    assert [call.compacted for call in found] == [False, True]


def test_the_bridge_stands_for_the_tool_that_its_arguments_name() -> None:
    arguments = json.dumps({"name": "web_search", "arguments": {"query": "x"}})
    request = asks(("a", "tool_call"), arguments=arguments)

    (named,) = calls(request, answer("a", name="web_search"))
    (unnamed,) = calls(request, answer("a", name="tool_call"))
    (broken,) = calls(asks(("a", "tool_call"), arguments="{"), answer("a", name="web_search"))

    assert (named.tool, json.loads(named.arguments)) == ("web_search", {"query": "x"})
    assert (unnamed.tool, unnamed.arguments) == (named.tool, named.arguments)
    assert (broken.tool, broken.arguments) == ("web_search", "{")


def test_the_opening_is_the_first_turn_with_calls_once_it_ended() -> None:
    messages = [
        USER,
        asks(("a", "t"), ("b", "t")),
        answer("a"),
        answer("b"),
        USER,
        asks(("c", "t")),
    ]
    decoded = _messages.decode(json.dumps(messages).encode())

    assert converse(decoded[:4]).opening == 0
    assert converse(decoded).opening == 2
    assert converse(decoded).opening_words == ["go on"]
    assert converse(decoded).turns == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1.0), (2.5, 2.5), (True, None), ("1", None), (None, None), (10**400, None),
     (math.nan, None), (-math.inf, None)],
)  # fmt: skip
def test_only_finite_numbers_are_numbers(value: Any, expected: float | None) -> None:
    assert number(value) == expected


def test_times_are_after_1970_and_durations_at_most_a_month() -> None:
    assert (moment(1.5e9), moment(0), moment(-3)) == (1.5e9, None, None)
    assert (duration_ms(0), duration_ms(-1), duration_ms(31 * 86_400_000 + 1)) == (0.0, None, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("x", "x"), (17, "17"), (-(2**80), str(-(2**80))), (2**5_000, ""), (True, ""), ([], ""), (1.5, "")],
)  # fmt: skip
def test_an_id_is_a_text_or_a_number_that_can_be_written(value: Any, expected: str) -> None:
    assert text(value) == expected


def test_what_cannot_be_written_as_json_is_empty() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    assert as_json("as it is") == "as it is"
    assert as_json({"a": [1, None]}) == '{"a": [1, null]}'
    assert as_json(deep) == ""
    assert as_json({1, 2}) == ""
    while deep:  # taken apart by hand: letting go of it whole would recurse as deep
        deep = deep[0]


_objects = msgspec.json.Decoder(dict[str, Any])


@pytest.mark.parametrize(
    "data",
    [b'\xef\xbb\xbf{"a": 1}', b'{"a": NaN}', b'{"a": "\\ud800"}', b'{"a": "\xed\xa0\x80"}'],
)
def test_what_hermes_can_leave_is_read(data: bytes) -> None:
    assert list(decode_lenient(data, _objects)) == ["a"]
    assert list(decode_lenient(memoryview(bytearray(data)), _objects)) == ["a"]


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        (b" \n\0", "empty", "byte 0"),
        (b'{"a": ', "torn", "byte 6"),
        (b'{"a": x}', "not_json", "byte 6"),
        (b"[1]", "wrong_type", "$"),
        (b'{"a": ' + b"[" * 100_000, "too_deep", "$"),
        (b'{"a": NaN, "b": ' + b"[" * 100_000, "too_deep", "$"),
    ],
)
def test_what_cannot_be_read_is_refused_by_code_and_place(
    data: bytes, code: str, place: str
) -> None:
    with pytest.raises(SessionError) as caught:
        decode_lenient(data, _objects)

    assert (caught.value.code, caught.value.place) == (code, place)
