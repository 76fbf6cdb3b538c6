"""Many sessions in one process of an agent, as in a gateway: what they do, and what they were told."""

import json
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.hermes.support.agent import HermesAgent
from tests.hermes.support.model_server import MODEL, ModelServer
from tests.hermes.support.script import Calls, Step, ToolCall, say

TOOLSETS: Final = ("terminal", "file", "todo", "code_execution", "delegation", "memory")
TIMEOUT_S: Final = 240.0

_MANY: Final = Path(__file__).with_name("many.py")
_SCRIPT: Final = """
from concurrent.futures import ThreadPoolExecutor
from hermes_tools import read_file

def read(number):
    return "error" not in read_file(f"{work}/f{{number}}.txt")

with ThreadPoolExecutor({threads}) as pool:
    print(sum(pool.map(read, range({first}, {last}))), "read")
"""
# What differs between two runs of the same work: clocks, the ids and places that are made of them, and which
# of the reviews is the first to write into the memory that all sessions share.
_VARIES: Final = re.compile(
    r"\d+\.\d+|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?|[0-9a-f]{8,}|subagent-\d+-\w+|\b\d{1,2}:\d\d\b"
    r"|\d+% \S+ [\d,]+/[\d,]+ chars|entry_count\W+\d+"
)


@dataclass(frozen=True, slots=True)
class Work:
    """What each session does: parallel reads, scripts of inner reads, a delegated child, a review.

    Attributes:
        sessions: How many sessions there are, all at the same time.
        reads: Reads in one parallel batch.
        scripts: How many scripts a session runs.
        inner: Reads inside each.
        threads: In how many threads.
    """

    sessions: int = 4
    reads: int = 8
    scripts: int = 2
    inner: int = 200
    threads: int = 8

    def names(self) -> list[str]:
        """The ids of the sessions."""
        return [f"20261201_000000_{number:08x}" for number in range(1, self.sessions + 1)]

    def prepare(self, agent: HermesAgent) -> dict[str, str]:
        """Write the files, set the scripts of the model; gives the message of each session."""
        work = agent.home.work
        for number in range(max(self.reads, self.scripts * self.inner)):
            (work / f"f{number}.txt").write_text(f"file {number}\n")
        messages: dict[str, str] = {}
        for name in self.names():
            agent.server.script(f"{name}-child", *_child_steps(name, work))
            agent.server.script(name, *self._steps(name, work))
            messages[name] = f"do the work [[S:{name}]]"
        return messages

    def _steps(self, name: str, work: Path) -> Iterator[Step]:
        reads = (_read(f"{name}-r{n}", work, n) for n in range(self.reads))
        yield Calls(tuple(reads))
        for number in range(self.scripts):
            first = number * self.inner
            code = _SCRIPT.format(
                work=str(work), threads=self.threads, first=first, last=first + self.inner
            )
            yield Calls((ToolCall("execute_code", {"code": code}, id=f"{name}-s{number}"),))
        goal = f"do a small thing [[S:{name}-child]]"
        yield Calls((ToolCall("delegate_task", {"goal": goal}, id=f"{name}-d"),))
        yield say("all is done")
        # the background review, which has the whole conversation before it
        fact = {"action": "add", "target": "memory", "content": f"a fact of {name}"}
        yield Calls((ToolCall("memory", fact, id=f"{name}-m"),))
        yield say("reviewed")

    def expected(self) -> Counter[tuple[str, str, bool]]:
        """How many lines there should be by session (`child` for children), tool and `inner`."""
        found: Counter[tuple[str, str, bool]] = Counter()
        for name in self.names():
            found[name, "read_file", False] = self.reads
            found[name, "execute_code", False] = self.scripts
            found[name, "read_file", True] = self.scripts * self.inner
            found[name, "delegate_task", False] = 1
            found[name, "memory", True] = 1
            found["child", "read_file", False] += 2
            found["child", "terminal", False] += 1
        return +found


def _read(call_id: str, work: Path, number: int) -> ToolCall:
    return ToolCall("read_file", {"path": str(work / f"f{number}.txt")}, id=call_id)


def _child_steps(name: str, work: Path) -> Sequence[Step]:
    return (
        Calls(tuple(_read(f"{name}-c{n}", work, n) for n in range(2))),
        Calls((ToolCall("terminal", {"command": "echo child"}, id=f"{name}-t"),)),
        say("the small thing is done"),
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What came of the work.

    Attributes:
        answers: What each session said at the end.
        slash: What `/timmy` says after that; empty without the kit.
        requests: The bodies of all requests to the model by script, in order, without what varies.
        results: What the tools answered, by call id.
        log: All that the process printed.
        seconds: How long it took.
    """

    answers: dict[str, str]
    slash: str
    requests: dict[str, list[str]]
    results: dict[str, str]
    log: str
    seconds: float


def run(agent: HermesAgent, work: Work) -> Told:
    """Do the work in one process; ends when the reviews and the children are over, too."""
    agent.home.configure(
        {
            "code_execution": {"max_tool_calls": 10_000, "timeout": 200},
            "memory": {"memory_enabled": True, "nudge_interval": 1},
            "delegation": {"max_concurrent_children": 8},
        }
    )
    messages, server = work.prepare(agent), agent.server
    before = len(server.requests)
    place = agent.home.user_home
    wanted, answers, done = place / "wanted.json", place / "answers.json", place / "done"
    for path in (answers, done):
        path.unlink(missing_ok=True)
    spec = {"sessions": messages, "toolsets": TOOLSETS, "platform": "telegram"}
    wanted.write_text(json.dumps(spec))
    environment = {
        **agent.environment(),
        "TIMMY_MODEL": MODEL,
        "TIMMY_MODEL_URL": server.base_url,
        "TIMMY_ALL_DONE": str(done),
    }
    python = agent.python
    began = time.monotonic()
    log = place / "many.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(python), "-P", str(_MANY), str(wanted), str(answers)],
            cwd=agent.home.work, env=environment, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            _wait(process, server, work)
            done.touch()
            process.wait(TIMEOUT_S)
        finally:
            process.kill()
            process.wait()
    text = log.read_text("utf-8", errors="replace")
    assert answers.exists(), text[-3000:]
    asked = server.requests[before:]
    requests: dict[str, list[str]] = {}
    results: dict[str, str] = {}
    for request in asked:
        requests.setdefault(str(request.script), []).append(_plain(request.body, str(place)))
        for message in request.messages:
            if message.get("role") == "tool":
                results[str(message["tool_call_id"])] = str(message["content"])
    said = json.loads(answers.read_text())
    slash = str(said.pop("/timmy", ""))
    return Told(said, slash, requests, results, text, time.monotonic() - began)


def _wait(process: subprocess.Popen[bytes], server: ModelServer, work: Work) -> None:
    """Until every script has come to its end."""
    deadline = time.monotonic() + TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        if all(server.is_over(name) and server.is_over(f"{name}-child") for name in work.names()):
            return
        threading.Event().wait(0.05)


def _plain(body: Mapping[str, Any], place: str) -> str:
    """A request as text, with what differs between two runs taken out."""
    return _VARIES.sub("#", json.dumps(body, sort_keys=True).replace(place, "HOME"))
