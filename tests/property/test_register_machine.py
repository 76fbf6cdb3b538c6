"""A made-up agent against the real intake: whatever it does to its files, each call that was read is counted once.

The limits of what a snapshot can tell, which the model keeps to:

* Where ids do not repeat, arguments may repeat as they like, in every flow.
* Where ids repeat (counters, restarting counters, one id for all, none), two calls with the same id and
  the same arguments cannot be told apart once compaction, rotation, a branch or an undo has moved or
  dropped one of them: the bytes of the file are the same. So there the model makes no two equal calls.
* Where ids repeat and no message has a time, a branch looks like the same work done twice, and is counted.
* Where ids repeat, what a compaction, a rotation or a branch moves was read where it stood before.
* Where ids repeat and an undo or a retry has left the file as it was (it would be shorter), nothing is
  moved before the file has outgrown it: its end is no longer the end of the conversation.
* With the kit on, what a move copies was read before it; where ids repeat too, nothing is moved.
* Where ids repeat, a conversation is moved once; of several moves in a row some copies are not known.
* Where ids repeat, an old version that is put back after a rotation hides what the newer one copied from.
* A file that is shorter than what stands is not written: the agent itself skips that.
"""

import json
import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.support import IntakeRig
from timmyd.house.shape import describe

START = 1_700_000_000.0
NOW = 1_720_000_000.0
OK = '{"output": "", "exit_code": 0, "error": null}'
BAD = '{"output": "", "exit_code": 3, "error": "failed"}'
TOOLS = ("terminal", "read_file")
STYLES = ("unique", "counters", "restarting", "constant", "empty")


class Made(NamedTuple):
    """A call that really ran."""

    number: int
    call_id: str
    tool: str
    arguments: str
    at: float
    ok: bool


class Item(NamedTuple):
    """One entry of a conversation: the user's words, a call, a summary, or the end of a turn."""

    kind: str
    call: Made | None = None
    words: str = ""


def written(data: bytes) -> float:
    return datetime.fromisoformat(json.loads(data)["last_updated"]).timestamp()


def iso(at: float) -> str:
    return datetime.fromtimestamp(at).isoformat(timespec="microseconds")  # noqa: DTZ006 - the agent writes local times


class Agent(RuleBasedStateMachine):
    """The files of one conversation and what it became."""

    @initialize(style=st.sampled_from(STYLES), kit=st.booleans())
    def begin(self, style: str, kit: bool) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="timmyd-"))
        self.intake = IntakeRig(self.base, clock=lambda: NOW, database=":memory:")
        self.style = style
        self.kit = kit
        self.now = START
        self.made: list[Made] = []
        self.unanswered: set[int] = set()
        self.items: list[Item] = []
        self.sids = 0
        self.lines: dict[str, list[bytes]] = {}
        self.latest: dict[str, tuple[bytes, frozenset[int], frozenset[int]]] = {}
        self.history: list[tuple[str, bytes, frozenset[int], frozenset[int]]] = []
        self.sizes: dict[str, int] = {}
        self.waiting: dict[str, tuple[frozenset[int], frozenset[int]]] = {}
        self.recorded: set[int] = set()
        self.read: set[int] = set()
        self.answered: set[int] = set()
        self.timestamps = False
        self.moved = False
        self.new_session()

    def teardown(self) -> None:
        if hasattr(self, "intake"):
            self.look()
            self.intake.close()
            shutil.rmtree(self.base)

    # ------------------------------------------------------------------ the agent
    def new_session(self) -> None:
        self.sids += 1
        self.sid = f"20231114_2213{self.sids:02d}_abc{self.sids:03d}"
        self.started = iso(self.tick())

    def tick(self) -> float:
        self.now += 10.0
        return self.now

    def call(self, choice: int, ok: bool) -> Made:
        number = len(self.made)
        call_id = {
            "unique": f"call_Zk3q7{number:012d}Qx",
            "counters": f"call_{number}",
            "restarting": f"call_{number % 3}",
            "constant": "call_0",
            "empty": "",
        }[self.style]
        text = f"echo {choice if self.style == 'unique' else number}"
        tool = TOOLS[choice % 2]
        made = Made(number, call_id, tool, json.dumps({"command": text}), self.tick(), ok)
        self.made.append(made)
        if self.kit:
            self.record(made)
        return made

    def record(self, made: Made) -> None:
        run = f"{self.sids:016x}"
        lines = self.lines.setdefault(self.sid, [])
        if not lines:
            head = {"schema": "timmy.telemetry/1", "run": run, "session_id": self.sid}
            lines.append(json.dumps(head).encode())
        signature, shape = describe(made.tool, made.arguments)
        line = {
            "run": run,
            "n": len(lines),
            "at": made.at,
            "kind": "tool",
            "tool": made.tool,
            "call_id": made.call_id,
            "signature": signature,
            "shape": shape,
            "outcome": "ok" if made.ok else "error",
            "rule": "given",
            "latency_ms": 5.0,
        }
        lines.append(json.dumps(line).encode())
        self.recorded.add(made.number)
        path = self.intake.sessions / "timmy" / f"{self.sid}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\n".join(lines) + b"\n")

    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for item in self.items:
            made = item.call
            if made is None:
                role = "user" if item.kind in {"user", "summary"} else "assistant"
                message: dict[str, Any] = {"role": role, "content": item.words}
                if item.kind == "summary":
                    message["_compressed_summary"] = True
                found.append(message)
                continue
            function = {"name": made.tool, "arguments": made.arguments}
            request = {"id": made.call_id, "function": function}
            found.append({"role": "assistant", "content": "", "tool_calls": [request]})
            if made.number not in self.unanswered:
                result: dict[str, Any] = {"role": "tool", "tool_call_id": made.call_id}
                result["content"] = OK if made.ok else BAD
                if self.timestamps:
                    result["timestamp"] = made.at
                found.append(result)
        return found

    def write(self) -> None:
        messages = self.messages()
        if len(messages) < self.sizes.get(self.sid, 0):
            return
        self.sizes[self.sid] = len(messages)
        document = {
            "session_id": self.sid,
            "model": "m",
            "platform": "cli",
            "session_start": self.started,
            "last_updated": iso(self.tick()),
            "messages": messages,
        }
        data = json.dumps(document, indent=2).encode()
        shown = frozenset(item.call.number for item in self.items if item.call is not None)
        version = (f"session_{self.sid}.json", data, shown, shown - self.unanswered)
        self.history.append(version)
        self.put(*version)

    def put(self, name: str, data: bytes, shown: frozenset[int], answered: frozenset[int]) -> None:
        self.intake.write(name, data, at=written(data))
        self.waiting[name] = (shown, answered)

    @property
    def turn_is_over(self) -> bool:
        return bool(self.items) and self.items[-1].kind == "end"

    def do_turn(self, calls: list[tuple[int, bool]], words: str) -> None:
        self.items.append(Item("user", words=words))
        self.items += [Item("call", self.call(choice, ok)) for choice, ok in calls]
        self.items.append(Item("end", words="done"))

    # --------------------------------------------------------------------- rules
    calls = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=4)

    @rule(calls=calls, seen=st.booleans())
    def take_a_turn(self, calls: list[tuple[int, bool]], seen: bool) -> None:
        if self.items and not self.turn_is_over:
            self.items.append(Item("end", words="done"))
        self.do_turn(calls, f"turn {len(self.made)}")
        self.write()
        if seen:
            self.look()

    @rule(calls=calls)
    def write_after_every_round(self, calls: list[tuple[int, bool]]) -> None:
        if self.items and not self.turn_is_over:
            self.items.append(Item("end", words="done"))
        self.items.append(Item("user", words=f"turn {len(self.made)}"))
        for choice, ok in calls:
            made = self.call(choice, ok)
            self.items.append(Item("call", made))
            self.unanswered.add(made.number)
            self.write()
            self.look()
            self.unanswered.discard(made.number)
            self.write()
            self.look()
        self.items.append(Item("end", words="done"))
        self.write()

    @precondition(lambda self: self.turn_is_over and not self.kit and self.style != "empty")
    @rule()
    def leave_a_call_unanswered(self) -> None:
        made = self.call(0, True)
        self.items += [Item("user", words=f"turn {made.number}"), Item("call", made)]
        self.unanswered.add(made.number)
        self.write()

    @precondition(lambda self: bool(self.unanswered))
    @rule()
    def answer_it(self) -> None:
        last = self.items[-1].call if self.items else None
        if last is not None and last.number in self.unanswered:
            self.unanswered.discard(last.number)
            self.items.append(Item("end", words="done"))
            self.write()

    @precondition(lambda self: self.turn_is_over)
    @rule()
    def undo_the_last_turn(self) -> None:
        place = max(n for n, item in enumerate(self.items) if item.kind in {"user", "summary"})
        if self.items[place].kind == "user" and place:
            del self.items[place:]

    @precondition(lambda self: self.turn_is_over)
    @rule(calls=calls)
    def retry_the_last_turn(self, calls: list[tuple[int, bool]]) -> None:
        place = max(n for n, item in enumerate(self.items) if item.kind in {"user", "summary"})
        if self.items[place].kind == "user":
            words = self.items[place].words
            del self.items[place:]
            self.do_turn(calls, words)
            self.write()

    def compacted(self, head: int, tail: int) -> list[Item]:
        calls = [n for n, item in enumerate(self.items) if item.call is not None]
        kept = self.items[: calls[0] + head] if calls else []
        start = calls[-tail] if 0 < tail <= len(calls) else len(self.items) - 1
        start = max(start, len(kept))
        rest = [item for item in self.items[start:] if item.kind != "summary"]
        return [*kept, Item("summary", words=f"summary {self.tick()}"), *rest]

    @precondition(lambda self: self.turn_is_over and len(self.items) > 6)
    @rule(head=st.integers(0, 1), tail=st.integers(0, 4), calls=calls)
    def compact_in_place(self, head: int, tail: int, calls: list[tuple[int, bool]]) -> None:
        if not self.may_move():
            return
        self.items = self.compacted(head, tail)
        self.do_turn(calls, f"turn {len(self.made)}")
        self.write()

    def may_move(self) -> bool:
        """Read what is about to be moved; where ids repeat, only a file that is up to date may move."""
        if self.recorded or self.style != "unique":
            self.look()
        if self.style == "unique":
            return True
        if self.recorded or self.moved or self.sizes.get(self.sid) != len(self.messages()):
            return False
        self.moved = True
        return True

    @precondition(lambda self: self.turn_is_over and len(self.items) > 6)
    @rule(head=st.integers(0, 1), tail=st.integers(0, 4))
    def rotate(self, head: int, tail: int) -> None:
        if not self.may_move():
            return
        started = self.started
        self.items = self.compacted(head, tail)
        self.new_session()
        self.started = started
        self.items.append(Item("user", words="go on"))
        self.write()
        self.do_turn([(1, True)], f"turn {len(self.made)}")
        self.write()

    @precondition(
        lambda self: (
            self.turn_is_over
            and self.style == "unique"
            and not any(i.kind == "summary" for i in self.items)
        )
    )
    @rule()
    def branch(self) -> None:
        if not self.may_move():
            return
        self.write()
        self.new_session()
        self.items.append(Item("user", words=f"on a branch {self.sids}"))
        self.write()
        self.do_turn([(2, False)], f"turn {len(self.made)}")
        self.write()

    @rule()
    def resume(self) -> None:
        self.started = iso(self.tick())
        self.timestamps = True
        self.write()

    @rule()
    def switch_the_kit(self) -> None:
        self.look()
        self.kit = not self.kit and not self.unanswered

    # ------------------------------------------------------------------ the daemon
    @rule()
    def restart_the_daemon(self) -> None:
        self.intake.restart()

    @precondition(lambda self: self.style == "unique")
    @rule(data=st.data())
    def put_an_old_version_back(self, data: st.DataObject) -> None:
        if self.history:
            self.look()
            version = self.history[data.draw(st.integers(0, len(self.history) - 1))]
            current = next(v for v in reversed(self.history) if v[0] == version[0])
            self.put(*version)
            self.look()
            self.put(*current)

    @rule()
    def read_everything_again(self) -> None:
        self.intake.forget_looks()
        self.look()

    @rule()
    def look(self) -> None:
        self.intake.look()
        for shown, answered in self.waiting.values():
            self.read |= shown
            self.answered |= answered
        self.waiting.clear()
        self.read |= self.recorded
        self.answered |= self.recorded
        found = self.intake.executions()
        assert len(found) == len(self.read), (self.style, len(found), len(self.read))
        told = {"ok": 0, "error": 0, "unknown": 0}
        for execution in found:
            told[execution.outcome] += 1
        true = [self.made[number] for number in self.read]
        if self.style != "empty":
            assert told == {
                "ok": sum(m.ok and m.number in self.answered for m in true),
                "error": sum(not m.ok and m.number in self.answered for m in true),
                "unknown": sum(m.number not in self.answered for m in true),
            }


TestAgent = Agent.TestCase
TestAgent.settings = settings(max_examples=40, stateful_step_count=16, deadline=None)
