"""The clock at the start of a process, against the database and the homes on a real disk."""

import json
import os
from pathlib import Path

import pytest

from timmyd.core.clock_trust import ClockReading, ClockTrust
from timmyd.engine import IntelligenceEngine
from timmyd.service.homes import Place
from timmyd.service.reckoning import Reckoning, is_synchronised, last_trust, read_clocks
from timmyd.store.database import PatternDatabase

NOW = 1_795_500_000.0
YEAR_S = 365 * 86_400.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home in which everything was written a minute ago."""
    made = tmp_path / "home"
    (made / "sessions" / "timmy").mkdir(parents=True)
    (made / "state.db").touch()
    for path in (made / "state.db", made / "sessions" / "timmy", made / "sessions", made):
        os.utime(path, (NOW - 60.0, NOW - 60.0))
    return made


def begin(wall: float, home: Path, database: PatternDatabase) -> Reckoning:
    return Reckoning.begin(
        database,
        [Place(home)],
        read=lambda: ClockReading(wall, 50.0, "b"),
        synchronised=lambda _: False,
    )


@pytest.mark.parametrize("wall", [NOW + 2 * YEAR_S, NOW + 32 * 86_400.0, 300.0])
def test_a_fresh_home_under_a_wrong_clock_is_read_at_the_time_of_its_files(
    wall: float, home: Path
) -> None:
    reckoning = begin(wall, home, PatternDatabase(":memory:"))
    assert reckoning() == NOW - 60.0
    assert reckoning.wall() == wall
    assert reckoning.held().ahead_s == wall - (NOW - 60.0)


def test_calls_are_witnesses_where_files_are_not(tmp_path: Path) -> None:
    database = PatternDatabase(":memory:")
    database.record_execution({"tool": "terminal", "house": "ezra", "at": NOW - 5.0})
    assert begin(NOW, tmp_path / "none", database)() == NOW
    assert begin(NOW + YEAR_S, tmp_path / "none", database)() == NOW - 5.0


def test_what_was_held_at_the_last_tick_is_found_again(home: Path) -> None:
    database = PatternDatabase(":memory:")
    assert last_trust(database) is None
    engine = IntelligenceEngine(database, clock=lambda: NOW)
    engine.save_status({"clock": {"wall": NOW, "steady": 7.0, "boot": "a", "jumps": 3}})
    engine.analyze_and_adapt()
    assert last_trust(database) == ClockTrust(wall=NOW, steady=7.0, boot="a", jumps=3)
    assert begin(NOW + YEAR_S, home, database)() == NOW
    database.save_state({"status": json.dumps({"clock": "no such thing"}).encode()})
    assert last_trust(database) is None


def test_synchronisation_speaks_only_for_the_clock_that_is_seen() -> None:
    reading = read_clocks()
    assert not is_synchronised(reading._replace(wall=reading.wall + YEAR_S))
    assert not is_synchronised(reading._replace(wall=reading.wall - YEAR_S))


def test_a_doubted_clock_is_believed_when_the_system_says_that_it_is_synchronised(
    home: Path,
) -> None:
    answers = [False, True]
    moments = iter([0.0, 1.0, 2.0, 12.0, 12.0, 30.0])
    reckoning = Reckoning.begin(
        PatternDatabase(":memory:"),
        [Place(home)],
        read=lambda: ClockReading(NOW + YEAR_S, 50.0 + next(moments), "b"),
        synchronised=lambda _: answers.pop(0),
    )
    assert [reckoning() < NOW + 60.0 for _ in range(3)] == [True, False, False]
    assert answers == []
