"""The real process: ready, stopped, reloaded, and told apart from every kind of trouble on the disk."""

import os
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.process import Process, session
from tests.support import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "sessions").mkdir()
    return tmp_path


@pytest.fixture
def daemon(base: Path) -> Iterator[Process]:
    with Process(base) as process:
        yield process.ready()


def test_it_takes_in_what_is_there_and_what_comes_and_ends_at_once(daemon: Process) -> None:
    daemon.write("session_a.json", session("a", 3))
    eventually(lambda: daemon.counted() == 3)
    daemon.write("session_a.json", session("a", 5))
    eventually(lambda: daemon.counted() == 5)
    before = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0
    print(f"ended after {time.monotonic() - before:.2f} s")
    assert time.monotonic() - before < 5 * 1.0
    assert daemon.heard("STOPPING=1")
    assert daemon.event("daemon_stopped")


def test_a_reload_takes_good_settings_and_keeps_the_old_ones_against_bad(base: Path) -> None:
    settings = base / "timmyd.toml"
    settings.write_text('[schedule]\ntick = "30s"\n')
    with Process(base, "--config", str(settings)) as process:
        process.ready()
        settings.write_text('[schedule]\ntick = "20s"\n')
        process.signal(signal.SIGHUP)
        eventually(lambda: process.event("settings_reloaded", "tick"))
        assert process.heard("RELOADING=1")
        settings.write_text('[schedule]\ntikc = "20s"\n')
        process.signal(signal.SIGHUP)
        eventually(lambda: process.event("settings_refused", "tikc"))
        process.write("session_a.json", session("a", 2))
        eventually(lambda: process.counted() == 2)


def test_a_second_daemon_on_one_state_ends_with_clear_words(daemon: Process, base: Path) -> None:
    other = base / "other"
    other.mkdir()
    with Process(other, "--state", str(daemon.state), "--sessions", str(other)) as second:
        assert second.ended() == 1
        assert f"pid {daemon.popen.pid}" in second.words()
        assert "Traceback" not in second.words()
    assert daemon.popen.poll() is None


def test_a_directory_may_come_go_and_come_back(tmp_path: Path) -> None:
    with Process(tmp_path) as process:
        process.ready()
        process.sessions.mkdir()
        eventually(lambda: process.event("directory_appeared"))
        process.write("session_a.json", session("a", 2))
        eventually(lambda: process.counted() == 2)
        process.sessions.rename(tmp_path / "away")
        eventually(lambda: process.event("directory_vanished"))
        process.sessions.mkdir()
        process.write("session_a.json", session("a", 3))
        process.write("session_b.json", session("b", 2))
        eventually(lambda: process.counted() == 5)


def test_a_directory_that_may_not_be_entered_is_named_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("a file where a directory is expected")
    with Process(tmp_path) as process:
        process.ready()
        eventually(lambda: process.event("directory_refused", "not_directory"))
        (tmp_path / "sessions").unlink()
        (tmp_path / "sessions").mkdir()
        process.write("session_a.json", session("a", 2))
        eventually(lambda: process.counted() == 2)


def test_what_is_no_plain_file_is_refused_by_name_and_stops_nothing(daemon: Process) -> None:
    sessions = daemon.sessions
    outside = daemon.base / "outside.json"
    outside.write_bytes(session("outside", 4))
    (sessions / "session_link.json").symlink_to(outside)
    os.mkfifo(sessions / "session_fifo.json")
    (sessions / "session_folder.json").mkdir()
    hard = sessions / "session_hard.json"
    hard.hardlink_to(outside)
    (sessions / "session_large.json").write_bytes(b"")
    os.truncate(sessions / "session_large.json", 65 << 20)
    (sessions / "session_torn.json").write_bytes(session("torn", 2)[:-40])
    (sessions / "session_empty.json").write_bytes(b"")
    (sessions / "session_binary.json").write_bytes(os.urandom(4096))
    far = sessions / "session_far.json"
    far.write_bytes(session("far", 1))
    os.utime(far, ns=(0, 2**62))
    before = {path.name: path.lstat().st_mtime_ns for path in sessions.iterdir()}
    daemon.write("session_good.json", session("good", 2))
    eventually(lambda: daemon.counted() == 3)
    os.kill(daemon.popen.pid, signal.SIGHUP)
    for name, code in (
        ("session_link", "is_link"),
        ("session_fifo", "not_regular"),
        ("session_hard", "several_links"),
        ("session_large", "too_large"),
        ("session_torn", "torn"),
        ("session_empty", "empty"),
        ("session_binary", "not_json"),
    ):
        eventually(lambda name=name, code=code: daemon.event("file_", name, code))  # type: ignore[misc]
    (sessions / "session_torn.json").write_bytes(session("torn", 2))
    eventually(lambda: daemon.counted() == 5)
    assert daemon.popen.poll() is None
    after = {path.name: path.lstat().st_mtime_ns for path in sessions.iterdir()}
    assert {name: at for name, at in after.items() if name in before} | {
        "session_torn.json": 0
    } == before | {"session_torn.json": 0}


def test_an_unreadable_file_is_named_and_read_once_it_can_be(base: Path) -> None:
    with Process(base, powerless=True) as daemon:
        daemon.ready()
        daemon.write("session_a.json", session("a", 2))
        hidden = daemon.sessions / "session_b.json"
        hidden.touch(mode=0)
        hidden.write_bytes(session("b", 2))
        eventually(lambda: daemon.event("file_", "session_b", "unreadable"))
        hidden.chmod(0o600)
        hidden.write_bytes(session("b", 3))
        eventually(lambda: daemon.counted() == 5)


# ------------------------------------------------------------------------ database


def refused(base: Path, *words: str) -> None:
    with Process(base) as process:
        assert process.ended() == 78
        said = process.words()
        assert "Traceback" not in said
        for word in (str(base / "state" / "db" / "timmy.db"), *words):
            assert word in said


def stopped_after(base: Path, calls: int) -> Path:
    with Process(base) as process:
        process.ready()
        process.write("session_a.json", session("a", calls))
        eventually(lambda: process.counted() == calls)
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
    return base / "state" / "db" / "timmy.db"


def test_a_damaged_database_ends_it_with_words_and_no_restart(base: Path) -> None:
    database = stopped_after(base, 2)
    database.write_bytes(b"\0" * 50_000)
    database.with_name("timmy.db-wal").unlink(missing_ok=True)
    refused(base, "damaged", "db restore")


def test_a_newer_database_ends_it_with_words_and_no_restart(base: Path) -> None:
    database = stopped_after(base, 2)
    connection = sqlite3.connect(database)
    connection.execute("INSERT INTO migrations VALUES (99, 0)")
    connection.commit()
    connection.close()
    refused(base, "99", "newer timmyd")


def test_a_database_of_another_program_ends_it_with_words_and_no_restart(base: Path) -> None:
    path = base / "state" / "db" / "timmy.db"
    path.parent.mkdir(parents=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.commit()
    connection.close()
    refused(base, "another program")


def test_a_database_removed_under_it_ends_it_with_words(daemon: Process) -> None:
    (daemon.state / "db" / "timmy.db").unlink()
    assert daemon.ended() == 78
    assert "removed or replaced" in daemon.words()
    assert "Traceback" not in daemon.words()


def test_a_state_that_cannot_be_written_ends_it_with_words(base: Path) -> None:
    (base / "state").mkdir(mode=0o500)
    with Process(base, powerless=True) as process:
        assert process.ended() == 78
        assert "cannot be written" in process.words()


def test_with_a_full_disk_it_waits_in_words_and_goes_on_when_there_is_room(base: Path) -> None:
    stopped_after(base, 2)
    with Process(base) as process:
        process.ready()
        pid = process.popen.pid
        log = (base / "log").stat().st_size
        resource.prlimit(
            pid, resource.RLIMIT_FSIZE, (max(4096, log + 4096), resource.RLIM_INFINITY)
        )
        process.write("session_b.json", session("b", 400))
        eventually(lambda: process.heard("in trouble"), 20)
        assert process.popen.poll() is None
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        eventually(lambda: process.counted() == 402, 20)
        assert process.policy() is not None
