"""Two made-up agents of two owners, all that they leave behind, and an exact oracle of what was shown.

Conversations grow, rotate, are written again, answered late; homes are copied, renamed, spelled otherwise; documents
are read in any version and order, rows in any piece and again, lines in any piece and again, under a zone that may be
wrong. After every step: each call that was shown to the intake is counted once, under its owner, with its outcome,
and after every tick what was learned is what was counted.

The limits, which the agents keep to: where ids repeat, no two calls of a lineage are equal, none waits for its answer
for ever, versions are read as they come, and nothing is moved to another session, since the bytes of such files are
the same; and where an id comes again in a session, no line of telemetry is read out of order.

    python -m tests.property.counting --steps 100000
"""

import argparse
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from timmyd import IntelligenceEngine
from timmyd.core.tasks import TaskTable
from timmyd.engine.ingest import Ingest
from timmyd.engine.ingest_rows import RowIngest
from timmyd.engine.intake import Cursor, Origin
from timmyd.house.outcome import RATED
from timmyd.house.shape import describe
from timmyd.sources.state_db_rows import Row, SessionRow, to_row
from timmyd.store.database import PatternDatabase

START = 1_790_000_000.0
NOW = START + 86_400.0
OK = '{"output": "", "exit_code": 0, "error": null}'
BAD = '{"output": "", "exit_code": 3, "error": null}'
ZONES = [ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo"), ZoneInfo("America/St_Johns")]

IDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "unique": lambda n: {"id": f"call_Zk3q7{n:06d}Qx"},
    "two ids": lambda n: {"id": f"fc_b7{n:06d}Zq1", "call_id": f"call_a9{n:06d}Wx"},
    "minimax": lambda n: {"id": f"call_function_{n + 0xABC000:012x}_1"},
    "counters": lambda n: {"id": f"call_{n}"},
    "few": lambda n: {"id": f"call_{n % 3}"},
    "minted": lambda n: {"id": f"call_{n:012x}"},
}
MADE_ONCE = {"unique", "two ids", "minimax"}


class Call(NamedTuple):
    """A call that ran."""

    number: int
    request: dict[str, Any]
    at: float
    ok: bool

    @property
    def answer_id(self) -> str:
        """The id that its result carries."""
        return str(self.request.get("call_id") or self.request["id"])


class Version(NamedTuple):
    """A snapshot as it once lay there."""

    sid: str
    data: bytes
    at: float
    shown: frozenset[int]
    answered: frozenset[int]


class Talk:
    """A session: what stands in it, and its rows in the owner's database."""

    def __init__(self, sid: str, started_at: float, parent: str | None) -> None:
        self.sid, self.started_at, self.parent = sid, started_at, parent
        self.calls: list[Call] = []
        self.unanswered: set[int] = set()
        self.ended = False


class World(RuleBasedStateMachine):
    """One owner's agent; a second owner has copies of its files."""

    @initialize(style=st.sampled_from(sorted(IDS)), kit=st.booleans(), zone=st.sampled_from(ZONES))
    def begin(self, style: str, kit: bool, zone: ZoneInfo) -> None:
        self.database = PatternDatabase(":memory:", clock=lambda: NOW)
        self.engine = IntelligenceEngine(self.database, clock=lambda: NOW)
        self.ingest = Ingest(tasks=TaskTable.default(), zone=zone)
        self.rows_of = RowIngest(self.ingest)
        self.style, self.kit = style, kit and style != "few"
        self.now = START
        self.made: list[Call] = []
        self.talks: list[Talk] = []
        self.rows: list[Row] = []
        self.row_calls: list[tuple[int | None, int | None]] = []  # (requested, answered) by row
        self.sessions: dict[str, SessionRow] = {}
        self.read_rows = 0
        self.lines: list[tuple[str, bytes, int]] = []
        self.versions: list[Version] = []
        self.cursors: dict[str, Cursor | None] = {}
        self.shown: dict[int, set[int]] = {1000: set(), 1001: set()}
        self.answered: dict[int, set[int]] = {1000: set(), 1001: set()}
        self.start()

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()

    # ------------------------------------------------------------------ the agent
    def tick(self, step: float = 7.0) -> float:
        self.now += step
        return self.now

    def start(self, parent: Talk | None = None) -> Talk:
        sid = f"20260921_{140000 + len(self.talks):06d}_{len(self.talks) + 0xABC000:06x}"
        talk = Talk(sid, self.tick(), None if parent is None else parent.sid)
        self.talks.append(talk)
        self.sessions[sid] = SessionRow(
            sid, model="m", parent=talk.parent, started_at=talk.started_at
        )
        return talk

    @property
    def talk(self) -> Talk:
        return self.talks[-1]

    def row(self, talk: Talk, role: str, *, step: float, call: Call | None = None) -> None:
        values: dict[str, Any] = {"id": len(self.rows) + 1, "session_id": talk.sid, "role": role}
        values["timestamp"] = self.tick(step)
        asked = told = None
        if role == "user":
            values["content"] = f"question {len(talk.calls)}"
        elif role == "assistant" and call is not None:
            values["tool_calls"] = json.dumps([call.request])
            asked = call.number
        elif role == "tool" and call is not None:
            values |= {"tool_call_id": call.answer_id, "tool_name": "terminal"}
            values["content"] = OK if call.ok else BAD
            told = call.number
        self.rows.append(to_row(values))
        self.row_calls.append((asked, told))

    def make(self, choice: int, ok: bool) -> Call:
        number = len(self.made)
        same = self.style in MADE_ONCE and choice < 2
        arguments = json.dumps({"command": f"echo {choice if same else 100 + number}"})
        function = {"name": "terminal", "arguments": arguments}
        call = Call(number, IDS[self.style](number) | {"function": function}, self.now, ok)
        self.made.append(call)
        return call

    def say(self, call: Call, talk: Talk) -> None:
        if not self.kit:
            return
        run = f"{len(self.talks):016x}"
        signature, shape = describe("terminal", call.request["function"]["arguments"])
        line = {
            "run": run, "n": call.number + 1, "at": self.now, "kind": "tool", "tool": "terminal",
            "call_id": call.answer_id, "signature": signature, "shape": shape,
            "outcome": "ok" if call.ok else "error", "rule": "given", "latency_ms": 900.0,
        }  # fmt: skip
        head = {"schema": "timmy.telemetry/1", "run": run, "session_id": talk.sid}
        data = f"{json.dumps(head)}\n{json.dumps(line)}\n".encode()
        self.lines.append((talk.sid, data, call.number))

    @rule(
        calls=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=3),
        last=st.booleans(),
    )
    def take_a_turn(self, calls: list[tuple[int, bool]], last: bool) -> None:
        talk = self.talk
        self.row(talk, "user", step=5.0)
        for n, (choice, ok) in enumerate(calls):
            call = self.make(choice, ok)
            talk.calls.append(call)
            self.row(talk, "assistant", step=2.0, call=call)
            if last and n == len(calls) - 1 and self.style in MADE_ONCE:
                talk.unanswered.add(call.number)
            else:
                self.row(talk, "tool", step=1.0, call=call)
                self.say(call, talk)
        self.row(talk, "assistant", step=2.0)
        self.write()

    @precondition(lambda self: len(self.talk.unanswered) == 1 and self.style in MADE_ONCE)
    @rule()
    def answer_late(self) -> None:
        talk = self.talk
        (call,) = (call for call in talk.calls if call.number in talk.unanswered)
        talk.unanswered.clear()
        self.row(talk, "tool", step=1.0, call=call)
        self.say(call, talk)
        self.write()

    @precondition(lambda self: self.talk.calls and not self.talk.unanswered)
    @rule(gap=st.sampled_from([0.0005, 0.005]))
    def write_all_rows_again(self, gap: float) -> None:
        sid = self.talk.sid
        mine = [n for n, row in enumerate(self.rows) if row.session_id == sid]
        begins = [n for n in mine if self.rows[n].content == "question 0"]
        if not begins:
            return
        self.tick(30.0)
        for n in mine[mine.index(begins[-1]) :]:
            original = self.rows[n]
            copy = Row(
                id=len(self.rows) + 1, session_id=sid, role=original.role, at=self.tick(gap),
                content=original.content, call_ids=original.call_ids, calls=original.calls,
                tool=original.tool,
            )  # fmt: skip
            self.rows.append(copy)
            self.row_calls.append(self.row_calls[n])
        self.tick(30.0)

    @precondition(
        lambda self: (
            self.style in MADE_ONCE and len(self.talk.calls) > 1 and not self.talk.unanswered
        )
    )
    @rule(kept=st.integers(1, 4), linked=st.booleans())
    def rotate(self, kept: int, linked: bool) -> None:
        parent = self.talk
        child = self.start(parent if linked else None)
        if linked:
            self.sessions[parent.sid].end_reason = "compression"
        child.calls = parent.calls[-kept:]
        self.write()

    def write(self) -> None:
        talk = self.talk
        messages: list[dict[str, Any]] = [{"role": "user", "content": "question 0"}]
        for call in talk.calls:
            messages.append({"role": "assistant", "content": "", "tool_calls": [call.request]})
            if call.number not in talk.unanswered:
                told = {
                    "role": "tool",
                    "tool_call_id": call.answer_id,
                    "content": OK if call.ok else BAD,
                }
                messages.append(told | {"name": "terminal"})
        document = {
            "session_id": talk.sid, "model": "m", "platform": "cli", "session_start": iso(talk.started_at),
            "last_updated": iso(self.tick(0.5)), "messages": messages,
        }  # fmt: skip
        shown = frozenset(call.number for call in talk.calls)
        data = json.dumps(document, indent=2).encode()
        self.versions.append(Version(talk.sid, data, self.now, shown, shown - talk.unanswered))

    # ------------------------------------------------------------------ the daemon
    homes = st.sampled_from(
        ["/home/a/.hermes", "/home/a/link", "/home/a/old", "/home/a/.hermes/profiles/b"]
    )
    owners = st.sampled_from([1000, 1000, 1000, 1001])

    @precondition(lambda self: self.versions)
    @rule(data=st.data(), home=homes, owner=owners, fresh=st.booleans())
    def read_a_version(self, data: st.DataObject, home: str, owner: int, fresh: bool) -> None:
        newest = len(self.versions) - 1
        place = data.draw(st.integers(0, newest) if self.style in MADE_ONCE else st.just(newest))
        version = self.versions[place]
        key = f"{owner}{home}{version.sid}"
        cursor = None if fresh else self.cursors.get(key)
        origin = Origin(
            home, "timmy", "snapshot", f"session_{version.sid}", version.at + 0.01, NOW, owner
        )
        with self.database.batch() as batch:
            self.cursors[key] = self.ingest.take(batch, origin, version.data, cursor).cursor
        self.shown[owner] |= version.shown
        self.answered[owner] |= version.answered
        self.check()

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), home=homes, again=st.booleans())
    def read_rows_on(self, data: st.DataObject, home: str, again: bool) -> None:
        first = 0 if again else min(self.read_rows, len(self.rows) - 1)
        upto = data.draw(st.integers(first + 1, len(self.rows)))
        self.take_rows(home, 1000, first, max(upto, self.read_rows) if again else upto)

    @precondition(lambda self: self.rows)
    @rule(home=homes)
    def read_all_rows_of_the_other_owner(self, home: str) -> None:
        self.take_rows(home, 1001, 0, len(self.rows))

    def take_rows(self, home: str, owner: int, first: int, upto: int) -> None:
        origin = Origin(home, "timmy", "state_db", "state", self.now, NOW, owner)
        with self.database.batch() as batch:
            self.rows_of.take(batch, origin, self.rows[first:upto], self.sessions, times_tell=True)
        if owner == 1000:
            self.read_rows = max(self.read_rows, upto)
        for asked, told in self.row_calls[first:upto]:
            if asked is not None:
                self.shown[owner].add(asked)
            if told is not None:
                self.answered[owner].add(told)
        self.check()

    @precondition(lambda self: self.lines)
    @rule(data=st.data(), home=homes, owner=owners)
    def read_a_line(self, data: st.DataObject, home: str, owner: int) -> None:
        sid, line, number = self.lines[data.draw(st.integers(0, len(self.lines) - 1))]
        origin = Origin(home, "timmy", "telemetry", sid, self.now, NOW, owner)
        with self.database.batch() as batch:
            self.ingest.take(batch, origin, line, None)
        self.shown[owner].add(number)
        self.answered[owner].add(number)
        self.check()

    @rule()
    def learn(self) -> None:
        self.engine.analyze_and_adapt()
        found = self.database.executions_after(0, 100_000)
        rated = sum(call.outcome in RATED for call in found)
        assert self.engine.learner.predictions.learned == rated, self.style

    @rule(orderly=st.booleans())
    def restart(self, orderly: bool) -> None:
        if orderly:
            self.engine.save()
        self.database._kept.clear()  # noqa: SLF001 - as a new process begins
        self.cursors.clear()
        self.engine = IntelligenceEngine(self.database, clock=lambda: NOW)

    def check(self) -> None:
        found = self.database.executions_after(0, 100_000)
        counted = sum(map(len, self.shown.values()))
        assert len(found) == counted, (self.style, len(found), counted)
        answered = [
            self.made[n].ok
            for owner in self.shown
            for n in self.answered[owner] & self.shown[owner]
        ]
        told = sorted(call.outcome for call in found if call.outcome in RATED)
        assert told == sorted("ok" if ok else "error" for ok in answered), self.style


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def run(steps: int, *, steps_a_world: int = 40, always_the_same: bool = False) -> None:
    """Take so many steps in fresh worlds."""
    chosen = settings(
        max_examples=max(1, steps // steps_a_world),
        stateful_step_count=steps_a_world,
        deadline=None,
        database=None,
        derandomize=always_the_same,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(World, settings=chosen)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Count what made-up agents leave, against an exact oracle."
    )
    parser.add_argument("--steps", type=int, default=100_000)
    run(parser.parse_args().steps)
