"""The fast ways of the daemon give what the house kit's own give, for anything."""

import json
from typing import Any

from hypothesis import example, given, strategies as st

from timmyd.core.model import Call
from timmyd.core.tasks import TaskTable
from timmyd.engine.facts import (
    Describer,
    clean_model,
    clean_tool,
    describe_fast,
    judge_result,
    loads_result,
)
from timmyd.house.outcome import Marks, judge
from timmyd.house.shape import describe

texts = st.text(alphabet=st.characters(), max_size=12) | st.sampled_from(["git push", "a.py", "\ud800", "\x7f", "\u2028"])  # fmt: skip
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=True, allow_infinity=True)
    | texts
)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8)  # fmt: skip
names = st.sampled_from(["command", "path", "action", "query", "a", "é", "\ue000", "\U0001f600"])
objects = st.dictionaries(names | texts, values, max_size=5)
tools = st.sampled_from(["terminal", "read_file", "process", "web_search", "mcp__x"])


@given(tools, objects, st.booleans(), st.sampled_from([None, 2]))
@example("web_search", {"n": -0.0}, True, None)
@example("web_search", {"n": 2**64}, True, None)
@example("web_search", {"n": 1e400, "a": '\x00\x1f\x7f\u2028\\/"'}, False, None)
@example("web_search", {"\uffff": 1, "\U00010000": 2, "\ue000": 3}, False, None)
def test_facts_of_a_call_are_those_of_the_house_kit_for_any_object(
    tool: str, value: dict[str, Any], ascii_: bool, indent: int | None
) -> None:
    arguments = json.dumps(value, ensure_ascii=ascii_, indent=indent)

    assert describe_fast(tool, arguments) == describe(tool, arguments)


@given(
    tools,
    st.text(max_size=30) | st.text(alphabet='{}[]":,0123456789.eE+-ntu\\ \n\t\x00a', max_size=20),
)
@example("terminal", '{"a":1,"a":2}')
@example("terminal", '{"a":"\t"}')
@example("terminal", '{"a":-0}')
@example("terminal", '{"a":1e2}')
@example("terminal", '{"a":01}')
@example("terminal", '\ufeff{"a":1}')
@example("terminal", '{"a":1} x')
@example("terminal", '{"a":NaN}')
def test_facts_of_a_call_are_those_of_the_house_kit_for_any_text(tool: str, arguments: str) -> None:
    assert describe_fast(tool, arguments) == describe(tool, arguments)


@given(tools, objects | st.just({"path": "a.py", "content": "x" * 5_000}))
def test_what_is_stored_of_a_call_is_the_same_from_memory_and_from_an_object(
    tool: str, value: dict[str, Any]
) -> None:
    describe_call = Describer(TaskTable.default())
    text = json.dumps(value)

    first, again = Call("call_1", tool, text), Call("call_2", tool, text)
    plain = Call("call_3", tool, value)

    signature, shape = describe(tool, text)
    assert describe_call(first) == describe_call(again) == describe_call(plain) == first.facts
    assert describe_call(first)[:4] == (
        tool, signature, shape, TaskTable.default().task_type(tool, shape)
    )  # fmt: skip
    assert describe_call.key(plain) == describe_call(first).key


words = st.sampled_from(["", "error", "timeout", "blocked", "failed", "success", "not found",
    "Tool execution cancelled by user interrupt", "Invalid tool arguments", "was not executed",
    "Permission denied", "connection timed out"]) | texts  # fmt: skip
results = st.fixed_dictionaries(
    {},
    optional={
        "error": words | values,
        "status": words | values,
        "exit_code": st.integers(-20, 200) | values,
        "success": st.booleans() | values,
        "message": words | values,
        "error_type": words | values,
        "output": words,
        "exit_code_meaning": words,
        "guardrail": st.just({}) | values,
    },
)


@given(
    st.sampled_from(
        ["terminal", "execute_code", "read_file", "process", "web_search", "delegate_task"]
    ),
    results | objects,
    st.sampled_from([None, "none", "full"]),
    st.sampled_from(["error", "ignore"]),
)
@example("web_search", {"success": False, "message": "connection timed out"}, None, "error")
@example("web_search", {"guardrail": {}}, "none", "error")
@example("web_search", {"guardrail": {}, "error": ""}, "none", "error")
@example("terminal", {"exit_code": False}, None, "error")
@example("terminal", {"exit_code": "0"}, None, "error")
@example("terminal", {"exit_code": 0.0, "output": "x"}, None, "error")
@example("read_file", {"exit_code": 0, "success": False}, None, "error")
@example("process", {"status": "timeout"}, None, "error")
def test_the_judgement_of_any_result_is_that_of_the_plain_decoder(
    tool: str, result: dict[str, Any], disposition: str | None, exit_codes: Any
) -> None:
    content = json.dumps(result)

    fast = judge(
        tool, content, disposition=disposition, loads=loads_result, marks=Marks(exit_codes)
    )

    plain = judge(tool, content, disposition=disposition, marks=Marks(exit_codes))
    assert fast == plain
    assert judge_result(tool, content, disposition=disposition, marks=Marks(exit_codes)) == plain


@given(st.text(max_size=140))
@example("a\n")
@example("x" * 129)
def test_a_name_is_kept_only_if_it_is_made_like_one(name: str) -> None:
    for clean, also in ((clean_tool, "_.:/-"), (clean_model, "._:/@+-")):
        found = clean(name)
        assert found in {name, "unnamed"}
        assert 0 < len(found) <= 128
        assert all(c.isascii() and (c.isalnum() or c in also) for c in found)
