"""The `state_db` source: nothing beside the file is touched, trouble gets a code, swaps are noticed."""

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.contract.state_db_corpus import (
    CORPUS,
    NOW,
    ROWS,
    chunks,
    counts,
    executions,
    header,
    open_store,
    read_once,
    take,
    take_rows,
)
from timmyd.core.counting.identity import hash_text
from timmyd.engine.intake import Origin
from timmyd.errors import SessionError
from timmyd.sources import state_db
from timmyd.sources.export import decode as decode_export, is_export
from timmyd.sources.state_db import StateDbCursor
from timmyd.sources.state_db_open import look, options_for
from timmyd.sources.state_db_rows import SessionRow, decode_calls, decode_content, to_session

CASE = CORPUS / "s01_terminal_exit_codes" / "state.db"
CALLS = 11

_WRITER = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode = WAL")
c.execute("UPDATE sessions SET title = 'w' || rowid")
print("up", flush=True)
for line in sys.stdin:
    if line.startswith("end"):
        c.close()
        break
    c.execute(line)
    print("done", flush=True)
"""


class Agent:
    """Another process that has the database open, as an agent would."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def write(self, statement: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(statement.replace("\n", " ") + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("end\n")
        self.process.stdin.flush()
        self.process.wait(timeout=20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=20)


@contextmanager
def agent(path: Path) -> Iterator[Agent]:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    try:
        yield Agent(process)
    finally:
        process.kill()
        process.wait(timeout=20)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "home" / "state.db"
    target.parent.mkdir()
    shutil.copy(CASE, target)
    return target


def state_of(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Inode, time and content of every file."""
    return {
        entry.name: (
            entry.stat().st_ino,
            entry.stat().st_mtime_ns,
            hashlib.sha256(entry.read_bytes()).hexdigest(),
        )
        for entry in folder.iterdir()
    }


def new_call(n: int) -> str:
    call = json.dumps(
        [{"id": f"call_fresh{n}xyz", "function": {"name": "terminal", "arguments": "{}"}}]
    )
    return (
        "INSERT INTO messages (session_id, role, tool_calls, timestamp)"
        f" SELECT id, 'assistant', '{call}', {NOW} + {n} FROM sessions"
    )


def code_of(path: Path, cursor: StateDbCursor | None = None) -> str:
    with pytest.raises(SessionError) as caught:
        read_once(path, cursor)
    return caught.value.code


def ids(path: Path) -> list[int]:
    return [row.id for chunk in chunks(path) for row in chunk.rows]


# ------------------------------------------------------------- nothing is touched
def test_a_closed_database_is_read_without_making_a_file(path: Path) -> None:
    with agent(path) as other:
        other.end()
    before = state_of(path.parent)
    assert set(before) == {"state.db"}
    assert options_for(header(path), look(str(path))) == "mode=ro&immutable=1"
    assert len(ids(path)) == 24
    assert state_of(path.parent) == before


def test_a_living_agents_database_is_read_to_its_last_row_and_stays_as_it_is(path: Path) -> None:
    with agent(path) as other:
        other.write(new_call(1))
        before = state_of(path.parent)
        assert set(before) == {"state.db", "state.db-wal", "state.db-shm"}
        assert len(ids(path)) == 25
        assert state_of(path.parent) == before
        other.write(new_call(2))
        assert len(ids(path)) == 26
        other.end()
    assert set(state_of(path.parent)) == {"state.db"}


def test_the_log_of_a_killed_agent_is_read_and_left(path: Path) -> None:
    with agent(path) as other:
        other.write(new_call(1))
        other.kill()
    before = state_of(path.parent)
    assert set(before) == {"state.db", "state.db-wal", "state.db-shm"}
    assert len(ids(path)) == 25
    assert state_of(path.parent) == before


def test_a_log_without_its_index_is_not_opened_at_all(path: Path) -> None:
    with agent(path) as other:
        other.write(new_call(1))
        other.kill()
    (path.parent / "state.db-shm").unlink()
    before = state_of(path.parent)
    assert code_of(path) == "needs_agent"
    assert state_of(path.parent) == before


def test_an_agent_that_ends_between_look_and_open_is_only_a_passing_trouble(path: Path) -> None:
    with agent(path) as other:
        found = look(str(path))
        first = header(path)
        other.end()
    with pytest.raises(SessionError) as caught:
        state_db.read(str(path), first, found, None)
    assert caught.value.code == "busy"
    assert set(state_of(path.parent)) == {"state.db"}
    assert len(ids(path)) == 24


def test_an_empty_log_without_an_index_is_as_good_as_none(path: Path) -> None:
    with agent(path) as other:
        other.end()
    path.with_name("state.db-wal").touch()
    before = state_of(path.parent)
    assert len(ids(path)) == 24
    assert state_of(path.parent) == before


def test_a_log_that_comes_while_the_file_is_taken_for_closed_spoils_the_reading(
    path: Path,
) -> None:
    with agent(path) as other:
        other.end()
    found = look(str(path))
    with agent(path), pytest.raises(SessionError) as caught:
        state_db.read(str(path), header(path), found, None)
    assert caught.value.code == "busy"


def test_a_database_with_a_rollback_journal_is_read_too(path: Path) -> None:
    before = state_of(path.parent)
    assert options_for(header(path), look(str(path))) == "mode=ro"
    assert len(ids(path)) == 24
    assert state_of(path.parent) == before


def test_no_descriptor_stays_open(path: Path) -> None:
    def opened() -> list[str]:
        found = []
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                found.append(str(entry.readlink()))
        return [name for name in found if name.startswith(str(path.parent))]

    ids(path)
    assert opened() == []


def test_a_writer_never_has_to_wait_for_us(path: Path) -> None:
    with agent(path) as other:
        other.write("PRAGMA busy_timeout = 0")
        for n in range(40):
            other.write(new_call(n))
            assert len(read_once(path, None).rows) == 25 + n


# --------------------------------------------------------------- swaps, restores
def test_a_file_that_is_swapped_between_look_and_open_is_not_used(path: Path) -> None:
    found = look(str(path))
    other = path.with_name("other.db")
    shutil.copy(CORPUS / "b01_branch" / "state.db", other)
    other.rename(path)
    with pytest.raises(SessionError) as caught:
        state_db.read(str(path), header(path), found, None)
    assert caught.value.code == "replaced"


def test_a_vacuumed_file_is_read_on_from_where_it_was(path: Path) -> None:
    cursor = read_once(path, None).cursor
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM messages WHERE id < 10")
        connection.execute("VACUUM")
        connection.execute(new_call(1))
    chunk = read_once(path, cursor)
    assert chunk.restarted is None
    assert [row.id for row in chunk.rows] == [cursor.last_id + 1]


def test_a_copy_that_took_the_files_place_is_read_on(path: Path) -> None:
    cursor = read_once(path, None).cursor
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    copy.rename(path)
    chunk = read_once(path, cursor)
    assert (chunk.restarted, chunk.rows) == (None, [])


def test_pruned_rows_are_no_reason_to_begin_again(path: Path) -> None:
    cursor = read_once(path, None).cursor
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM messages")
    assert read_once(path, cursor).restarted is None


def test_an_older_backup_in_its_place_is_read_from_the_start_and_counts_nothing_twice(
    path: Path,
) -> None:
    backup = path.with_name("backup.db")
    shutil.copy(path, backup)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(new_call(1))
    store = open_store()
    chunk = read_once(path, None)
    take(store, chunk)
    backup.rename(path)
    again = read_once(path, chunk.cursor)
    assert again.restarted == "ids_went_back"
    assert take(store, again)[0] == 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(new_call(2))  # the same id as the lost row, another call
    last = read_once(path, again.cursor)
    assert take(store, last)[0] == 1
    assert len(executions(store)) == CALLS + 2


def test_a_new_database_with_as_many_rows_is_known_by_its_rows(path: Path) -> None:
    cursor = read_once(path, None, rows=10).cursor
    shutil.copy(CORPUS / "b01_branch" / "state.db", path)
    assert read_once(path, cursor).restarted == "other_rows"


# ----------------------------------------------------------------------- trouble
def test_an_empty_file_is_empty(path: Path) -> None:
    path.write_bytes(b"")
    assert code_of(path) == "empty"


def test_a_database_without_tables_is_empty(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    assert code_of(path) == "empty"


def test_a_text_is_no_database(path: Path) -> None:
    path.write_text("not a database at all, but long enough to be one\n" * 100)
    assert code_of(path) == "not_sqlite"


def test_another_programs_database_is_foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE moz_places (id INTEGER)")
    assert code_of(path) == "foreign"


def test_half_of_a_copy_is_torn(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert code_of(path) == "torn"


def test_a_page_of_noise_is_damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(bytes(data))
    assert code_of(path) == "damaged"


def test_a_database_that_is_held_exclusively_is_locked(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert code_of(path) == "locked"
    assert len(ids(path)) == 24


def test_a_table_without_a_column_that_nothing_replaces_is_unknown(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE messages RENAME COLUMN tool_calls TO calls2")
    assert code_of(path) == "unknown_schema"


def test_a_newer_schema_is_read_by_its_columns_and_said_to_be_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE schema_version SET version = 99")
        connection.execute("ALTER TABLE messages ADD COLUMN brand_new TEXT")
    chunk = read_once(path, None)
    assert (chunk.schema.version, chunk.schema.is_newer, len(chunk.rows)) == (99, True, 24)


def test_what_goes_wrong_never_shows_content(path: Path) -> None:
    path.write_bytes(b"SECRET-TOKEN" * 100)
    with pytest.raises(SessionError) as caught:
        read_once(path, None)
    assert "SECRET" not in str(caught.value)


# ---------------------------------------------------------------------- versions
OLD = {
    11: ("active", "compacted", "observed", "effect_disposition", "api_content"),
    13: ("active", "compacted", "effect_disposition", "api_content"),
    16: ("compacted", "effect_disposition", "api_content"),
}


@pytest.mark.parametrize("version", OLD)
def test_older_schemas_are_read_by_the_columns_they_have(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for (index,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        ).fetchall():
            connection.execute(f"DROP INDEX {index}")
        for column in OLD[version]:
            connection.execute(f"ALTER TABLE messages DROP COLUMN {column}")
        connection.execute("DROP TABLE session_model_usage")
        connection.execute("UPDATE schema_version SET version = ?", (version,))
    store = open_store()
    chunk = read_once(path, None)
    assert chunk.schema.each_call == (version >= 16)
    take(store, chunk)
    found = executions(store)
    assert len(found) == CALLS
    assert all(call.model == "hermes3:8b" for call in found)
    if version < 16:  # rows were written at the end of the turn: their times are no latency
        assert all(call.latency_ms is None for call in found)


def test_a_cut_read_gives_what_it_has_and_says_there_is_more(path: Path) -> None:
    chunk = state_db.read(str(path), header(path), look(str(path)), None, read_s=0.0)
    assert chunk.more or len(chunk.rows) == 24
    assert chunk.rows


# ------------------------------------------------------------------------ values
def test_parts_of_a_message_come_back_as_parts() -> None:
    parts = [{"type": "text", "text": "seen"}]
    assert decode_content("\0json:" + json.dumps(parts)) == parts
    assert decode_content("\0json:{broken") == "\0json:{broken"
    assert decode_content(None) == ""
    assert decode_content(b"\xff") == "\ufffd"


@pytest.mark.parametrize(
    "value", ["", "null", "17", '"x"', "[17]", "{", b"\xff", '[{"function": 3}]']
)
def test_hostile_calls_are_no_calls(value: object) -> None:
    assert decode_calls(value)[0] is None


def test_calls_are_found_however_they_are_encoded() -> None:
    call = {"id": "a", "function": {"name": "terminal", "arguments": "{}"}}
    forms = (json.dumps([call]), json.dumps(json.dumps([call])), [call], json.dumps(call))
    for value in forms:
        found, bad = decode_calls(value)
        assert found is not None
        assert not bad
        assert (found[0].call_id, found[0].tool) == ("a", "terminal")


def test_the_bridge_is_crossed_to_the_tool_behind_it() -> None:
    inner = json.dumps({"name": "web_search", "arguments": {"query": "x"}})
    found, _ = decode_calls([{"id": "a", "function": {"name": "tool_call", "arguments": inner}}])
    assert found is not None
    assert (found[0].tool, found[0].arguments) == ("web_search", '{"query": "x"}')


def test_a_model_switch_in_mid_session_is_seen_by_its_times() -> None:
    session = SessionRow("s", model="late", usage=(("early", 10.0, 20.0), ("late", 21.0, 30.0)))
    assert [session.model_at(at) for at in (5.0, 15.0, 20.5, 25.0, 99.0)] == [
        "late", "early", "early", "late", "late",
    ]  # fmt: skip


@pytest.mark.parametrize("config", [None, "", "{", "[]", "17", b"\xff"])
def test_a_broken_config_marks_nothing(config: object) -> None:
    session = to_session({"id": "s", "model_config": config}, ())
    assert not session.branched
    assert not session.delegated


def test_rows_with_broken_times_and_names_are_counted_and_harm_nothing(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("UPDATE messages SET timestamp = 'soon' WHERE id % 2")
        connection.execute("UPDATE messages SET session_id = 'gone' WHERE id > 12")
        connection.execute("UPDATE messages SET content = CAST(x'ff00fe' AS TEXT) WHERE id = 3")
    store = open_store()
    for _ in range(2):
        take_rows(store, path, rows=5)
    assert len(executions(store)) == CALLS
    assert all(call.at <= NOW for call in executions(store))


def test_rows_older_than_anything_is_kept_are_left_out(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE messages SET timestamp = timestamp - 401 * 86400 WHERE id <= 5")
    store = open_store()
    take_rows(store, path)
    assert len(executions(store)) == CALLS - 2


# ----------------------------------------------------------------------- exports
def exported(case: str) -> list[bytes]:
    """What `hermes sessions export` writes of a case: sessions with their active messages."""
    uri = f"{(CORPUS / case / 'state.db').as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        lines = []
        for session in connection.execute("SELECT * FROM sessions ORDER BY started_at"):
            messages = []
            for row in connection.execute(
                "SELECT * FROM messages WHERE session_id = ? AND active = 1 ORDER BY id",
                (session["id"],),
            ):
                message = dict(row)
                if message["tool_calls"]:
                    message["tool_calls"] = json.loads(message["tool_calls"])
                messages.append(message)
            lines.append(json.dumps({**dict(session), "messages": messages}).encode())
        return lines


def test_an_export_is_known_by_its_first_line() -> None:
    assert is_export(exported("s01_terminal_exit_codes")[0])
    assert not is_export(b'{"schema":"timmy.telemetry/1","run":"0123456789abcdef"}')
    assert not is_export(b"[1]")


@pytest.mark.parametrize("line", [b"", b"{", b'{"id": 3}', b'{"id": "a", "segments": [3]}'])
def test_a_line_that_is_no_session_is_refused(line: bytes) -> None:
    with pytest.raises(SessionError):
        decode_export(line)


def test_an_export_beside_the_database_counts_nothing_new() -> None:
    for case in ("s01_terminal_exit_codes", "c04_rotate_manual", "c01_inplace_manual_short_after"):
        store = open_store()
        take_rows(store, CORPUS / case / "state.db")
        before = counts(store)
        for line in exported(case):
            found = decode_export(line)
            origin = Origin("home", "timmy", "state_db", "export", NOW, NOW)
            with store.batch() as batch:
                taken = ROWS.take(batch, origin, found.rows, found.sessions, times_tell=False)
            assert taken.executions == 0
        assert counts(store) == before


def test_the_ledger_knows_a_message_by_a_hash_alone(path: Path) -> None:
    cursor = read_once(path, None).cursor
    with closing(sqlite3.connect(path)) as connection:
        sid = connection.execute("SELECT id FROM sessions").fetchone()[0]
    assert cursor.last_session == hash_text(sid)
