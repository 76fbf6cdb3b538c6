"""Rows that Hermes inserts again, and rows of providers whose ids say nothing: counted once, all of them."""

import json
from collections.abc import Callable, Sequence

import pytest

from tests.contract.state_db_corpus import INGEST, NOW, ROWS, executions, open_store
from timmyd.core.model import Source
from timmyd.engine.intake import Origin
from timmyd.engine.row_views import TakenRows
from timmyd.house.shape import signature
from timmyd.sources.state_db_rows import Row, SessionRow, decode_calls
from timmyd.store.database import PatternDatabase

START = NOW - 3_600.0
OK = '{"output": "", "exit_code": 0, "error": null}'
FAILED = '{"output": "", "exit_code": 3, "error": null}'

Request = tuple[str, str]  # id, command


class Script:
    """Writes the rows that Hermes would, with its times."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.sessions: dict[str, SessionRow] = {}
        self.now = START
        self.uids = False

    def session(self, sid: str, parent: str | None = None, **facts: object) -> None:
        row = SessionRow(sid, model="m", parent=parent, started_at=self.now)
        for name, value in facts.items():
            setattr(row, name, value)
        self.sessions[sid] = row

    def row(self, sid: str, role: str, **values: object) -> Row:
        row = Row(id=len(self.rows) + 1, session_id=sid, role=role, at=self.now)
        if self.uids:
            row.uid = f"uid{row.id}"
        for name, value in values.items():
            setattr(row, name, value)
        self.rows.append(row)
        return row

    def turn(self, sid: str, *requests: Request, result: str = OK, answered: bool = True) -> None:
        """A user's message, then call after call, each after a wait for the model."""
        self.now += 5.0
        self.row(sid, "user")
        for call_id, command in requests:
            self.now += 0.8
            self.row(sid, "assistant", calls=requested(call_id, command))
            if answered:
                self.now += 0.2
                self.row(
                    sid,
                    "tool",
                    call_ids=(call_id,) if call_id else (),
                    content=result,
                    tool="terminal",
                )

    def copy(self, rows: Sequence[Row], sid: str, *, step: float, keep: str = "") -> None:
        """Insert rows again, `step` seconds apart; `keep` what a copy keeps: "times" or "uids"."""
        self.now += 1.0
        for row in rows:
            self.now += step
            copy = self.row(
                sid, row.role, calls=row.calls, call_ids=row.call_ids, content=row.content,
                tool=row.tool, uid=row.uid if keep == "uids" else None,
            )  # fmt: skip
            if keep == "times":
                copy.at = row.at


def requested(call_id: str, command: str) -> object:
    function = {"name": "terminal", "arguments": json.dumps({"command": command})}
    return decode_calls([{"id": call_id, "function": function}])[0]


def take(store: PatternDatabase, script: Script, rows: Sequence[Row] | None = None) -> TakenRows:
    source: Source = "state_db"
    origin = Origin("home", "timmy", source, "state.db", NOW, NOW)
    with store.batch() as batch:
        return ROWS.take(
            batch, origin, script.rows if rows is None else rows, script.sessions, times_tell=True
        )


def counted(script: Script) -> int:
    """How many calls are counted, in one piece, row by row, and read again: always the same."""
    whole = open_store()
    take(whole, script)
    single = open_store()
    for row in script.rows:
        take(single, script, [row])
    for size in (1, 3, 1_000):
        for first in range(0, len(script.rows), size):
            piece = take(single, script, script.rows[first : first + size])
            assert piece.executions == 0
    found = [len(executions(whole)), len(executions(single))]
    assert found[0] == found[1]
    return found[0]


IDS: dict[str, Callable[[int], str]] = {
    "random": lambda n: f"call_{n}Zx81kQpW{n}a",
    "counter": lambda n: f"call_{n}",
    "constant": lambda _n: "call_x",
    "none": lambda _n: "",
    "constant and long": lambda _n: "rQ8zK2mN5tV7wX9yB3cD",
}
kinds = pytest.mark.parametrize("kind", IDS)


def turns(script: Script, sid: str, kind: str, *, same: bool = False) -> None:
    """Three turns of two calls; with `same`, all of them the same call."""
    for n in range(3):
        ids = (IDS[kind](2 * n), IDS[kind](2 * n + 1))
        commands = ("make", "make") if same else (f"step {n}", f"check {n}")
        script.turn(sid, *zip(ids, commands, strict=True))


@kinds
@pytest.mark.parametrize("same", [False, True])
def test_a_plain_session_counts_every_call_whatever_its_ids(kind: str, same: bool) -> None:
    script = Script()
    script.session("a")
    turns(script, "a", kind, same=same)
    assert counted(script) == 6


@kinds
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("keep", ["", "times"])
def test_a_compaction_in_place_counts_no_copy_and_the_calls_after_it(
    kind: str, same: bool, keep: str
) -> None:
    script = Script()
    script.session("a")
    turns(script, "a", kind, same=same)
    script.copy(script.rows[-6:], "a", step=1e-6, keep=keep)
    turns(script, "a", kind, same=same)
    script.copy([*script.rows[:3], *script.rows[-4:]], "a", step=1e-6, keep=keep)
    script.turn("a", (IDS[kind](77), "make" if same else "after"))
    assert counted(script) == 13


@kinds
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("reason", ["compression", "branched"])
def test_a_session_that_continues_another_counts_only_what_is_new(
    kind: str, same: bool, reason: str
) -> None:
    script = Script()
    script.session("a", end_reason=reason)
    turns(script, "a", kind, same=same)
    script.now += 2.0
    script.session("b", parent="a", branched=reason == "branched")
    whole = list(script.rows)
    rows = whole if reason == "branched" else whole[-5:]
    script.copy(rows, "b", step=1e-6 if reason == "compression" else 6e-4)
    script.turn("b", (IDS[kind](50), "make" if same else "new"), (IDS[kind](51), "newer"))
    assert counted(script) == 8


@kinds
def test_a_turn_that_is_done_again_word_for_word_counts_again(kind: str) -> None:
    script = Script()
    script.session("a")
    for n in range(2):
        offset = 0 if kind != "random" else 10 * n
        script.turn("a", (IDS[kind](offset), "exit 1"), (IDS[kind](offset + 1), "ls"))
    assert counted(script) == 4


def test_a_delegated_task_and_a_fresh_start_are_sessions_of_their_own() -> None:
    script = Script()
    script.session("a")
    script.session("b", parent="a", delegated=True)
    script.session("c", parent="a")
    for sid in ("a", "b", "c"):
        script.turn(sid, ("call_0", "ls"))
    store = open_store()
    take(store, script)
    assert len({found.session for found in executions(store)}) == 3


def test_copies_that_keep_hermes_own_ids_are_known_by_them() -> None:
    script = Script()
    script.uids = True
    script.session("a")
    turns(script, "a", "constant", same=True)
    script.copy(script.rows[-6:], "a", step=1e-6, keep="uids")
    turns(script, "a", "constant", same=True)
    assert counted(script) == 12


def test_rewritten_rows_are_known_though_the_first_ones_are_gone() -> None:
    script = Script()
    script.session("a")
    turns(script, "a", "counter")
    store = open_store()
    take(store, script)
    before = list(script.rows)
    script.rows.clear()
    script.copy(before, "a", step=1e-6)
    for row in script.rows:
        row.id += 100
    assert take(store, script).executions == 0


def test_an_unanswered_call_is_unknown_until_its_result_comes_and_then_counts_once() -> None:
    script = Script()
    script.session("a")
    script.turn("a", ("call_0", "sleep 9"), answered=False)
    store = open_store()
    take(store, script)
    assert [found.outcome for found in executions(store)] == ["unknown"]
    script.now += 9.0
    answer = script.row("a", "tool", call_ids=("call_0",), content=FAILED, tool="terminal")
    assert take(store, script, [answer]) == (0, 0, 1, {})
    (found,) = executions(store)
    assert (found.outcome, found.at, found.at_approximate) == ("error", answer.at, False)
    assert found.latency_ms == pytest.approx(9_000.0)
    assert take(store, script, [answer]) == (0, 0, 0, {})


def test_a_result_that_comes_after_other_messages_is_still_its_calls() -> None:
    script = Script()
    script.session("a")
    script.turn("a", ("call_0", "sleep 9"), answered=False)
    script.turn("a", ("call_1", "ls"))
    script.row("a", "tool", call_ids=("call_0",), content=FAILED, tool="terminal")
    store = open_store()
    take(store, script)
    assert [found.outcome for found in executions(store)] == ["error", "ok"]


def test_results_without_ids_belong_to_the_calls_in_order() -> None:
    script = Script()
    script.session("a")
    calls, _ = decode_calls(
        [
            {"id": f"call_{n:012x}", "function": {"name": tool, "arguments": "{}"}}
            for n, tool in enumerate(("terminal", "read_file", "terminal"))
        ]
    )
    script.row("a", "assistant", calls=calls)
    for tool, content in (("read_file", "x"), ("terminal", FAILED), ("terminal", OK)):
        script.now += 0.1
        script.row("a", "tool", content=content, tool=tool)
    store = open_store()
    take(store, script)
    found = [(call.tool, call.outcome) for call in executions(store)]
    assert found == [("terminal", "error"), ("read_file", "ok"), ("terminal", "ok")]


def test_a_cycle_of_parents_and_a_missing_parent_end_somewhere() -> None:
    script = Script()
    script.session("a", parent="b", branched=True)
    script.session("b", parent="a", branched=True)
    script.session("c", parent="gone", branched=True)
    for sid in ("a", "b", "c"):
        script.turn(sid, (f"call_{sid}9Xy7Qw2", "ls"))
    assert counted(script) == 3


def test_parents_that_are_read_after_their_children_join_them() -> None:
    script = Script()
    script.session("a", end_reason="compression")
    turns(script, "a", "random")
    script.session("b", parent="a")
    script.copy(script.rows[-4:], "b", step=1e-6)
    script.turn("b", ("call_q8Zt6Wm4", "new"))
    child = [row for row in script.rows if row.session_id == "b"]
    parent = [row for row in script.rows if row.session_id == "a"]
    store = open_store()
    take(store, script, child)
    take(store, script, parent)
    assert len(executions(store)) == 7
    assert len({found.session for found in executions(store)}) == 1


def lines(script: Script, rows: Sequence[Row], *, latency_ms: float = 150.0) -> bytes:
    """What the house kit would have written of the calls that these results answer."""
    run = "0123456789abcdef"
    written: list[dict[str, object]] = [
        {"schema": "timmy.telemetry/1", "run": run, "session_id": rows[0].session_id}
    ]
    for n, row in enumerate(rows, 1):
        request = script.rows[row.id - 2].calls
        assert request is not None
        arguments = json.loads(request[0].arguments)
        line = {
            "run": run, "n": n, "at": row.at, "kind": "tool", "tool": "terminal",
            "call_id": "".join(row.call_ids), "inner": False, "signature": signature(arguments),
            "shape": "make", "outcome": "ok", "rule": "exit_zero", "latency_ms": latency_ms,
        }  # fmt: skip
        written.append(line)
    return b"".join(json.dumps(line).encode() + b"\n" for line in written)


@kinds
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("order", ["rows first", "lines first", "in turn"])
def test_telemetry_that_begins_in_mid_session_takes_over_call_by_call(
    kind: str, same: bool, order: str
) -> None:
    script = Script()
    script.session("a")
    turns(script, "a", kind, same=same)
    results = [row for row in script.rows if row.role == "tool"]
    late = lines(script, results[3:])
    store = open_store()
    origin = Origin("home", "timmy", "telemetry", "a", NOW, NOW)

    def take_lines() -> None:
        with store.batch() as batch:
            INGEST.take(batch, origin, late, None)

    if order == "rows first":
        take(store, script)
        take_lines()
    elif order == "lines first":
        take_lines()
        take(store, script)
    else:
        take(store, script, script.rows[:8])
        take_lines()
        take(store, script, script.rows[8:])
    found = sorted(executions(store), key=lambda call: call.at)
    assert [call.source for call in found] == ["state_db"] * 3 + ["telemetry"] * 3
    assert [call.at for call in found] == [row.at for row in results]
    assert [call.latency_ms for call in found[3:]] == [150.0] * 3


def test_a_call_that_no_hook_fires_for_is_counted_from_the_rows_alone() -> None:
    script = Script()
    script.session("a")
    script.turn("a", ("call_0", "ls"))
    script.turn("a", ("call_1", "ls"), result="Tool 'x' does not exist. Available tools: y")
    results = [row for row in script.rows if row.role == "tool"]
    store = open_store()
    origin = Origin("home", "timmy", "telemetry", "a", NOW, NOW)
    take(store, script)
    with store.batch() as batch:
        INGEST.take(batch, origin, lines(script, results[:1]), None)
    assert [(c.source, c.outcome) for c in executions(store)] == [
        ("telemetry", "ok"), ("state_db", "rejected"),
    ]  # fmt: skip


def test_nothing_of_a_message_is_kept() -> None:
    script = Script()
    script.session("a")
    script.turn("a", ("call_k3J9xQ2m", "cat /etc/secret-of-mine"), result="hush hush")
    store = open_store()
    take(store, script)
    (found,) = executions(store)
    kept = repr(found) + repr([store.states(), store.counters()])
    assert "secret-of-mine" not in kept
    assert "hush" not in kept


def test_settings_of_outcomes_hold_for_rows_too() -> None:
    assert ROWS.ingest is INGEST


REWRITTEN: dict[str, Callable[[int], str]] = IDS | {
    "minted": lambda n: f"call_{n:012x}",
    "minimax": lambda n: f"call_function_{n + 7:012x}_1",
    "functions": lambda n: f"functions.terminal:{n}",
}


def rewrite(kind: str, *, turns: int, gap: float, same: bool, pause: float = 60.0) -> Script:
    """After each turn the whole conversation is written again, its rows `gap` seconds apart."""
    script = Script()
    script.session("a")
    for turn in range(1, turns + 1):
        for n in range(turn):
            call_id = REWRITTEN[kind](n)
            for role, values in (
                ("user", {"content": f"question {n}"}),
                ("assistant", {"calls": requested(call_id, "make" if same else f"step {n}")}),
                (
                    "tool",
                    {"call_ids": (call_id,) if call_id else (), "content": OK, "tool": "terminal"},
                ),
                ("assistant", {}),
            ):
                script.row("a", role, **values)
                script.now += gap
        script.now += pause
    return script


@pytest.mark.parametrize("kind", REWRITTEN)
@pytest.mark.parametrize("gap", [0.0005, 0.0007, 0.002, 0.005])
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("pause", [60.0, 0.01])
def test_a_conversation_that_each_flush_writes_again_is_counted_once(
    kind: str, gap: float, same: bool, pause: float
) -> None:
    assert counted(rewrite(kind, turns=4, gap=gap, same=same, pause=pause)) == 4


@pytest.mark.parametrize("kind", REWRITTEN)
def test_a_flush_may_write_again_what_was_written_call_by_call(kind: str) -> None:
    script = Script()
    script.session("a")
    for n in range(3):
        requests = (
            (REWRITTEN[kind](2 * n), f"step {n}"),
            (REWRITTEN[kind](2 * n + 1), f"check {n}"),
        )
        script.turn("a", *requests)
    for _ in range(2):
        script.copy(list(script.rows[:15]), "a", step=0.001)
    script.turn("a", (REWRITTEN[kind](9), "after"))
    assert counted(script) == 7


@pytest.mark.parametrize("kind", ["counter", "constant", "none"])
def test_the_same_work_in_a_later_turn_is_no_copy(kind: str) -> None:
    script = Script()
    script.session("a")
    for turn in range(3):
        script.row("a", "user", content=f"again, for the {turn}. time")
        for n in range(2):
            script.now += 0.001
            script.row("a", "assistant", calls=requested(IDS[kind](n), "make"))
            script.now += 0.001
            script.row("a", "tool", call_ids=(IDS[kind](n),), content=OK, tool="terminal")
        script.now += 60.0
    assert counted(script) == 6
