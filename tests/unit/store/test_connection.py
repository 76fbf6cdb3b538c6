"""What SQLite and the disk refuse, in words that say who must act."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import without_roots_powers
from timmyd.errors import StoreError
from timmyd.store.connection import connect, connect_read_only, guarded
from timmyd.store.database import PatternDatabase

NOW = 1_795_381_822.0


def filled(path: Path) -> None:
    database = PatternDatabase(path, clock=lambda: NOW)
    for _ in range(200):
        database.record_execution({"tool": "terminal", "outcome": "ok", "shape": "ls"})
    database.close()


def refused(path: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        PatternDatabase(path, clock=lambda: NOW)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    assert f"hint: {caught.value.hint}" in str(caught.value)
    return caught.value


def test_a_file_that_is_no_database_is_called_damaged_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "timmy.db"
    path.write_bytes(b"no database at all, only words " * 200)
    before = path.read_bytes()

    error = refused(path)

    assert error.detail == "it is damaged"
    assert "db restore" in (error.hint or "")
    assert not error.retry
    assert path.read_bytes() == before


def test_pages_that_were_overwritten_are_called_damaged_when_they_are_met(tmp_path: Path) -> None:
    path = tmp_path / "timmy.db"
    filled(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\x5a" * (len(whole) - 4096))

    with pytest.raises(StoreError) as caught:
        PatternDatabase(path, clock=lambda: NOW).executions_after(0, 1_000)

    assert caught.value.detail == "it is damaged"
    assert caught.value.hint


def test_a_file_that_was_cut_off_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "timmy.db"
    filled(path)
    path.write_bytes(path.read_bytes()[:1500])

    with pytest.raises(StoreError) as caught:
        PatternDatabase(path, clock=lambda: NOW).executions_after(0, 1_000)

    assert caught.value.detail == "it is damaged"


def test_a_folder_that_may_not_be_written_is_said_to_be_that(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    folder.mkdir(mode=0o500)

    with without_roots_powers():
        error = refused(folder / "timmy.db")

    assert error.detail == "it cannot be opened for writing"
    assert "owner and mode" in (error.hint or "")


def test_a_folder_that_may_not_be_made_is_said_to_be_that(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o500)

    with without_roots_powers():
        error = refused(tmp_path / "state" / "db" / "timmy.db")

    assert "folder cannot be made" in error.detail


def test_a_file_where_a_folder_should_be_is_said_to_be_that(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")

    assert "folder cannot be made" in refused(tmp_path / "state" / "timmy.db").detail


def test_a_folder_where_the_database_should_be_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "timmy.db").mkdir()

    assert refused(tmp_path / "timmy.db").detail == "it cannot be opened for writing"


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    filled(tmp_path / "deep" / "db" / "timmy.db")

    assert (tmp_path / "deep" / "db").stat().st_mode & 0o777 == 0o700


def test_a_command_that_only_looks_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist yet") as caught:
        connect_read_only(str(tmp_path / "timmy.db"))

    assert "timmyd run" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_called_empty_not_forbidden(tmp_path: Path) -> None:
    path = tmp_path / "timmy.db"
    path.touch()

    with pytest.raises(StoreError, match="it is empty") as caught:
        connect_read_only(str(path))

    assert caught.value.hint
    assert path.stat().st_size == 0


def test_a_connection_that_only_looks_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "timmy.db"
    filled(path)

    with (
        closing(connect_read_only(str(path))) as connection,
        pytest.raises(StoreError, match="cannot be opened for writing"),
        guarded(str(path)),
    ):
        connection.execute("DELETE FROM executions")


def test_another_writer_is_a_reason_to_try_again(tmp_path: Path) -> None:
    name = str(tmp_path / "timmy.db")
    with (
        closing(connect(name, now=NOW, progress=lambda _: None)) as first,
        closing(sqlite3.connect(name, timeout=0.0, isolation_level=None)) as second,
    ):
        first.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process") as caught, guarded(name):
            second.execute("BEGIN IMMEDIATE")

    assert caught.value.retry


def test_a_log_that_is_removed_while_it_is_open_is_told_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "timmy.db"
    database = PatternDatabase(path, clock=lambda: NOW)
    database.check_in_place()
    for _ in range(3):
        database.record_execution({"tool": "terminal", "house": "ezra"})
    database.check_in_place()
    path.with_name("timmy.db-wal").unlink()

    with pytest.raises(StoreError) as caught:
        database.check_in_place()
    assert caught.value.retry
    assert "-wal was removed" in caught.value.detail

    database.check_in_place()
    database.record_execution({"tool": "terminal", "house": "ezra"})
    database.check_in_place()
    database.close()
    again = PatternDatabase(path, clock=lambda: NOW)
    assert len(again.executions_after(0, 10)) == 4
    again.close()
