"""A `state.db` whose owner means harm: it is a finding of that file, in bounded time, and the others go on."""

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.contract.state_db_corpus import NOW, header, truth
from tests.hostile_databases import CASE, READ, REFUSED
from tests.unit.service.test_state_dbs import Daemon, put
from timmyd.engine.ingest_rows import RowIngest
from timmyd.engine.intake import Origin
from timmyd.engine.row_views import TakenRows
from timmyd.errors import SessionError
from timmyd.service.homes import Place
from timmyd.service.waits import growing_s
from timmyd.sources import state_db
from timmyd.sources.state_db_open import look
from timmyd.sources.state_db_rows import Row
from timmyd.sources.state_db_schema import LONGEST_CONTENT
from timmyd.store.batch import Batch

CALLS = sum(truth(CASE.parent.name).values())
LONGEST_S = 5.0
VALUES = [
    "NULL", "x'ff00fe'", "CAST(x'ff00fe' AS TEXT)", "9e999", "-9e999", "-1", "9223372036854775807",
    "'text'", "zeroblob(100000)", "printf('%.*c', 100000, '{')", "'[' || printf('%.*c', 9999, ',')",
]  # fmt: skip
COLUMNS = [
    *(("messages", name) for name in ("session_id", "role", "content", "tool_call_id")),
    *(("messages", name) for name in ("tool_calls", "tool_name", "effect_disposition")),
    *(("messages", name) for name in ("timestamp", "active")),
    *(("sessions", name) for name in ("id", "model", "model_config", "parent_session_id")),
    *(("sessions", name) for name in ("started_at", "end_reason", "source")),
    *(("session_model_usage", name) for name in ("session_id", "model", "first_seen", "last_seen")),
    ("schema_version", "version"),
    ("sqlite_sequence", "seq"),
]


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    target = tmp_path / "hostile" / "state.db"
    target.parent.mkdir()
    shutil.copy(CASE, target)
    return target


def beside_a_good_one(path: Path) -> tuple[Daemon, int]:
    """A daemon that follows the hostile home and a good one; and what it counted within the time."""
    for file in path.parent.iterdir():
        if file.lstat().st_mtime < 2 * NOW:
            os.utime(file, (NOW - 60.0, NOW - 60.0))
    good = path.parents[1] / "good"
    put("c04_rotate_manual", good)
    daemon = Daemon(Place(path.parent), Place(good, "ezra"))
    began = time.monotonic()
    counted = daemon.settle()
    assert time.monotonic() - began < LONGEST_S
    return daemon, counted


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF")
    return connection


def loosen(path: Path) -> sqlite3.Connection:
    """A connection to a database whose tables take any value."""
    connection = connect(path)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_master SET sql = replace(replace(sql, ' NOT NULL', ''), ' REAL', '')"
    )
    connection.execute("DELETE FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    connection.execute("PRAGMA writable_schema = RESET")
    return connection


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_database_of_hermes_is_a_finding_and_the_others_go_on(
    hostile: Path, name: str
) -> None:
    make, codes = REFUSED[name]
    make(hostile)
    daemon, counted = beside_a_good_one(hostile)
    assert counted == 20
    assert daemon.codes()["good"] == "ok"
    assert daemon.codes()["hostile"] in codes
    daemon.dbs.close()


@pytest.mark.parametrize("name", READ)
def test_what_is_only_odd_is_read(hostile: Path, name: str) -> None:
    READ[name](hostile)
    daemon, counted = beside_a_good_one(hostile)
    assert daemon.codes() == {"good": "ok", "hostile": "ok"}
    assert counted == 20 + CALLS
    daemon.dbs.close()


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_wrong_value_in_any_column_stops_nothing(hostile: Path, table: str, column: str) -> None:
    for value in VALUES:
        shutil.copy(CASE, hostile)
        with closing(loosen(hostile)) as connection:
            connection.execute(f"UPDATE OR IGNORE {table} SET {column} = {value}")
        daemon, counted = beside_a_good_one(hostile)
        assert counted >= 20, value
        assert daemon.codes()["good"] == "ok", value
        assert daemon.codes()["hostile"] in {"ok", "newer_schema"}, value
        daemon.dbs.close()


def test_a_schema_that_takes_too_long_is_stopped_and_left_alone_for_longer_each_time(
    hostile: Path,
) -> None:
    READ["two thousand tables beside"](hostile)
    with pytest.raises(SessionError) as caught:
        state_db.read(str(hostile), header(hostile), look(str(hostile)), None, longest_s=-1.0)
    assert caught.value.code == "too_slow"
    waits = [growing_s(0.5, 60.0, n) for n in range(12)]
    assert waits[:4] == [0.0, 0.5, 1.0, 2.0]
    assert waits[-1] == growing_s(0.5, 60.0, 10_000) == 60.0
    assert growing_s(0.5, 60.0, 1, cost_s=1.0) == 20.0


def test_a_read_that_is_stopped_on_its_way_gives_what_it_has(hostile: Path) -> None:
    with closing(loosen(hostile)) as connection:
        connection.execute("ALTER TABLE sessions RENAME TO s1")
        connection.execute("CREATE TABLE sessions (id, model)")  # without an index
        connection.executemany(
            "INSERT INTO sessions VALUES (?, 'm')", ((f"s{n}",) for n in range(30_000))
        )
        connection.executemany(
            "INSERT INTO messages (session_id, role, timestamp) VALUES (?, 'user', 1.0)",
            ((f"none{n}",) for n in range(3_000)),
        )
    chunk = state_db.read(
        str(hostile), header(hostile), look(str(hostile)), None, read_s=0.2, longest_s=0.4
    )
    assert chunk.more
    assert chunk.rows
    assert chunk.cursor.last_id == chunk.rows[-1].id
    assert all(row.session_id in chunk.sessions for row in chunk.rows)


def test_a_value_that_is_too_large_costs_its_own_row_at_most(hostile: Path) -> None:
    with closing(connect(hostile)) as connection:
        (result, request) = connection.execute(
            "SELECT max(id), min(id) FILTER (WHERE tool_calls != '') FROM messages"
            " WHERE role = 'tool' OR tool_calls != ''"
        ).fetchone()
        connection.execute(
            "UPDATE messages SET content = printf('%.*c', 20000000, 'x') WHERE role = 'tool'"
        )
        connection.execute(
            "UPDATE messages SET tool_calls = zeroblob(20000000) WHERE id = ?", (request,)
        )
    daemon, counted = beside_a_good_one(hostile)
    assert counted == 20 + CALLS - 1
    (file,) = (one for one in daemon.dbs.files.values() if one.house == "timmy")
    assert file.skipped["too_large"] == 1
    assert daemon.settle() == 0
    daemon.dbs.close()
    chunk = state_db.read(
        str(hostile),
        header(hostile),
        look(str(hostile)),
        state_db.StateDbCursor(last_id=result - 1),
    )
    assert [len(row.content) for row in chunk.rows] == [LONGEST_CONTENT]


def test_a_million_calls_in_one_message_cost_that_message(hostile: Path) -> None:
    with closing(connect(hostile)) as connection:
        connection.execute(
            "UPDATE messages SET tool_calls = ? WHERE id = (SELECT min(id) FROM messages"
            " WHERE tool_calls != '')",
            ("[" + ",".join(["{}"] * 1_000_000) + "]",),
        )
    daemon, counted = beside_a_good_one(hostile)
    assert counted == 20 + CALLS - 1
    daemon.dbs.close()


def test_a_row_that_raises_what_nobody_foresaw_costs_itself_alone(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(hostile)) as connection:
        (bad, calls) = connection.execute(
            "SELECT max(id), tool_calls FROM messages WHERE tool_calls != ''"
        ).fetchone()
    honest = RowIngest.take

    def take(
        self: RowIngest, batch: Batch, origin: Origin, rows: Sequence[Row], *rest: Any, **named: Any
    ) -> TakenRows:
        if origin.house == "timmy" and any(row.id == bad for row in rows):
            raise OverflowError
        return honest(self, batch, origin, rows, *rest, **named)

    monkeypatch.setattr(RowIngest, "take", take)
    daemon, counted = beside_a_good_one(hostile)
    assert counted == 20 + CALLS - len(json.loads(calls))
    assert daemon.codes() == {"good": "ok", "hostile": "ok"}
    assert [event["reason"] for event in daemon.events if event["event"] == "file_failed"] == [
        "unforeseen"
    ]
    daemon.dbs.close()


def test_a_log_of_any_size_and_index_stops_nothing(hostile: Path) -> None:
    with closing(connect(hostile)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    whole = hostile.read_bytes()
    for wal, index in [
        (b"", b""), (b"\0" * 32, b""), (b"x" * 4096, b"x" * 32768), (b"\0" * 9999, b"\xff" * 32767),
        (b"7\x7f\x06\x82" + b"\xff" * 5000, b"\0" * 65536),
    ]:  # fmt: skip
        hostile.write_bytes(whole)
        hostile.with_name("state.db-wal").write_bytes(wal)
        hostile.with_name("state.db-shm").write_bytes(index)
        daemon, counted = beside_a_good_one(hostile)
        assert counted >= 20
        assert daemon.codes()["good"] == "ok"
        daemon.dbs.close()
    os.truncate(hostile.with_name("state.db-wal"), 10 << 30)
    daemon, counted = beside_a_good_one(hostile)
    assert daemon.codes() == {"good": "ok", "hostile": "too_large"}
    daemon.dbs.close()


def test_names_and_times_of_any_length_are_cut(hostile: Path) -> None:
    call = json.dumps([{"id": "x" * 5_000_000, "function": {"name": "y" * 5_000_000}}])
    with closing(connect(hostile)) as connection:
        connection.execute(
            "INSERT INTO messages (session_id, role, tool_calls, timestamp)"
            " SELECT id, 'assistant', ?, ? FROM sessions",
            (call, NOW),
        )
        connection.execute("UPDATE sessions SET model = printf('%.*c', 5000000, 'm')")
    daemon, counted = beside_a_good_one(hostile)
    assert counted == 20 + CALLS + 1
    daemon.dbs.close()
