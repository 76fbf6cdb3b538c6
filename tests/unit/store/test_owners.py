"""A house belongs to one owner, and every execution says whose it is."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from timmyd import IntelligenceEngine
from timmyd.core.ownership import UNKNOWN, OwnedHouse
from timmyd.errors import StoreError
from timmyd.store.connection import connect_read_only
from timmyd.store.database import PatternDatabase
from timmyd.store.schema import MIGRATIONS

NOW = 1_795_381_822.0


@pytest.fixture
def database() -> PatternDatabase:
    return PatternDatabase(":memory:", clock=lambda: NOW)


def call(house: str, owner: str | None = None) -> dict[str, object]:
    found: dict[str, object] = {"tool": "terminal", "shape": "ls", "outcome": "ok", "house": house}
    return found if owner is None else found | {"owner": owner}


def owners(database: PatternDatabase) -> list[tuple[str, str]]:
    return [(e.house, e.owner) for e in database.executions_after(0, 100)]


def test_a_row_that_nobody_says_the_owner_of_is_adopted_when_its_home_is_seen(
    database: PatternDatabase,
) -> None:
    database.record_execution(call("ezra"))
    assert owners(database) == [("ezra", UNKNOWN)]

    house = database.owners.settle("ezra", owner="alice", uid=1000, now=NOW + 5.0)

    assert house == OwnedHouse(
        name="ezra", owner="alice", uid=1000, claimed="ezra", first_seen=NOW + 5
    )
    assert owners(database) == [("ezra", "alice")]
    assert database.owners.of("ezra") == "alice"


def test_calls_of_another_owner_never_count_for_a_house_that_is_taken(
    database: PatternDatabase,
) -> None:
    engine = IntelligenceEngine(database, clock=lambda: NOW)
    rows = [call("ezra", "alice"), call("ezra", "mallory"), call("ezra", "alice"), call("bezalel")]

    engine.record_executions(rows)
    engine.record_executions(rows)

    assert owners(database)[:4] == [
        ("ezra", "alice"),
        ("mallory-ezra", "mallory"),
        ("ezra", "alice"),
        ("bezalel", UNKNOWN),
    ]
    assert {house.name: house.owner for house in database.owners.all().values()} == {
        "ezra": "alice",
        "mallory-ezra": "mallory",
        "bezalel": UNKNOWN,
    }


def test_a_house_keeps_its_name_when_the_name_that_it_asked_for_becomes_free(
    database: PatternDatabase,
) -> None:
    settle = database.owners.settle
    settle("ezra", owner="alice", uid=1000, now=NOW)
    assert settle("ezra", owner="bob", uid=1001, now=NOW).name == "bob-ezra"

    assert settle("ezra", owner="bob", uid=1001, now=NOW, adopts=False).name == "bob-ezra"
    assert settle("timmy", owner="bob", uid=1001, now=NOW).name == "timmy"


def test_the_state_of_a_house_is_kept_with_it(database: PatternDatabase) -> None:
    database.owners.settle("ezra", owner="alice", uid=1000, now=NOW)

    assert database.owners.set_state("ezra", "quarantined")
    assert not database.owners.set_state("nobody", "quarantined")

    assert database.owners.all()["ezra"].state == "quarantined"


def test_a_database_without_owners_gets_its_houses_and_is_not_read_before(tmp_path: Path) -> None:
    path = tmp_path / "timmy.db"
    with closing(sqlite3.connect(path)) as old:
        for statement in MIGRATIONS[0]:
            old.execute(statement)
        old.executescript("""
            CREATE TABLE migrations (version INTEGER PRIMARY KEY, at REAL NOT NULL);
            INSERT INTO migrations VALUES (1, 0);
            INSERT INTO combos VALUES (1, 'ezra', 'terminal', 'ls', '', 'other');
            INSERT INTO hours VALUES (5, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), (9, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            INSERT INTO requests VALUES (5, 'timmy', 'm', 1, 0, 0, 0, 0, 0);
            """)
    with pytest.raises(StoreError, match="version 1") as refused:
        connect_read_only(str(path))
    assert "start the daemon" in str(refused.value)

    database = PatternDatabase(path, clock=lambda: NOW)
    with closing(connect_read_only(str(path))):
        pass

    assert database.owners.all() == {
        "ezra": OwnedHouse(name="ezra", first_seen=5 * 3600.0),
        "timmy": OwnedHouse(name="timmy"),
    }
    database.close()
