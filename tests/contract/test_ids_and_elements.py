"""Ids in all their spellings, and elements that are none: each call once, and what is unusable costs itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.made_home import BAD, OK, MadeHome, chat, command

NOW = 1_795_500_000.0
Ids = Callable[[int], str]


@pytest.fixture
def home(tmp_path: Path) -> MadeHome:
    return MadeHome(tmp_path / "home", now=NOW)


def call(n: int) -> str:
    return f"call_{n}"


IDS: dict[str, tuple[Callable[[int], dict[str, Any]], Ids]] = {
    "one id": (lambda n: {"id": call(n), "call_id": call(n)}, call),
    "item id first": (lambda n: {"id": f"fc_{n}", "call_id": call(n)}, call),
    "item id answered": (
        lambda n: {"id": call(n), "response_item_id": f"fc_{n}"},
        lambda n: f"fc_{n}",
    ),
    "both in the answer": (lambda n: {"id": call(n)}, lambda n: f"{call(n)}|fc_{n}"),
    "both in the request": (lambda n: {"id": f"{call(n)}|fc_{n}"}, call),
    "random ones": (
        lambda n: {"id": f"fc_9f{n}Zk3q7Lx", "call_id": f"call_b{n}Yy81kQpW"},
        lambda n: f"call_b{n}Yy81kQpW",
    ),
    "no id in the answer": (lambda n: {"id": f"call_{n:012x}"}, lambda _n: ""),
    "a counter, and no id in the answer": (lambda n: {"id": call(n)}, lambda _n: ""),
    "only a call_id": (lambda n: {"id": None, "call_id": call(n)}, call),
    "numbers": (lambda n: {"id": n + 1}, lambda n: str(n + 1)),
}


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("told", ["", "request", "answer", "none"])
def test_request_result_and_telemetry_meet_on_any_id(kind: str, told: str, home: MadeHome) -> None:
    request, answer = IDS[kind]
    home.session("S1")
    home.row("S1", "user", content="hi")
    messages: list[Any] = [{"role": "user", "content": "hi"}]
    for n in range(5):
        arguments = command(f"make t{n}")
        asked = chat("", arguments) | request(n)
        result = BAD if n % 2 else OK
        home.ask("S1", asked)
        home.answer("S1", answer(n), result)
        messages += [
            {"role": "assistant", "content": "", "tool_calls": [asked]},
            {"role": "tool", "content": result, "tool_call_id": answer(n), "name": "terminal"},
        ]
        if told:
            ids = {
                "request": str(asked["id"] or asked.get("call_id")),
                "answer": answer(n),
                "none": "",
            }
            home.line("S1", ids[told], arguments, outcome="error" if n % 2 else "ok")
    home.snapshot("S1", messages)

    found = home.read()

    assert found.outcomes == {"ok": 3, "error": 2}
    assert found.skipped == {}


def test_names_and_arguments_may_stand_flat_and_as_objects(home: MadeHome) -> None:
    home.session("S1")
    home.ask("S1", {"id": "f1", "name": "terminal", "arguments": {"command": "ls"}})
    home.answer("S1", "f1", BAD)
    home.ask("S1", chat("f2", {"command": "ls -l"}))
    home.answer("S1", "f2", OK)

    found = home.read()

    assert [(e.tool, e.shape, e.outcome) for e in found.executions] == [
        ("terminal", "ls", "error"),
        ("terminal", "ls", "ok"),
    ]


GOOD = chat("g1zz9")
BROKEN: dict[str, Any] = {
    "function null": {"id": "t2", "function": None},
    "function a text": {"id": "t2", "function": "terminal"},
    "function a list": {"id": "t2", "function": []},
    "no function": {"id": "t2"},
    "null": None,
    "a number": 7,
    "empty": {},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_request_costs_itself_in_every_source(kind: str, home: MadeHome) -> None:
    home.session("S1")
    requests = json.dumps([BROKEN[kind], GOOD])
    home.row("S1", "assistant", content="", tool_calls=requests)
    home.answer("S1", "g1zz9", BAD)
    asked = {"role": "assistant", "content": "", "tool_calls": [BROKEN[kind], chat("g2zz9", "[1]")]}
    told = {"role": "tool", "content": BAD, "tool_call_id": "g2zz9"}
    home.snapshot("S2", [asked, told])
    (home.sessions / "plain.json").write_text(
        json.dumps({"messages": [{**asked, "tool_calls": [BROKEN[kind], chat("g3zz9")]}]})
    )

    found = home.read()

    assert found.outcomes == {"error": 2, "unknown": 1}
    assert found.skipped == {"bad_request": 3}


@pytest.mark.parametrize("requests", ['[{"id": "t1", "func', '"[{', "{}", "7"])
def test_requests_that_cannot_be_read_are_counted_as_such(requests: str, home: MadeHome) -> None:
    home.session("S1")
    home.row("S1", "assistant", content="", tool_calls=requests)
    home.ask("S1", GOOD)
    home.answer("S1", "g1zz9", BAD)

    found = home.read()

    assert found.outcomes == {"error": 1}
    assert found.skipped == {"bad_request": 1}


@pytest.mark.parametrize(
    ("bad", "skipped"),
    [
        (None, {"bad_message": 1}),
        (7, {"bad_message": 1}),
        ({"role": "assistant", "tool_calls": {}}, {"bad_request": 1}),
        ({"role": "assistant", "tool_calls": "[]"}, {}),
        ({"role": "assistant", "tool_calls": json.dumps([chat("h1zz9")])}, {}),
        ({"role": "tool", "tool_call_id": "nowhere", "content": OK}, {"result_without_request": 1}),
    ],
)
def test_a_message_that_is_none_costs_itself(
    bad: Any, skipped: dict[str, int], home: MadeHome
) -> None:
    asked = {"role": "assistant", "content": "", "tool_calls": [GOOD]}
    told = {"role": "tool", "content": OK, "tool_call_id": "g1zz9", "name": "terminal"}
    home.snapshot("s1", [{"role": "user", "content": "hi"}, bad, asked, told])
    first = home.read()
    home.snapshot("s1", [{"role": "user", "content": "hi"}, bad, asked, told, {"role": "user"}])
    again = home.read(first.store)

    assert again.outcomes["ok"] == 1
    assert again.skipped == skipped


def test_a_number_may_be_the_id_of_a_session(home: MadeHome) -> None:
    asked = {"role": "assistant", "content": "", "tool_calls": [GOOD]}
    home.snapshot("s1", [asked], session_id=17)

    assert len(home.read().executions) == 1


@pytest.mark.parametrize(
    "content",
    [
        "\0json:" + json.dumps({"error": "boom"}),
        "\0json:" + json.dumps([{"type": "text", "text": '{"error": "boom"}'}]),
        "__HERMES_CONTENT_V2__:j:" + json.dumps([{"type": "text", "text": '{"error": "boom"}'}]),
        "__HERMES_CONTENT_V2__:s:" + json.dumps({"error": "boom"}),
        json.dumps({"error": "boom"}),
        "Error: boom\0 and more",
    ],
)
def test_structured_results_of_a_live_database_are_read_whole(content: str, home: MadeHome) -> None:
    home.session("S1")
    home.ask("S1", GOOD)
    home.answer("S1", "g1zz9", content)

    assert home.read().outcomes == {"error": 1}


@pytest.mark.parametrize("first", ["rows", "snapshot"])
def test_a_bridge_to_an_unknown_tool_has_one_name(first: str, home: MadeHome) -> None:
    asked = chat("b1zz9", json.dumps({"name": "nope", "arguments": {}}), tool="tool_call")
    result = json.dumps({"error": "'nope' is not a deferrable tool. Use tool_search first."})
    home.session("S1")
    home.ask("S1", asked)
    home.answer("S1", "b1zz9", result)
    messages = [
        {"role": "assistant", "content": "", "tool_calls": [asked]},
        {"role": "tool", "content": result, "tool_call_id": "b1zz9", "name": "tool_call"},
    ]
    rows = home.home / "state.db"
    snapshot = home.snapshot("S1", messages)
    found = home.read() if first == "rows" else None
    if found is None:
        hidden = rows.rename(home.home / "hidden.db")
        found = home.read()
        hidden.rename(rows)
        found = home.read(found.store)
    assert snapshot.exists()

    assert [(e.tool, e.outcome) for e in found.executions] == [("nope", "rejected")]
