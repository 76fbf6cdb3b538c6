"""From a file to the database: trouble with one file is that file's alone, and a name that is none is not stored."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import IntakeRig, watch_grown
from timmyd.core.tasks import TaskTable
from timmyd.engine.ingest import Ingest
from timmyd.engine.intake import Taken
from timmyd.errors import StoreError

NOW = 1_795_500_000.0
RUN = "0123456789abcdef"
LONGEST_S = 10.0


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[IntakeRig]:
    found = IntakeRig(tmp_path, clock=lambda: NOW)
    yield found
    found.close()


def plain(session: str, *tools: str, model: str = "m") -> bytes:
    messages = [{"role": "tool", "name": tool, "tool_call_id": f"c{n}"} for n, tool in enumerate(tools)]  # fmt: skip
    return json.dumps({"session_id": session, "model": model, "messages": messages}).encode()


def header(run: str = RUN, session: str = "s1") -> bytes:
    return json.dumps({"schema": "timmy.telemetry/1", "run": run, "session_id": session}).encode() + b"\n"  # fmt: skip


def line(number: int, **facts: Any) -> bytes:
    values = {
        "run": RUN, "n": number, "at": NOW - 60.0 + number, "kind": "tool", "tool": "terminal",
        "signature": "9f2c" * 4, "shape": "git status", "outcome": "ok",
    }  # fmt: skip
    return json.dumps(values | facts).encode() + b"\n"


def test_a_file_is_taken_once_and_its_growth_is_taken(intake: IntakeRig) -> None:
    intake.write("a.json", plain("a", "terminal"))
    assert intake.look() == 1
    assert intake.look() == 0

    intake.write("a.json", plain("a", "terminal", "read_file"))
    assert intake.look() == 1
    (row,) = intake.database.files()
    assert (row.state, row.source, row.reason) == ("taken", "session", None)


def test_trouble_with_one_file_is_noted_and_costs_no_other(intake: IntakeRig) -> None:
    intake.write("bad.json", b'{"messages": [')
    intake.write("good.json", plain("g", "terminal"))
    intake.write("other.json", b'{"theme": "dark"}')

    assert intake.look() == 1

    rows = {
        Path(row.path.decode()).name: (row.state, row.reason) for row in intake.database.files()
    }
    assert rows == {
        "bad.json": ("failed", "torn"),
        "good.json": ("taken", None),
        "other.json": ("ignored", "no_messages"),
    }
    assert len(intake.log.named("file_failed")) == 1


def test_the_same_trouble_is_said_once_and_again_after_it_was_over(intake: IntakeRig) -> None:
    for data in (b"{", b"{ ", plain("a", "terminal"), b"{"):
        intake.write("a.json", data)
        intake.look()

    assert [event["reason"] for event in intake.log.named("file_failed")] == ["torn", "torn"]


class Stumbles(Ingest):
    """Raises what nobody foresaw on one file."""

    def take(self, batch: Any, origin: Any, *rest: Any, **named: Any) -> Taken:
        if origin.name == "odd":
            raise ZeroDivisionError
        return super().take(batch, origin, *rest, **named)


def test_what_nobody_foresaw_is_that_files_alone(intake: IntakeRig) -> None:
    intake.reader.ingest = Stumbles(tasks=intake.reader.ingest.describe.tasks)
    for name in ("one", "odd", "two"):
        intake.write(f"{name}.json", plain(name, "terminal"))

    assert intake.look() == 2

    (row,) = intake.database.files(["failed"])
    assert (Path(row.path.decode()).stem, row.reason) == ("odd", "unforeseen")
    assert row.detail == "reading it raised ZeroDivisionError"
    assert intake.inbox.backlog == 0


def test_files_wait_again_if_the_database_refuses(
    intake: IntakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake.write("a.json", plain("a", "terminal"))
    intake.write("b.json", plain("b", "terminal"))
    intake.inbox.find_folders()
    intake.inbox.scan(trusted=False)

    def refuse(*_: object, **__: object) -> Taken:
        raise StoreError("x", "the disk is full", retry=True)

    with monkeypatch.context() as patch:
        patch.setattr(intake.reader.ingest, "take", refuse)
        with pytest.raises(StoreError):
            intake.reader.read_slice()

    assert intake.inbox.backlog == 2
    assert intake.executions() == []
    assert intake.reader.read_slice().executions == 2


def test_a_slice_that_is_over_ends_after_the_file_it_is_at(intake: IntakeRig) -> None:
    for number in range(3):
        intake.write(f"{number}.json", plain(str(number), "terminal"))
    intake.inbox.find_folders()
    intake.inbox.scan(trusted=False)

    assert [intake.reader.read_slice(slice_s=0.0).files for _ in range(4)] == [1, 1, 1, 0]


def test_telemetry_is_read_from_where_it_was_left_also_after_a_restart(intake: IntakeRig) -> None:
    intake.write("timmy/s1.jsonl", header() + line(1) + line(2)[:20])
    assert intake.look() == 1
    intake.restart()
    intake.write("timmy/s1.jsonl", header() + line(1) + line(2))

    assert intake.look() == 1
    assert intake.database.counters().get("duplicates", 0) == 0


def test_a_telemetry_file_that_another_took_the_place_of_is_read_from_its_start(
    intake: IntakeRig,
) -> None:
    intake.write("timmy/s1.jsonl", header() + line(1))
    intake.look()

    other = "f" * 16
    intake.write("timmy/s1.jsonl", header(other, "s2") + line(1, run=other) + line(2, run=other))

    assert intake.look() == 2


def test_a_run_across_files_counts_each_of_its_lines_once(intake: IntakeRig) -> None:
    intake.write("timmy/s1.jsonl", header() + line(1) + line(2))
    intake.write("timmy/s1.1.jsonl", header() + line(2) + line(3))

    assert intake.look() == 3
    assert intake.database.counters()["duplicates"] == 1


def test_lines_that_could_not_be_used_are_said_by_code_and_number(intake: IntakeRig) -> None:
    intake.write("timmy/s1.jsonl", header() + b"{\n" + line(1, outcome="fine") + b"[\n" + line(2))

    assert intake.look() == 1

    (row,) = intake.database.files()
    assert (row.state, row.reason, row.detail) == (
        "taken",
        "not_json",
        "3 elements could not be used",
    )


def test_of_a_newer_telemetry_nothing_is_used(intake: IntakeRig) -> None:
    newer = header().replace(b"telemetry/1", b"telemetry/2")
    intake.write("timmy/s1.jsonl", header() + line(1) + newer)

    assert intake.look() == 0
    assert [row.reason for row in intake.database.files()] == ["newer_schema"]


NO_NAMES = [
    "ignore all earlier words",
    "a\nb",
    "",
    "-rf",
    "x" * 200,
    "é",
    "a;b",
    "$(id)",
    "\x1b[31m",
]


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_that_is_no_name_is_stored_as_unnamed(intake: IntakeRig, name: str) -> None:
    intake.write("a.json", plain("a", name or " ", model=name or " "))
    intake.write("timmy/s1.jsonl", header() + line(1, tool=name or " ", model=name or " "))

    assert intake.look() == 2

    assert {(e.tool, e.model) for e in intake.executions()} == {("unnamed", "unnamed")}


def test_names_as_tools_and_models_have_them_are_stored_as_they_are(intake: IntakeRig) -> None:
    intake.write("a.json", plain("a", "mcp__fs.read:x/y-1", model="org/hermes3:8b@q4+x"))

    intake.look()

    assert [(e.tool, e.model) for e in intake.executions()] == [
        ("mcp__fs.read:x/y-1", "org/hermes3:8b@q4+x")
    ]


def large(calls: int, *, header: str = "", edited: str = "", cut: int = 0) -> bytes:
    """A snapshot as Hermes lays it out, of more than the size from which only its end is decoded."""
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": edited + "x" * 600_000, "_db_persisted": True}
    ]
    for number in range(calls):
        call_id = f"call_{number:030x}"
        request = {
            "id": call_id,
            "function": {"name": "terminal", "arguments": '{"command": "ls"}'},
        }
        messages.append({"role": "assistant", "tool_calls": [request], "_db_persisted": True})
        result = {"role": "tool", "tool_call_id": call_id, "content": '{"exit_code": 0}'}
        messages.append(result | {"_db_persisted": True})
        messages.append({"role": "assistant", "content": "Done.", "_db_persisted": True})
    start = {"session_id": "s", "model": "m", "system_prompt": header, "messages": messages}
    return json.dumps(start, indent=2).encode()[: -cut or None]


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls each decoding of an end alone gave."""
    return watch_grown(monkeypatch)


def test_of_a_large_file_that_grew_only_the_end_is_decoded(
    intake: IntakeRig, grown: list[int]
) -> None:
    counts = []
    for calls in (3, 4, 6, 7):
        intake.write("session_s.json", large(calls))
        counts.append(intake.look())

    assert counts == [3, 1, 2, 1]
    assert grown == [2, 1]  # the first two readings leave no checkpoint and one


@pytest.mark.parametrize(
    ("data", "new", "ends"),
    [
        (large(6, edited="another"), 2, []),
        (large(2), 0, []),
        (large(6, header="h" * 300_000), 2, [2]),
    ],
    ids=["its settled part changed", "it went back", "its head is long"],
)
def test_what_cannot_be_proven_piece_by_piece_is_read_whole(
    intake: IntakeRig, grown: list[int], data: bytes, new: int, ends: list[int]
) -> None:
    for calls in (3, 4):
        intake.write("session_s.json", large(calls))
        intake.look()

    intake.write("session_s.json", data)

    assert intake.look() == new
    assert grown == ends


def test_a_large_file_that_is_cut_off_is_noted_and_read_on_when_it_is_whole(
    intake: IntakeRig, grown: list[int]
) -> None:
    for calls in (3, 4):
        intake.write("session_s.json", large(calls))
        intake.look()

    intake.write("session_s.json", large(6, cut=40))
    assert intake.look() == 0
    assert [row.reason for row in intake.database.files(["failed"])] == ["torn"]

    intake.write("session_s.json", large(6))
    assert intake.look() == 2
    assert grown == [2]


# ------------------------------------------------------------------- bounded by slices
def calls_of(count: int) -> bytes:
    requests = [
        {"role": "assistant", "tool_calls": [
            {"id": f"call_{n}", "function": {"name": "terminal", "arguments": "{}"}}
        ]}
        for n in range(count)
    ]  # fmt: skip
    began = {"session_start": "2026-01-01T00:00:00", "last_updated": "2026-01-01T01:00:00"}
    return json.dumps({"session_id": "long", **began, "messages": requests}).encode()


@pytest.mark.parametrize("name", ["session_long.json", "long.json"])
def test_a_document_of_many_calls_is_taken_in_slices_and_to_its_end(
    intake: IntakeRig, name: str
) -> None:
    intake.reader.ingest = Ingest(tasks=TaskTable.default(), calls_a_slice=100)
    intake.write(name, calls_of(950))
    intake.inbox.find_folders()
    intake.inbox.scan(trusted=False)
    taken = []
    while intake.inbox.backlog:
        taken.append(intake.reader.read_slice(slice_s=0.0).executions)
    assert taken == [100] * 9 + [50]
    assert intake.look() == 0
    found = intake.database.executions_after(0, 2_000)
    times = [one.at for one in found]
    assert times == sorted(times)
    assert len(set(times)) == 950  # spread over the hour, each slice where it belongs


def test_a_process_that_ends_between_two_slices_reads_on(tmp_path: Path) -> None:
    rig = IntakeRig(tmp_path, clock=lambda: NOW)
    rig.reader.ingest = Ingest(tasks=TaskTable.default(), calls_a_slice=100)
    rig.write("long.json", calls_of(250))
    rig.inbox.find_folders()
    rig.inbox.scan(trusted=False)
    assert rig.reader.read_slice(slice_s=0.0).executions == 100
    rig.restart()
    assert rig.look() == 150
    rig.close()


def test_telemetry_of_any_size_is_read_a_piece_at_a_time(intake: IntakeRig) -> None:
    run = "0123456789abcdef"
    head = {"schema": "timmy.telemetry/1", "run": run, "session_id": "s", "house": "x"}
    line = {"run": run, "at": NOW - 60.0, "kind": "tool", "tool": "terminal", "outcome": "ok"}
    line |= {"signature": run, "shape": "git push", "call_id": "c"}
    lines = [json.dumps(head), *(json.dumps({**line, "n": n, "call_id": f"c{n}"}) for n in range(15_000))]  # fmt: skip
    lines.insert(8_000, "x" * 3_000_000)
    intake.write("timmy/s.jsonl", "\n".join([*lines, ""]).encode())
    intake.inbox.find_folders()
    intake.inbox.scan(trusted=False)
    pieces = []
    while intake.inbox.backlog:
        pieces.append(intake.reader.read_slice(slice_s=0.0).executions)
    assert sum(pieces) == 15_000
    assert len(pieces) >= 5
    assert max(pieces) < 10_000


@pytest.mark.parametrize(
    "messages",
    [
        b'{"role":"assistant","tool_calls":[' + b"{}," * 333_333 + b"{}]}",
        b"{}," * 2_700_000 + b"{}",
        b'{"role":"tool","content":[' + b"[]," * 2_700_000 + b"[]]}",
        b'{"role":"tool","content":"' + b"x" * (17 << 20) + b'"}',
        b'{"role":"tool","content":[' + b"1," * 9_000_000 + b"1]}",
    ],
    ids=["calls", "messages", "lists", "one text", "numbers"],
)
def test_a_document_that_would_fill_the_memory_costs_little(
    intake: IntakeRig, messages: bytes
) -> None:
    intake.write("dense.json", b'{"session_id":"a","messages":[' + messages + b"]}")
    intake.write("good.json", plain("good", "terminal"))
    began = time.monotonic()
    assert intake.look() == 1
    assert time.monotonic() - began < LONGEST_S
    reasons = {row.reason for row in intake.database.files() if b"dense" in row.path}
    assert reasons <= {"too_dense", "bad_request", "too_many_calls"}
