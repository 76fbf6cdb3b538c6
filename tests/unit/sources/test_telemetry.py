"""Lines of the house kit: each is used, or refused by code, alone."""

import json
from typing import Any

import pytest

from timmyd.errors import SessionError
from timmyd.sources.telemetry import LONGEST_LINE, Head, Telemetry, decode

RUN, OTHER = "0123456789abcdef", "f" * 16
HEADER: dict[str, Any] = {
    "schema": "timmy.telemetry/1", "run": RUN, "session_id": "s1", "house": "ezra", "kit": "1",
}  # fmt: skip
TOOL: dict[str, Any] = {
    "run": RUN, "n": 1, "at": 1795381822.24, "kind": "tool", "tool": "terminal", "call_id": "call_0",
    "signature": "9f2c" * 4, "shape": "git status", "outcome": "error", "rule": "exit_nonzero",
    "error_type": "exit_128", "latency_ms": 740.2, "policy": 17, "followed": True, "inner": False,
}  # fmt: skip


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def read(*values: Any) -> Telemetry:
    return decode(lines(*values), {})


def test_a_line_has_its_facts_and_the_session_of_its_run() -> None:
    found = read(HEADER, TOOL)

    (line,) = found.lines
    assert line.session_id == "s1"
    for name in ("run", "n", "at", "tool", "call_id", "signature", "shape", "outcome", "rule",
                 "error_type", "latency_ms", "policy", "followed", "inner"):  # fmt: skip
        assert getattr(line, name) == TOOL[name]
    head = found.heads[RUN]
    assert (head.session_id, head.house, head.kit) == ("s1", "ezra", "1")
    assert (found.refused, found.first_refused) == ({}, None)


def test_a_torn_last_line_waits_for_its_end_wherever_it_is_torn() -> None:
    whole = lines(HEADER, TOOL, TOOL | {"n": 2})
    first_two = len(lines(HEADER, TOOL))
    for cut in range(first_two, len(whole)):
        found = decode(whole[:cut], {})
        assert (len(found.lines), found.size, found.refused) == (1, first_two, {})
        rest = decode(whole[found.size :], found.heads)
        assert [line.n for line in rest.lines] == [2]
        assert rest.size == len(whole) - first_two


def test_runs_go_on_in_the_next_part_of_the_file_and_do_not_mix() -> None:
    other = HEADER | {"run": OTHER, "session_id": "s2"}
    first = read(HEADER, other)

    found = decode(lines(TOOL, TOOL | {"run": OTHER}, TOOL | {"n": 2}), first.heads)

    assert [(line.session_id, line.n) for line in found.lines] == [("s1", 1), ("s2", 1), ("s1", 2)]


def test_a_run_in_another_file_needs_its_header_there() -> None:
    read(HEADER, TOOL)

    assert read(TOOL).refused == {"no_header": 1}


def test_headers_that_were_handed_in_are_not_changed() -> None:
    heads: dict[str, Head] = {}

    decode(lines(HEADER), heads)

    assert heads == {}


REFUSED: list[tuple[str, Any]] = [
    ("not_json", [1]),
    ("not_json", 17),
    ("bad_run", TOOL | {"run": "0123"}),
    ("bad_run", TOOL | {"run": RUN.upper()}),
    ("no_header", TOOL | {"run": OTHER}),
    ("foreign_schema", HEADER | {"schema": "other/1"}),
    ("no_session", HEADER | {"session_id": ""}),
    ("no_session", HEADER | {"session_id": "x" * 300}),
    ("bad_number", TOOL | {"n": -1}),
    ("bad_number", TOOL | {"n": True}),
    ("bad_number", TOOL | {"n": 1 << 62}),
    ("bad_time", TOOL | {"at": None}),
    ("bad_time", TOOL | {"at": 0}),
    ("bad_time", TOOL | {"at": "now"}),
    ("unknown_kind", TOOL | {"kind": "dream"}),
    ("unknown_kind", TOOL | {"kind": None}),
    ("no_tool", TOOL | {"tool": ""}),
    ("no_tool", TOOL | {"tool": 7}),
    ("bad_outcome", TOOL | {"outcome": "fine"}),
    ("bad_signature", TOOL | {"signature": "9f2c"}),
    ("bad_signature", TOOL | {"signature": "Z" * 16}),
    ("bad_shape", TOOL | {"shape": "rm -rf $HOME"}),
    ("bad_shape", TOOL | {"shape": "a" * 65}),
    ("line_too_long", TOOL | {"extra": "x" * LONGEST_LINE}),
]


@pytest.mark.parametrize(("code", "value"), REFUSED)
def test_a_line_that_cannot_be_used_costs_only_itself(code: str, value: Any) -> None:
    found = read(HEADER, TOOL, value, TOOL | {"n": 2})

    assert found.refused == {code: 1}
    assert found.first_refused == (3, code)
    assert [line.n for line in found.lines] == [1, 2]
    assert found.size == len(lines(HEADER, TOOL, value, TOOL | {"n": 2}))


def test_bytes_that_are_no_json_cost_only_their_line() -> None:
    found = decode(b"\xff\xfe\n{\n\n" + lines(HEADER, TOOL), {})

    assert found.refused == {"not_json": 2}
    assert found.first_refused == (1, "not_json")
    assert len(found.lines) == 1


@pytest.mark.parametrize("schema", ["timmy.telemetry/2", "timmy.telemetry/10", "timmy.telemetry/"])
def test_nothing_of_a_newer_major_schema_is_used(schema: str) -> None:
    with pytest.raises(SessionError) as caught:
        read(HEADER, TOOL, HEADER | {"schema": schema, "run": OTHER})

    assert (caught.value.code, caught.value.place) == ("newer_schema", "$.schema")


def test_a_newer_minor_schema_is_read() -> None:
    assert len(read(HEADER | {"schema": "timmy.telemetry/1.7"}, TOOL).lines) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latency_ms", -1), ("latency_ms", 1e300), ("latency_ms", "x"), ("policy", -1),
        ("policy", 1 << 60), ("policy", True), ("confidence", 1.5), ("followed", "yes"),
        ("error_type", "two words"), ("error_type", "x" * 65), ("model", "x" * 300), ("model", 7),
    ],
)  # fmt: skip
def test_a_fact_that_cannot_be_is_unknown_and_the_line_counts(name: str, value: Any) -> None:
    (line,) = read(HEADER, TOOL | {name: value}).lines

    assert getattr(line, name) is None


def test_calls_of_models_and_ends_of_turns_have_their_own_facts() -> None:
    model = {"run": RUN, "n": 1, "at": 1.0, "kind": "model", "model": "m", "outcome": "ok",
             "latency_ms": 4.5, "tokens_in": 10, "tokens_out": -1}  # fmt: skip
    end = {"run": RUN, "n": 2, "at": 2.0, "kind": "end", "completed": True, "interrupted": 1}

    first, second = read(HEADER, model, end).lines

    assert (first.model, first.tokens_in, first.tokens_out) == ("m", 10, None)
    assert (second.completed, second.interrupted) == (True, False)


def test_what_some_versions_offer_is_read_and_what_makes_no_sense_of_it_is_left_out() -> None:
    header = HEADER | {"platform": "telegram", "cron": "j7", "seam": "middleware"}
    model = {
        "run": RUN, "n": 2, "at": 1795381822.3, "kind": "model", "model": "m", "outcome": "error",
        "provider": "p", "error_class": "rate_limit", "fallback_from": "big", "retry": 2,
        "tokens_cached": 900, "tokens_reasoning": 70, "skill": "deploy",
    }  # fmt: skip
    end = {
        "run": RUN, "n": 3, "at": 1795381823.0, "kind": "end", "completed": True,
        "interrupted": False, "reason": "text_response", "platform": "cli",
    }  # fmt: skip
    found = read(header, TOOL | {"skill": "deploy"}, model, end, model | {"n": 4, "retry": "x"})

    tool, request, turn, odd = found.lines
    assert (tool.platform, tool.cron, tool.skill) == ("telegram", "j7", "deploy")
    for name in ("provider", "error_class", "fallback_from", "retry", "tokens_cached",
                 "tokens_reasoning", "skill"):  # fmt: skip
        assert getattr(request, name) == model[name]
    assert (turn.reason, turn.platform) == ("text_response", "cli")
    assert (odd.retry, odd.error_class) == (None, "rate_limit")
    assert found.heads[RUN].seam == "middleware"
    assert found.refused == {}
