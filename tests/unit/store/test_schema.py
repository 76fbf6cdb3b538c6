"""What lies where the database should be: empty, older, newer, another program's."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from timmyd.errors import StoreError
from timmyd.store import schema
from timmyd.store.connection import connect, guarded
from timmyd.store.schema import MIGRATIONS, VERSION, current_version, migrate

NOW = 1_795_381_822.0
OF_OTHERS = [
    "CREATE TABLE invoices (id INTEGER PRIMARY KEY)",
    "CREATE TABLE migrations (id INTEGER PRIMARY KEY, migration TEXT, batch INTEGER)",
    "CREATE TABLE migrations (version TEXT, dirty INTEGER)",
    "CREATE TABLE migrations (name TEXT); INSERT INTO migrations VALUES ('0001_initial')",
]


def make(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}


def no_progress(_version: int) -> None:
    pass


def test_an_empty_database_is_brought_to_the_newest_version_and_says_each_step(
    tmp_path: Path,
) -> None:
    steps: list[int] = []
    path = str(tmp_path / "timmy.db")

    connect(path, now=NOW, progress=steps.append).close()
    with closing(connect(path, now=NOW + 9.0, progress=steps.append)) as connection:
        recorded = list(connection.execute("SELECT version, at FROM migrations"))

    assert steps == list(range(1, VERSION + 1))
    assert recorded == [(version, NOW) for version in range(1, VERSION + 1)]


def test_the_version_of_an_empty_database_is_asked_without_writing_into_it() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        assert current_version(connection, "x") == 0
        assert list(connection.execute("SELECT * FROM sqlite_master")) == []


def test_a_start_that_was_killed_before_its_first_step_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "timmy.db"
    make(path, "CREATE TABLE migrations (version INTEGER PRIMARY KEY, at REAL NOT NULL)")

    with closing(connect(str(path), now=NOW, progress=no_progress)) as connection:
        assert current_version(connection, "x") == VERSION


def test_a_newer_schema_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "timmy.db"
    connect(str(path), now=NOW, progress=no_progress).close()
    make(path, f"INSERT INTO migrations VALUES ({VERSION + 3}, {NOW})")

    with pytest.raises(StoreError, match=f"version {VERSION + 3}, .* up to {VERSION}") as caught:
        connect(str(path), now=NOW, progress=no_progress)

    assert "install the newer timmyd" in (caught.value.hint or "")
    assert not caught.value.retry
    with closing(sqlite3.connect(path)) as connection:
        assert current_version(connection, "x") == VERSION + 3


@pytest.mark.parametrize("script", OF_OTHERS)
def test_another_programs_database_is_refused_and_not_a_byte_of_it_changes(
    tmp_path: Path, script: str
) -> None:
    path = tmp_path / "timmy.db"
    make(path, script)
    before = path.read_bytes()

    with pytest.raises(StoreError, match="tables of another program") as caught:
        connect(str(path), now=NOW, progress=no_progress)

    assert caught.value.hint
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_step_that_fails_leaves_the_version_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "timmy.db"
    connect(str(path), now=NOW, progress=no_progress).close()
    before = tables(path)
    wrong = ("CREATE TABLE half (id INTEGER)", "CREATE TABLE half (id INTEGER)")
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, wrong))
    monkeypatch.setattr(schema, "VERSION", VERSION + 1)

    with pytest.raises(StoreError, match="half"):
        connect(str(path), now=NOW, progress=no_progress)

    assert tables(path) == before
    with closing(sqlite3.connect(path)) as connection:
        assert current_version(connection, "x") == VERSION


def test_a_disk_that_fills_up_while_the_tables_are_made_is_called_full(tmp_path: Path) -> None:
    name = str(tmp_path / "timmy.db")
    for pages in (1, 2, 5, 9):
        with closing(sqlite3.connect(name, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA max_page_count = {pages}")

            with pytest.raises(StoreError, match="disk is full") as caught, guarded(name):
                migrate(connection, name, now=NOW, progress=no_progress)

            assert caught.value.retry
            assert caught.value.hint
            assert current_version(connection, name) == 0
