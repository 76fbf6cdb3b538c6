"""A snapshot that grows is decoded from its checkpoint on; what that gives equals decoding all of it."""

import copy
import json
from datetime import UTC
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from timmyd.core.model import Session
from timmyd.errors import SessionError
from timmyd.sources import snapshot
from timmyd.sources.snapshot import TAIL_FROM_BYTES, decode
from timmyd.sources.times import moment

HEAD: dict[str, Any] = {
    "session_id": "20261122_215224_eeaaf7",
    "model": "hermes3:8b",
    "platform": "cli",
    "session_start": "2026-11-22T21:52:28.096616",
    "last_updated": "2026-11-22T21:52:32.223076",
}
PADDING = {"role": "user", "content": "x" * (TAIL_FROM_BYTES + 1_000), "_db_persisted": True}
Json = dict[str, Any]


def request(number: int, **facts: Any) -> Json:
    function = {"name": "terminal", "arguments": json.dumps({"command": f"step {number}"})}
    call = {"id": f"call_{number}", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call], "_db_persisted": True} | facts


def result(number: int, **facts: Any) -> Json:
    content = json.dumps({"output": "\n    }\n  ]", "exit_code": number % 2, "error": None})
    return {"role": "tool", "content": content, "tool_call_id": f"call_{number}", "_db_persisted": True} | facts  # fmt: skip


def words(text: str = "go on", **facts: Any) -> Json:
    return {"role": "user", "content": text, "_db_persisted": True} | facts


def turns(numbers: range) -> list[Json]:
    return [m for n in numbers for m in (words(), request(n), result(n))]


def write(messages: list[Json], *, head: Json = HEAD, trailing: Json | None = None) -> bytes:
    return json.dumps({**head, "messages": messages, **(trailing or {})}, indent=2).encode()


def from_view(data: bytes, resume: Any) -> Session:
    """Decode from a view of a reused buffer, behind whose end lies the rest of another file."""
    buffer = bytearray(data + b'\n      "_db_persisted": true\n    }' * 9)
    return decode(memoryview(buffer)[: len(data)], zone=UTC, resume=resume)


def check_grown(before: bytes, after: bytes, *, resumes: bool | None = None) -> Session:
    """The tail of `after` is the end of the whole of it, and says the same of the session."""
    resume = decode(before, zone=UTC).checkpoint
    whole = decode(after, zone=UTC)
    for found in (decode(after, zone=UTC, resume=resume), from_view(after, resume)):
        skipped = 0 if found.resumed is None else found.resumed.calls
        assert found.calls == whole.calls[skipped:]
        for name in ("session_id", "model", "platform", "started_at", "updated_at", "start_key"):
            assert getattr(found, name) == getattr(whole, name), name
        if resumes is not None:
            assert (found.resumed is not None) is resumes
        if found.checkpoint is not None and whole.checkpoint is not None:
            assert found.checkpoint.calls <= len(whole.calls)
    return found


def test_a_small_file_is_decoded_whole_and_has_no_checkpoint() -> None:
    found = decode(write(turns(range(3))), zone=UTC)

    assert len(found.calls) == 3
    assert found.checkpoint is None
    assert found.turns == 3


def test_growth_is_decoded_from_the_checkpoint_on() -> None:
    old = [PADDING, *turns(range(5))]

    found = check_grown(write(old), write([*old, *turns(range(5, 8))]), resumes=True)

    assert [call.call_id for call in found.calls] == ["call_5", "call_6", "call_7"]


def test_growth_goes_on_from_the_checkpoint_of_a_tail() -> None:
    messages = [PADDING, *turns(range(2))]
    resume = decode(write(messages), zone=UTC).checkpoint
    for number in range(2, 6):
        messages += turns(range(number, number + 1))
        found = decode(write(messages), zone=UTC, resume=resume)
        assert [call.call_id for call in found.calls] == [f"call_{number}"]
        assert found.checkpoint == decode(write(messages), zone=UTC).checkpoint
        resume = found.checkpoint


def test_a_file_that_did_not_grow_shows_nothing_new() -> None:
    data = write([PADDING, *turns(range(3))])

    found = check_grown(data, data, resumes=True)

    assert found.calls == []


@pytest.mark.parametrize("place", [0, 1, 2, 3, 9])
def test_an_edited_old_message_is_seen(place: int) -> None:
    old = [PADDING, *turns(range(4))]
    new = copy.deepcopy([*old, *turns(range(4, 6))])
    new[place]["content"] = "y" + str(new[place]["content"])[1:]

    found = check_grown(write(old), write(new), resumes=False)

    assert len(found.calls) == 6


def test_a_truncated_conversation_is_decoded_whole() -> None:
    old = [PADDING, *turns(range(6))]
    for kept in (1, 4, 7, len(old) - 1):
        check_grown(write(old), write(old[:kept]), resumes=False)
        check_grown(write(old), write([*old[:kept], *turns(range(50, 52))]), resumes=False)


TRAILING: list[Json] = [
    {"note": "end"},
    {"last_updated": "2026-11-23T08:00:00", "model": "other:7b"},
    {"extra": [{"_db_persisted": True}]},
    {"extra": {"messages": [{"role": "tool", "_db_persisted": True}]}},
]


@pytest.mark.parametrize("trailing", TRAILING)
def test_keys_after_the_messages_change_nothing(trailing: Json) -> None:
    old = [PADDING, *turns(range(3)), request(3, _db_persisted=False)]
    new = [*old[:-1], request(3), result(3), *turns(range(4, 6))]

    found = check_grown(write(old, trailing=trailing), write(new, trailing=trailing), resumes=True)

    assert [call.call_id for call in found.calls] == ["call_3", "call_4", "call_5"]


def test_a_session_id_after_the_messages_is_found() -> None:
    head = {"model": "m"}
    old = [PADDING, *turns(range(2))]
    trailing = {"session_id": "late"}

    check_grown(
        write(old, head=head, trailing=trailing),
        write([*old, *turns(range(2, 4))], head=head, trailing=trailing),
    )


def test_results_that_come_after_the_checkpoint_reach_their_request() -> None:
    old = [PADDING, *turns(range(2)), words(), request(2)]

    found = check_grown(write(old), write([*old, result(2), *turns(range(3, 4))]))

    assert all(call.content is not None for call in found.calls)


def test_results_of_one_request_that_come_one_by_one_reach_it() -> None:
    calls = [*request(2)["tool_calls"], *request(3)["tool_calls"]]
    both = request(2, tool_calls=calls)
    old = [PADDING, *turns(range(2)), both]
    for shown in ([], [result(2)], [result(3)]):
        rest = [result(n) for n in (2, 3) if result(n) not in shown]
        found = check_grown(write([*old, *shown]), write([*old, *shown, *rest, words()]))
        assert [call.content is not None for call in found.calls[-2:]] == [True, True]


def test_a_summary_before_the_checkpoint_marks_the_calls_after_it() -> None:
    old = [PADDING, words("the story so far", _compressed_summary=True), *turns(range(2))]

    found = check_grown(write(old), write([*old, *turns(range(2, 4))]), resumes=True)

    assert all(call.compacted for call in found.calls)


kinds = st.sampled_from(["words", "turn", "open", "plain", "summary", "text like the end"])


def messages_of(found: list[str], first: int = 0) -> list[Json]:
    built: list[Json] = []
    for number, kind in enumerate(found, first):
        if kind == "turn":
            built += turns(range(number, number + 1))
        elif kind == "open":
            built += [words(), request(number)]
        elif kind == "plain":
            built += [{"role": "user", "content": "not settled"}]
        elif kind == "summary":
            built += [words("so far", _compressed_summary=True)]
        elif kind == "text like the end":
            built += [words('\n    }\n  ]\n      "_db_persisted": true')]
        else:
            built += [words()]
    return built


@settings(max_examples=40)
@given(
    st.lists(kinds, max_size=6),
    st.lists(kinds, max_size=4),
    st.none() | st.integers(0, 12),
    st.sampled_from([None, *TRAILING]),
)
def test_any_growth_edit_and_settling_gives_what_decoding_all_of_it_gives(
    old: list[str], more: list[str], edited: int | None, trailing: Json | None
) -> None:
    before = [PADDING, *messages_of(old)]
    after = copy.deepcopy(before)
    if edited is not None:
        after[edited % len(after)]["content"] = "edited"
    for message in after:
        message["_db_persisted"] = True
    after += messages_of(more, first=100)

    check_grown(write(before, trailing=trailing), write(after, trailing=trailing))


def test_a_torn_file_is_refused_also_where_its_settled_part_stands() -> None:
    old = [PADDING, *turns(range(3))]
    resume = decode(write(old), zone=UTC).checkpoint
    grown = write([*old, *turns(range(3, 6))])

    with pytest.raises(SessionError) as caught:
        decode(grown[:-40], zone=UTC, resume=resume)

    assert caught.value.code == "torn"


def test_a_checkpoint_from_nowhere_is_not_believed() -> None:
    data = write([PADDING, *turns(range(3))])
    right = decode(data, zone=UTC).checkpoint
    assert right is not None
    for offset in (0, 1, right.offset - 1, right.offset + 1, len(data), 1 << 60):
        wrong = msgspec.structs.replace(right, offset=offset)
        assert decode(data, zone=UTC, resume=wrong).resumed is None


def test_a_large_file_that_is_not_indented_is_decoded_whole_each_time() -> None:
    data = json.dumps({**HEAD, "messages": [PADDING, *turns(range(3))]}).encode()

    found = decode(data, zone=UTC)

    assert len(found.calls) == 3
    assert found.checkpoint is None


@pytest.mark.parametrize("session_id", ["", None, True, []])
def test_a_snapshot_without_an_id_is_refused(session_id: Any) -> None:
    with pytest.raises(SessionError) as caught:
        decode(write([words()], head=HEAD | {"session_id": session_id}))

    assert caught.value.code == "wrong_type"
    assert "session_id" in caught.value.place


def test_the_first_turn_is_known_again_by_its_words_requests_results_and_times() -> None:
    first = [words("do it"), request(1), {**result(1), "timestamp": 1_795_380_000.5}]
    one = snapshot.decode(write([*first, words("a")]), zone=UTC).opening
    same = snapshot.decode(write([*first, words("b"), request(2), result(2)]), zone=UTC).opening
    other = snapshot.decode(write([words("do that"), *first[1:], words("a")]), zone=UTC).opening

    assert one is not None
    assert one == same != other
    assert snapshot.decode(write(first), zone=UTC).opening is None
    untimed = [words("do it"), request(1), result(1), words("a")]
    assert snapshot.decode(write(untimed), zone=UTC).opening is None


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T00:00:10", 10.0),
        ("2026-11-22T21:52:28+01:00", 1795380748.0),
        ("1960-01-01T00:00:00", None),
        ("soon", None),
        ("9" * 50, None),
        (-17, None),
        (None, None),
    ],
)
def test_times_are_local_unless_they_say_otherwise_and_none_before_1970(
    text: Any, at: float | None
) -> None:
    assert moment(text, UTC) == at
