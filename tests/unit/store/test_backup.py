import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from timmyd.errors import StoreError
from timmyd.store.backup import backup, check, check_backup, restore
from timmyd.store.database import PatternDatabase
from timmyd.store.schema import VERSION

NOW = 1_795_381_822.0


def filled(path: Path, calls: int) -> PatternDatabase:
    database = PatternDatabase(path, clock=lambda: NOW)
    for _ in range(calls):
        database.record_execution({"tool": "terminal", "outcome": "ok", "shape": "ls"})
    return database


def count(path: Path) -> int:
    database = PatternDatabase(path, read_only=True)
    try:
        return database.counters()["executions"]
    finally:
        database.close()


def test_a_backup_is_whole_private_and_has_what_was_committed_while_the_daemon_writes(
    tmp_path: Path,
) -> None:
    database = filled(tmp_path / "db" / "timmy.db", 5)
    target = tmp_path / "copy.db"
    steps: list[tuple[int, int]] = []

    size = backup(
        tmp_path / "db" / "timmy.db",
        target,
        progress=lambda done, total: steps.append((done, total)),
    )
    database.record_execution({"tool": "terminal", "outcome": "ok", "shape": "ls"})
    database.close()

    assert count(target) == 5
    assert target.stat().st_mode & 0o777 == 0o600
    assert size == target.stat().st_size
    assert steps[-1][0] == steps[-1][1] > 0
    assert {path.name for path in tmp_path.iterdir()} == {"db", "copy.db"}


def test_a_backup_of_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        backup(tmp_path / "none.db", tmp_path / "copy.db")

    assert list(tmp_path.iterdir()) == []


def test_a_database_is_no_backup_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "timmy.db"
    filled(path, 1).close()

    with pytest.raises(StoreError, match="itself"):
        backup(path, path)

    assert count(path) == 1


def test_a_restore_goes_back_and_keeps_what_was_there(tmp_path: Path) -> None:
    path, copy = tmp_path / "db" / "timmy.db", tmp_path / "copy.db"
    filled(path, 3).close()
    backup(path, copy)
    filled(path, 4).close()

    kept = restore(copy, path, suffix=".before")

    assert kept is not None
    assert (count(path), count(kept)) == (3, 7)
    assert not path.with_name("timmy.db-wal").exists()


def test_what_only_the_log_held_goes_with_the_database_that_it_belongs_to(tmp_path: Path) -> None:
    path, copy = tmp_path / "db" / "timmy.db", tmp_path / "copy.db"
    filled(path, 3).close()
    backup(path, copy)
    open_still = filled(path, 4)
    assert path.with_name("timmy.db-wal").stat().st_size > 0

    kept = restore(copy, path, suffix=".before")
    open_still.close()

    assert kept is not None
    assert (count(path), count(kept)) == (3, 7)


def test_a_damaged_database_can_be_replaced(tmp_path: Path) -> None:
    path, copy = tmp_path / "db" / "timmy.db", tmp_path / "copy.db"
    filled(path, 3).close()
    backup(path, copy)
    path.write_bytes(b"not a database " * 1000)

    kept = restore(copy, path, suffix=".before")

    assert count(path) == 3
    assert kept is not None
    assert kept.read_bytes().startswith(b"not a database")


def test_a_restore_into_nothing_makes_the_folder_for_the_owner_alone(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    filled(copy, 2).close()

    assert restore(copy, tmp_path / "new" / "db" / "timmy.db", suffix=".b") is None
    assert (tmp_path / "new" / "db").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kind", ["newer", "foreign", "torn", "text", "missing", "empty"])
def test_what_is_no_backup_of_ours_is_refused_and_the_database_stays(
    tmp_path: Path, kind: str
) -> None:
    path, bad = tmp_path / "db" / "timmy.db", tmp_path / "bad.db"
    filled(path, 3).close()
    if kind in {"newer", "torn"}:
        filled(bad, 50).close()
    if kind == "newer":
        with closing(sqlite3.connect(bad)) as connection:
            connection.execute("INSERT INTO migrations VALUES (?, ?)", (VERSION + 1, NOW))
            connection.commit()
    elif kind == "torn":
        data = bytearray(bad.read_bytes())
        data[8192:40960] = b"\xff" * (40960 - 8192)
        bad.write_bytes(data)
    elif kind == "foreign":
        with closing(sqlite3.connect(bad)) as connection:
            connection.execute("CREATE TABLE messages (id)")
    elif kind == "text":
        bad.write_text("hello " * 1000)
    elif kind == "empty":
        bad.touch()

    with pytest.raises(StoreError):
        restore(bad, path, suffix=".before")

    assert count(path) == 3
    assert {p.name for p in path.parent.iterdir()} <= {"timmy.db", "timmy.db-wal", "timmy.db-shm"}


def test_checking_tells_the_version_and_what_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "timmy.db"
    filled(path, 50).close()
    assert check(path) == (VERSION, [])
    assert check_backup(path) == VERSION

    data = bytearray(path.read_bytes())
    pages = int.from_bytes(data[28:32]) + 1  # the header's count: one page that nothing uses
    data[28:32] = pages.to_bytes(4)
    path.write_bytes(bytes(data) + bytes(4096))

    assert check(path)[1]
