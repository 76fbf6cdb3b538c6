import json
import re

import msgspec
from hypothesis import given, strategies as st

from timmyd.house.outcome import OUTCOMES, RULES, Marks, judge

TOOLS = st.sampled_from(
    ["terminal", "execute_code", "process", "read_file", "web_search", "mcp__lab__page", "lab", ""]
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["error", "timeout", "blocked", "success", "Error", "HTTP 503", "ValueError: x", "false", "1"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    [
        "output",
        "exit_code",
        "error",
        "status",
        "success",
        "message",
        "exit_code_meaning",
        "guardrail",
        "isError",
        "is_error",
        "ok",
    ]
)
EXITS = st.sampled_from([0, 1, 2, 124, 130, -9, -15, 10**6, True, None])
RESULTS = st.dictionaries(MEMBERS, VALUES, max_size=6).flatmap(
    lambda fields: EXITS.map(lambda code: fields | {"exit_code": code}) | st.just(fields)
)
TEXTS = st.one_of(
    st.text(),
    RESULTS.map(json.dumps),
    st.lists(
        st.sampled_from(
            [
                "{",
                "}",
                '"error": "',
                '"exit_code": 1',
                "\n\n",
                "Error",
                "<persisted-output>",
                "[lab] ",
                "\\",
                "<untrusted_tool_result",
                "[Truncated: tool response was ",
                "Preview (first 9 chars):\n",
                ": ",
                ",",
                "[hermes-agent: tool call arguments were corrupted",
                " -> exit 1, 2 lines output",
                "`",
                "[" * 500,
            ]
        )
    ).map("".join),
)
SUFFIX = "\n\n[Tool loop warning: same_tool_failure_warning; count=3; it failed.]"
SECRET = "hunter2correcthorse"


def refuse(text: str) -> object:
    raise ValueError(text[:0])


@given(
    tool=TOOLS,
    content=TEXTS | VALUES,
    disposition=st.sampled_from([None, "none", "unknown", "x"]),
    status=st.sampled_from([None, "ok", "error", "blocked", "cancelled", "timeout", "x"]),
    exit_codes=st.sampled_from(["error", "ignore"]),
)
def test_anything_gets_one_of_the_seven_outcomes_by_a_published_rule(
    tool: str, content: object, disposition: str | None, status: str | None, exit_codes: str
) -> None:
    found = judge(tool, content, disposition=disposition, status=status, marks=Marks(exit_codes))

    assert found.outcome in OUTCOMES
    assert found.rule in RULES
    assert found.error_type is None or re.fullmatch(r"[a-z0-9_]{1,40}", found.error_type)
    assert (found.error_type is not None) == (found.outcome in {"error", "timeout"})


@given(tool=TOOLS, content=TEXTS)
def test_the_decoder_changes_nothing_but_the_speed(tool: str, content: str) -> None:
    expected = judge(tool, content)

    assert judge(tool, content, loads=msgspec.json.decode) == expected
    assert judge(tool, content, loads=refuse) == expected


@given(tool=TOOLS, fields=RESULTS)
def test_what_hermes_puts_after_and_around_a_result_changes_nothing(
    tool: str, fields: dict[str, object]
) -> None:
    text = json.dumps(fields)
    expected = judge(tool, text)

    assert judge(tool, text + SUFFIX) == expected
    assert (
        judge(
            tool,
            f'<untrusted_tool_result source="x">\ndata\n\n{text}{SUFFIX}\n</untrusted_tool_result>',
        )
        == expected
    )


@given(tool=TOOLS, fields=RESULTS, at=st.integers(0, 40), text=st.text(max_size=40))
def test_no_word_of_a_session_is_in_a_judgement(
    tool: str, fields: dict[str, object], at: int, text: str
) -> None:
    planted = text[:at] + SECRET + text[at:]
    spoiled = dict.fromkeys(fields, planted) | {
        "error": planted,
        "error_type": SECRET,
        "status": SECRET,
    }

    for content in (
        json.dumps(spoiled),
        planted,
        f"Error: {planted}",
        f"Error executing tool '{SECRET}': {SECRET}",
    ):
        assert SECRET not in "".join(str(part) for part in judge(tool, content))


@given(fields=RESULTS, cut=st.integers(0, 200))
def test_a_cut_command_result_is_never_taken_for_a_success(
    fields: dict[str, object], cut: int
) -> None:
    text = json.dumps({"output": "x" * 60} | fields | {"exit_code": 3})
    head = text[: min(cut, text.rindex('"exit_code"'))]
    kept = f"<persisted-output>\nPreview (first 9 chars):\n{head}\n...\n</persisted-output>"

    if head.startswith("{"):
        assert judge("terminal", kept).outcome != "ok"
