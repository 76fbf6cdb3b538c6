from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from timmyd.config import Settings
from timmyd.config.settings import BreakerSettings
from timmyd.store.database import PatternDatabase
from timmyd.store.history import History
from timmyd.tools.replaying import Replayed, replay

START = 1_795_334_400.0


def calls() -> Iterator[dict[str, Any]]:
    """Sessions every five minutes; after the 20th the search fails for ten of them."""
    for session in range(60):
        for number in range(8):
            broken = number < 4 and 20 <= session < 30
            yield {
                "at": START + 300.0 * session + 4.0 * number,
                "house": "ezra",
                "tool": "web_search" if number < 4 else "read_file",
                "shape": "query",
                "outcome": "error" if broken else "ok",
                "model": "hermes3:8b",
                "policy": 1,
            }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "db" / "timmy.db"
    database = PatternDatabase(file, clock=lambda: START + 86_400.0)
    for call in reversed(list(calls())):  # read newest first, as a backlog is
        database.record_execution(call)
    database.close()
    return file


def replayed(path: Path, settings: Settings | None = None, since: float = 0.0) -> Replayed:
    with closing(History(str(path), since=since)) as history:
        return replay(history, settings or Settings())


def kinds(done: Replayed) -> list[str]:
    return [event.kind for event in done.decisions]


def test_history_comes_in_the_order_in_which_it_happened(path: Path) -> None:
    with closing(History(str(path))) as history:
        times = [event.at for event in history]

    assert times == sorted(times)
    assert len(times) == len(history) == 480


def test_since_leaves_out_what_was_before(path: Path) -> None:
    done = replayed(path, since=START + 300.0 * 50)

    assert (done.executions, done.since) == (80, "2026-11-22T12:10:00.000Z")


def test_nothing_recorded_gives_nothing_decided(path: Path) -> None:
    done = replayed(path, since=START + 1e7)

    assert (done.executions, done.decisions, done.since) == (0, [], None)


def test_the_same_history_and_settings_give_the_same_bytes(path: Path) -> None:
    first, second = replayed(path), replayed(path)

    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    assert first.executions == 480


def test_the_breaker_that_the_outage_called_for_opens_and_closes_in_the_replay(path: Path) -> None:
    done = replayed(path)

    assert any(kind in {"breaker_opened", "breaker_half_opened"} for kind in kinds(done))
    assert any(event.change_type == "breaker.ezra.web_search" for event in done.decisions)


def test_other_settings_decide_otherwise(path: Path) -> None:
    patient = Settings(breaker=BreakerSettings(open_at=1e9))

    usual, later = replayed(path).decisions[0], replayed(path, patient).decisions[0]

    assert usual.change_type == later.change_type == "breaker.ezra.web_search"
    assert usual.timestamp < later.timestamp


def test_a_replay_writes_nothing(path: Path) -> None:
    def seen() -> dict[str, tuple[bytes, int]]:
        return {
            file.name: (file.read_bytes(), file.stat().st_mtime_ns)
            for file in path.parent.iterdir()
            if not file.name.endswith("-shm")  # the index that readers share; it holds no data
        }

    before = seen()
    replayed(path)
    after = seen()

    assert {name: what for name, what in after.items() if what[0]} == before


def test_progress_is_told(path: Path) -> None:
    told: list[int] = []

    with closing(History(str(path))) as history:
        replay(history, Settings(), progress=told.append)

    assert told[0] == 0
