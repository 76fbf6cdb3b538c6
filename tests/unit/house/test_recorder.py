"""The recorder: whole lines of the contract, one write each, and never an error."""

import json
import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from timmyd.house.lines import LONGEST_LINE_BYTES, file_name
from timmyd.house.recorder import SCHEMA, Recorder

NOW = 1_795_381_822.24
DAY_S = 86_400.0


class FailingDisk:
    """Writes as told: at call `at` it writes only `written` bytes, or refuses with `error`."""

    def __init__(self, at: int, *, written: int = 0, error: bool = False) -> None:
        self.at = at
        self.written = written
        self.error = error
        self.writes = 0

    def open(self, path: str, flags: int, mode: int) -> int:
        return os.open(path, flags, mode)

    def write(self, fd: int, data: bytes) -> int:
        self.writes += 1
        if self.writes != self.at:
            return os.write(fd, data)
        if self.error:
            raise OSError(28, "No space left on device")
        return os.write(fd, data[: self.written]) if self.written else 0


def _recorder(folder: Path, **options: Any) -> Recorder:
    given = {"house": "ezra", "kit": "0.1.0", "hermes": "0.19.0", "clock": lambda: NOW, **options}
    return Recorder(folder, **given)


def _tool(recorder: Recorder, session: str = "s1", **changes: Any) -> None:
    line: dict[str, Any] = {
        "tool": "terminal",
        "call_id": "call_0",
        "turn": "t",
        "inner": False,
        "model": "hermes3:8b",
        "signature": "9f2c9f2c9f2c9f2c",
        "shape": "git status",
        "outcome": "error",
        "rule": "exit_nonzero",
        "error_type": "exit_128",
        "latency_ms": 740.2,
        "policy": 17,
        "followed": True,
    }
    recorder.tool(session, **{**line, **changes})


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]


def test_the_lines_are_exactly_those_of_the_contract(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path / "timmy")
    recorder.about("s1", platform="cli", parent="s0")
    _tool(recorder)
    recorder.model(
        "s1",
        model="m",
        provider="p",
        outcome="ok",
        latency_ms=429.7,
        tokens_in=1000,
        tokens_out=20,
    )
    recorder.end("s1", completed=True, interrupted=False)

    header, tool, model, end = _lines(tmp_path / "timmy" / "s1.jsonl")
    run = header["run"]
    assert len(run) == 16
    assert int(run, 16) >= 0
    assert header == {
        "schema": SCHEMA,
        "run": run,
        "session_id": "s1",
        "house": "ezra",
        "platform": "cli",
        "parent": "s0",
        "kit": "0.1.0",
        "hermes": "0.19.0",
    }
    assert tool == {
        "run": run,
        "n": 1,
        "at": NOW,
        "kind": "tool",
        "tool": "terminal",
        "call_id": "call_0",
        "turn": "t",
        "inner": False,
        "model": "hermes3:8b",
        "signature": "9f2c9f2c9f2c9f2c",
        "shape": "git status",
        "outcome": "error",
        "rule": "exit_nonzero",
        "error_type": "exit_128",
        "latency_ms": 740.2,
        "policy": 17,
        "followed": True,
    }
    assert model == {
        "run": run,
        "n": 2,
        "at": NOW,
        "kind": "model",
        "model": "m",
        "provider": "p",
        "outcome": "ok",
        "latency_ms": 429.7,
        "tokens_in": 1000,
        "tokens_out": 20,
    }
    assert end == {
        "run": run,
        "n": 3,
        "at": NOW,
        "kind": "end",
        "completed": True,
        "interrupted": False,
    }
    assert recorder.dropped == 0


def test_followed_is_absent_where_nothing_was_published(tmp_path: Path) -> None:
    _tool(_recorder(tmp_path), followed=None)

    assert "followed" not in _lines(tmp_path / "s1.jsonl")[1]


def test_files_and_folder_are_the_users_alone(tmp_path: Path) -> None:
    _tool(_recorder(tmp_path / "sessions" / "timmy"))

    assert (tmp_path / "sessions" / "timmy").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "sessions" / "timmy" / "s1.jsonl").stat().st_mode & 0o777 == 0o600


def test_each_recorder_of_one_session_writes_a_run_of_its_own(tmp_path: Path) -> None:
    first, second = _recorder(tmp_path), _recorder(tmp_path)
    for recorder in (first, second, first, second):
        _tool(recorder)

    lines = _lines(tmp_path / "s1.jsonl")
    runs = {line["run"] for line in lines}
    assert len(runs) == 2
    for run in runs:
        assert [line.get("n") for line in lines if line["run"] == run] == [None, 1, 2]


def _write_many(folder: str, count: int) -> None:
    recorder = _recorder(Path(folder))
    for _ in range(count):
        _tool(recorder, shape="x" * 60)


def test_lines_of_several_processes_never_mix(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_many, args=(str(tmp_path), 100)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    lines = _lines(tmp_path / "s1.jsonl")
    assert len(lines) == 303
    assert len({(line["run"], line.get("n")) for line in lines}) == 303


def test_threads_number_their_lines_without_a_gap(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path)

    def write() -> None:
        for _ in range(50):
            _tool(recorder)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [line["n"] for line in _lines(tmp_path / "s1.jsonl")[1:]] == list(range(1, 201))


def test_a_forked_process_starts_a_run_of_its_own(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path)
    _tool(recorder)
    child = os.fork()
    if child == 0:
        _tool(recorder)
        os._exit(0)
    os.waitpid(child, 0)
    _tool(recorder)

    lines = _lines(tmp_path / "s1.jsonl")
    assert len({line["run"] for line in lines}) == 2
    assert len({(line["run"], line.get("n")) for line in lines}) == len(lines) == 5


@pytest.mark.parametrize("at", range(1, 6))
@pytest.mark.parametrize("written", [0, 1, 30, -1])
def test_a_full_disk_drops_lines_and_every_other_line_stays_whole(
    tmp_path: Path, at: int, written: int
) -> None:
    disk = FailingDisk(at, written=max(0, written), error=written < 0)
    recorder = _recorder(tmp_path, disk=disk)
    for _ in range(4):
        _tool(recorder)

    whole = []
    for text in (tmp_path / "s1.jsonl").read_text().splitlines():
        try:
            whole.append(json.loads(text))
        except ValueError:
            continue
    numbers = [line["n"] for line in whole if "n" in line]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == recorder.written == 4 - recorder.dropped
    assert recorder.dropped == 1
    runs = {line["run"] for line in whole if "schema" in line}
    assert {line["run"] for line in whole} == runs


@pytest.mark.parametrize("made", ["file", "link", "fifo", "folder"])
def test_whatever_lies_where_it_writes_is_left_alone(tmp_path: Path, made: str) -> None:
    target = tmp_path / "s1.jsonl"
    if made == "link":
        (tmp_path / "victim").write_text("precious")
        target.symlink_to(tmp_path / "victim")
    elif made == "fifo":
        os.mkfifo(target)
    elif made == "folder":
        target.mkdir()
    recorder = _recorder(tmp_path / "s1.jsonl" if made == "file" else tmp_path)
    if made == "file":
        target.write_text("precious")
    _tool(recorder)
    recorder.end("s1", completed=True, interrupted=False)

    assert recorder.dropped == 2
    if made == "link":
        assert (tmp_path / "victim").read_text() == "precious"
    if made == "file":
        assert target.read_text() == "precious"


def test_a_file_that_was_removed_begins_again_with_a_header(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path)
    _tool(recorder)
    (tmp_path / "s1.jsonl").unlink()
    _tool(recorder)

    header, line = _lines(tmp_path / "s1.jsonl")
    assert header["schema"] == SCHEMA
    assert (line["run"], line["n"]) == (header["run"], 1)


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "\x00" * 5000, "\ud800" * 5000, "\n" * 5000, "😀" * 5000, '"' * 5000]
)
def test_no_line_reaches_four_kib_whatever_the_session_says(tmp_path: Path, text: str) -> None:
    recorder = _recorder(tmp_path)
    recorder.about(text, platform=text, parent="p" + text)
    _tool(
        recorder, text, tool=text, call_id=text, turn=text, model=text, error_type=text, shape=text
    )

    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    assert len(data.splitlines()) == 2
    assert all(len(line) < LONGEST_LINE_BYTES + 1 for line in data.splitlines(keepends=True))
    assert len(_lines(path)) == 2


def test_session_ids_make_safe_names_and_never_the_same_one() -> None:
    ids = [
        "a",
        "a/b",
        "a_b",
        "../../etc/passwd",
        "",
        ".",
        "x" * 300,
        "x" * 301,
        "\ud800",
        "A",
        "a\0",
    ]
    names = [file_name(session) for session in ids]

    assert len(set(names)) == len(ids)
    assert all("/" not in name and not name.startswith(".") and len(name) < 150 for name in names)


def test_only_its_own_old_files_are_removed(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path, keep_s=14 * DAY_S)
    _tool(recorder, "old")
    _tool(recorder, "new")
    (tmp_path / "foreign.jsonl").write_text('{"not": "ours"}\n')
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "old.jsonl")
    for name in ("old.jsonl", "foreign.jsonl", "notes.txt"):
        os.utime(tmp_path / name, (NOW - 15 * DAY_S, NOW - 15 * DAY_S))
    os.utime(tmp_path / "new.jsonl", (NOW - 0.5 * DAY_S, NOW - 0.5 * DAY_S))
    recorder = _recorder(tmp_path, keep_s=14 * DAY_S)
    recorder.sweep(NOW)

    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "foreign.jsonl",
        "link.jsonl",
        "new.jsonl",
        "notes.txt",
    ]
    assert recorder.sweep(NOW + 1.0) == 0


@pytest.mark.parametrize("ahead_s", [2 * 365 * DAY_S, 32 * DAY_S])
def test_a_clock_that_is_ahead_for_one_session_removes_nothing(
    tmp_path: Path, ahead_s: float
) -> None:
    for number in range(3):
        _tool(_recorder(tmp_path), f"s{number}")
        at = NOW - number * DAY_S
        os.utime(tmp_path / file_name(f"s{number}"), (at, at))
    recorder = _recorder(tmp_path, clock=lambda: NOW + ahead_s, keep_s=14 * DAY_S)
    _tool(recorder, "wrong")
    os.utime(tmp_path / file_name("wrong"), (NOW + ahead_s, NOW + ahead_s))

    assert recorder.sweep(NOW + ahead_s) == 0
    assert len(list(tmp_path.iterdir())) == 4


def test_a_clock_that_fails_or_lies_drops_at_most_the_line(tmp_path: Path) -> None:
    def broken() -> float:
        raise RuntimeError

    for clock in (broken, lambda: float("nan"), lambda: float("inf")):
        recorder = _recorder(tmp_path, clock=clock)
        _tool(recorder)
        recorder.end("s1", completed=True, interrupted=False)
        assert recorder.dropped == 2
