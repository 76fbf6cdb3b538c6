"""Following the databases of homes and profiles: found, looked at cheaply, read in pieces, told of."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.contract.state_db_corpus import CORPUS, NOW, ROWS, counts, truth
from timmyd.service.homes import Place
from timmyd.service.logs import captured
from timmyd.service.metrics import Metrics
from timmyd.service.state_dbs import StateDbs
from timmyd.store.database import PatternDatabase

CASE = "c04_rotate_manual"


def put(case: str, home: Path) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(CORPUS / case / "state.db", home / "state.db")
    os.utime(home / "state.db", (NOW - 60.0, NOW - 60.0))
    return home / "state.db"


class Daemon:
    """The part of the daemon that follows databases, without its loop."""

    def __init__(self, *places: Place, store: PatternDatabase | None = None) -> None:
        self.now = NOW
        self.reads = 0
        self.store = store or PatternDatabase(":memory:", clock=lambda: self.now)
        self.events: list[dict[str, Any]] = []
        self.dbs = StateDbs(
            places, self.store, ROWS, log=captured(self.events), metrics=Metrics("test"),
            clock=lambda: self.now, settle_s=0.0,
        )  # fmt: skip

    def settle(self) -> int:
        """Read until nothing is new; returns how many executions were counted."""
        self.dbs.find()
        total = 0
        for _ in range(1_000):
            for file in self.dbs.files.values():
                file.due_at = 0.0
            step = self.dbs.look()
            total += step.executions
            self.reads += step.files
            if not step.files and not self.dbs.backlog:
                return total
        raise AssertionError("it never ends")

    def codes(self) -> dict[str, str]:
        return {finding.path.parent.name: finding.code for finding in self.dbs.findings()}


def test_a_home_and_its_profiles_are_found_also_later(tmp_path: Path) -> None:
    home = tmp_path / "home"
    daemon = Daemon(Place(home))
    assert daemon.settle() == 0
    put("x01_repeat_ids_and_calls", home)
    assert daemon.settle() == 9
    put("y02_retry_same_id", home / "profiles" / "ezra")
    put("y02_retry_same_id", home / "profiles" / "No House!")
    assert daemon.settle() == 2
    assert daemon.store.houses() == ["ezra", "timmy"]
    daemon.dbs.close()


def test_a_place_that_is_no_home_or_without_the_source_is_left_alone(tmp_path: Path) -> None:
    put(CASE, tmp_path)
    no_source = Place(tmp_path, sources=frozenset({"telemetry", "snapshot"}))
    daemon = Daemon(Place(tmp_path, is_home=False), no_source)
    assert daemon.settle() == 0
    assert daemon.dbs.files == {}


def test_nothing_is_opened_when_nothing_changed(tmp_path: Path) -> None:
    path = put(CASE, tmp_path)
    daemon = Daemon(Place(tmp_path))
    assert daemon.settle() == 20
    path.chmod(0)  # who opens it now, as another user, fails; root would see the time of access
    before = path.stat().st_atime_ns
    assert daemon.settle() == 0
    assert path.stat().st_atime_ns == before
    assert daemon.codes() == {tmp_path.name: "ok"}
    daemon.dbs.close()


YEAR_S = 365 * 86_400.0


WRITE_AND_DIE = """
import json, os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode=WAL")
for text in sys.argv[2:]:
    connection.execute(
        "INSERT INTO messages (session_id, role, content, tool_calls, tool_call_id, tool_name, timestamp)"
        " SELECT max(session_id), ?, ?, ?, ?, ?, ? FROM messages", json.loads(text)
    )
os._exit(0)
"""


def write_and_die(path: Path, *messages: list[object]) -> None:
    """As an agent that is killed: what it wrote stays in the `-wal`."""
    texts = [json.dumps(message) for message in messages]
    subprocess.run([sys.executable, "-c", WRITE_AND_DIE, path, *texts], check=True)


def one_call(name: str) -> tuple[list[object], list[object]]:
    call = {"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}}
    asked: list[object] = ["assistant", "", json.dumps([call]), None, None, NOW - 30.0]
    answered: list[object] = ["tool", "{}", None, name, name, NOW - 29.0]
    return asked, answered


@pytest.mark.parametrize("ahead_s", [-0.01, 0.0, 0.01, 1.0, 86_400.0, YEAR_S, 30 * YEAR_S])
@pytest.mark.parametrize("name", ["state.db", "state.db-wal"])
def test_times_ahead_of_the_clock_cost_one_look_more_and_no_change_is_missed(
    tmp_path: Path, ahead_s: float, name: str
) -> None:
    path = put(CASE, tmp_path)
    write_and_die(path, *one_call("first"))
    daemon = Daemon(Place(tmp_path))

    def dated() -> None:
        for file in ("state.db", "state.db-wal"):
            at = NOW + ahead_s if file == name else NOW - 60.0
            os.utime(tmp_path / file, (at, at))

    dated()
    assert daemon.settle() == 21
    reads = daemon.reads
    assert reads <= 2
    assert daemon.settle() == 0
    assert daemon.reads == reads
    write_and_die(path, *one_call("second"))
    dated()  # the times stand still: its size alone shows the change
    assert daemon.settle() == 1
    daemon.dbs.close()


def test_a_clock_that_is_set_back_leaves_what_was_read_as_it_is(tmp_path: Path) -> None:
    put(CASE, tmp_path)
    daemon = Daemon(Place(tmp_path))
    assert daemon.settle() == 20
    for now in (NOW - 86_400.0, 300.0, NOW + YEAR_S):
        daemon.now = now
        reads = daemon.reads
        assert daemon.settle() == 0
        assert daemon.reads == reads
    daemon.dbs.close()


def test_a_new_process_reads_on_where_the_last_one_was(tmp_path: Path) -> None:
    path = put(CASE, tmp_path)
    first = Daemon(Place(tmp_path))
    assert first.settle() == 20
    first.dbs.close()
    second = Daemon(Place(tmp_path), store=first.store)
    assert second.settle() == 0
    (file,) = second.dbs.files.values()
    assert file.cursor is not None
    with closing(sqlite3.connect(path)) as connection:
        assert (
            file.cursor.last_id == connection.execute("SELECT max(id) FROM messages").fetchone()[0]
        )
    assert counts(first.store) == truth(CASE)
    second.dbs.close()


def test_a_database_that_goes_and_comes_back_counts_nothing_twice(tmp_path: Path) -> None:
    path = put(CASE, tmp_path)
    aside = tmp_path / "aside"
    daemon = Daemon(Place(tmp_path))
    daemon.settle()
    path.rename(aside)
    assert daemon.settle() == 0
    assert daemon.codes() == {tmp_path.name: "missing"}
    aside.rename(path)
    assert daemon.settle() == 0
    assert daemon.codes() == {tmp_path.name: "ok"}
    daemon.dbs.close()


def test_a_broken_database_is_told_of_once_and_the_others_go_on(tmp_path: Path) -> None:
    put(CASE, tmp_path / "good")
    broken = put(CASE, tmp_path / "bad")
    broken.write_bytes(broken.read_bytes()[:9_000])
    daemon = Daemon(Place(tmp_path / "bad"), Place(tmp_path / "good", "ezra"))
    assert daemon.settle() == 20
    daemon.settle()
    assert daemon.codes() == {"good": "ok", "bad": "torn"}
    failed = [event for event in daemon.events if event["event"] == "file_failed"]
    assert [event["reason"] for event in failed] == ["torn"]
    (row,) = daemon.store.files(("failed",))
    assert (row.source, row.reason) == ("state_db", "torn")
    put("y02_retry_same_id", tmp_path / "bad")
    assert daemon.settle() == 2
    assert daemon.store.files(("failed",)) == []
    daemon.dbs.close()


@pytest.mark.parametrize(
    ("content", "code", "state"),
    [
        (b"", "empty", "ignored"),
        (b"no database" * 50, "not_sqlite", "failed"),
        (b"SQLite format 3\0" + b"\xff" * 500, "damaged", "failed"),
    ],
)
def test_what_is_no_database_gets_a_code(
    tmp_path: Path, content: bytes, code: str, state: str
) -> None:
    (tmp_path / "state.db").write_bytes(content)
    daemon = Daemon(Place(tmp_path))
    assert daemon.settle() == 0
    (finding,) = daemon.dbs.findings()
    assert finding.code in {code, "torn"}
    (row,) = daemon.store.files((state,))
    assert row.reason == finding.code
    daemon.dbs.close()


def test_a_locked_database_is_tried_again_and_is_no_failure(tmp_path: Path) -> None:
    path = put(CASE, tmp_path)
    daemon = Daemon(Place(tmp_path))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert daemon.settle() == 0
        assert daemon.codes() == {tmp_path.name: "locked"}
        assert daemon.store.files(("failed",)) == []
    assert daemon.settle() == 20
    daemon.dbs.close()


def test_what_could_not_be_read_is_tried_again_though_nothing_shows_a_change(
    tmp_path: Path,
) -> None:
    path = put(CASE, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(b"x" * len(whole))
    os.utime(path, ns=(1, 1))
    daemon = Daemon(Place(tmp_path))
    assert daemon.settle() == 0
    path.write_bytes(whole)
    os.utime(path, ns=(1, 1))
    for file in daemon.dbs.files.values():
        file.retry_at = 0.0
    assert daemon.settle() == 20
    daemon.dbs.close()


@pytest.mark.parametrize("name", ["state.db", "state.db-wal", "state.db-shm"])
def test_a_link_in_the_place_of_one_of_its_files_is_never_followed(
    tmp_path: Path, name: str
) -> None:
    path = put(CASE, tmp_path / "home")
    elsewhere = tmp_path / "elsewhere"
    shutil.copy(path, elsewhere)
    (path.parent / name).unlink(missing_ok=True)
    (path.parent / name).symlink_to(elsewhere)
    daemon = Daemon(Place(path.parent))
    assert daemon.settle() == 0
    assert daemon.codes() == {"home": "is_link"}
    daemon.dbs.close()


def test_a_home_that_is_replaced_is_followed_to_the_new_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    put("x01_repeat_ids_and_calls", home)
    daemon = Daemon(Place(home))
    assert daemon.settle() == 9
    home.rename(tmp_path / "old")
    put("y02_retry_same_id", home)
    assert daemon.settle() == 2
    daemon.dbs.close()


def test_all_that_was_found_is_due_again_soon(tmp_path: Path) -> None:
    daemon = Daemon(Place(tmp_path))
    assert daemon.dbs.due_in_s() is None
    put(CASE, tmp_path)
    daemon.settle()
    due = daemon.dbs.due_in_s()
    assert due is not None
    assert 0.0 <= due <= 1.0
    daemon.dbs.close()


# ------------------------------------------------------------------------- check


def test_a_home_without_a_database_is_no_trouble(tmp_path: Path) -> None:
    daemon = Daemon(Place(tmp_path))

    for _ in range(3):
        daemon.settle()

    assert daemon.codes() == {tmp_path.name: "missing"}
    assert daemon.events == []
    assert daemon.store.files() == []
    daemon.dbs.close()
