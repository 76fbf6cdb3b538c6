"""Wherever a session lies, in whatever order it is seen, and in whose zone it was written: each call once."""

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.made_home import OK, Found, MadeHome, chat, command, local
from timmyd.config import Settings
from timmyd.core.tasks import TaskTable
from timmyd.engine.ingest import Ingest
from timmyd.engine.ingest_rows import RowIngest
from timmyd.engine.intake import HORIZON_S, Cursor, Origin
from timmyd.sources.export import decode as decode_export
from timmyd.store.database import PatternDatabase
from timmyd.tools.checking import check_state

DATA = Path(__file__).parents[1] / "data"
NOW = 1_795_500_000.0
INGEST = Ingest(tasks=TaskTable.default())


def store() -> PatternDatabase:
    return PatternDatabase(":memory:", clock=lambda: NOW)


def take(
    database: PatternDatabase,
    data: bytes,
    *,
    home: str = "home",
    owner: int | None = 1000,
    house: str = "timmy",
    name: str = "session_x",
    source: Any = "snapshot",
    written_at: float = NOW,
    cursor: Cursor | None = None,
    zone: str = "UTC",
) -> Cursor | None:
    ingest = Ingest(tasks=TaskTable.default(), zone=ZoneInfo(zone))
    origin = Origin(home, house, source, name, written_at, NOW, owner)
    with database.batch() as batch:
        return ingest.take(batch, origin, data, cursor).cursor


def count(database: PatternDatabase) -> int:
    return len(database.executions_after(0, 100_000))


def snapshot(
    sid: str, calls: Sequence[tuple[str, str]], *, at: float = NOW - 3_600.0, **more: Any
) -> bytes:
    messages: list[Any] = [{"role": "user", "content": "do it"}]
    for call_id, text in calls:
        messages += [
            {"role": "assistant", "content": "", "tool_calls": [chat(call_id, command(text))]},
            {"role": "tool", "content": OK, "tool_call_id": call_id, "name": "terminal"},
        ]
    document = {"session_id": sid, "model": "m", "platform": "cli", "session_start": local(at)}
    document |= {"last_updated": local(at), "messages": messages} | more
    return json.dumps(document, indent=2).encode()


# ------------------------------------------------------------------ any order
@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_the_two_files_of_a_rotation_of_an_old_hermes_in_any_order(order: Sequence[int]) -> None:
    files = sorted((DATA / "cases" / "rotated_0_13").iterdir())
    database = store()
    for place in (*order, *order):
        take(database, files[place].read_bytes(), name=files[place].stem)
    assert count(database) == 17


IDS = [f"call_{n}Zx81kQpW{n}a" for n in range(9)]
ALL = [(call_id, f"step {n}") for n, call_id in enumerate(IDS)]
VERSIONS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "parent begins": ("20261122_214047_aaaaaa", ALL[:3]),
    "parent ends": ("20261122_214047_aaaaaa", ALL[:6]),
    "child begins": ("20261122_214054_bbbbbb", ALL[4:7]),
    "child ends": ("20261122_214054_bbbbbb", ALL[4:8]),
    "grandchild": ("20261122_215000_cccccc", [ALL[0], ALL[5], *ALL[7:]]),
}


@pytest.mark.parametrize("order", list(permutations(VERSIONS)))
def test_versions_of_a_rotated_conversation_in_any_order(order: Sequence[str]) -> None:
    database = store()
    seen: set[str] = set()
    cursors: dict[str, Cursor | None] = {}
    for n, version in enumerate(order):
        sid, calls = VERSIONS[version]
        data = snapshot(sid, calls, at=NOW - 900.0 + n)
        cursors[sid] = take(database, data, name=sid, cursor=cursors.get(sid))
        seen |= {call_id for call_id, _ in calls}
        assert count(database) == len(seen)


# ------------------------------------------------------------------ twins
@pytest.mark.parametrize(
    "ids", [["call_x"] * 3, ["call_0", "call_1", "call_2"], ["call_0123456789ab"] * 3, ["", "", ""]]
)
def test_the_same_work_done_again_in_sessions_of_its_own_is_counted_each_time(
    ids: list[str],
) -> None:
    database = store()
    work = list(zip(ids, ("make lint", "make test", "git status"), strict=True))
    for day in range(5):
        more = [("call_7", f"tail log {day}")] if day % 2 == 0 else []
        sid = f"2026112{day}_030000_aaaaa{day}"
        for _ in range(2):
            take(database, snapshot(sid, [*work, *more], at=NOW - 86_400.0 * (5 - day)), name=sid)
    assert count(database) == 18


def test_a_branch_whose_messages_have_times_is_known_by_them() -> None:
    database = store()

    def timed(sid: str, calls: int) -> bytes:
        document = json.loads(snapshot(sid, [("call_x", f"step {n}") for n in range(calls)]))
        for n, message in enumerate(document["messages"]):
            message["timestamp"] = NOW - 7_200.0 + n
        document["messages"].insert(5, {"role": "assistant", "content": "done"})
        return json.dumps(document).encode()

    take(database, timed("20261120_030000_aaaaaa", 2), name="a")
    take(database, timed("20261121_030000_bbbbbb", 4), name="b")
    assert count(database) == 4


# ------------------------------------------------------------------ places
HERMES = "20261122_214047_aaaaaa"
COUNTERS = [("call_0", "make"), ("call_1", "make test")]


@pytest.mark.parametrize(
    "sid", [HERMES, "0b8f6a52-95a5-4c4b-9d8e-2f1b3c4d5e6f", "cron_ab12_20261122_214047", "own-name"]
)
def test_a_home_that_is_copied_renamed_or_spelled_otherwise_is_the_same(sid: str) -> None:
    database = store()
    for home in (
        "/home/a/.hermes",
        "/home/a/./hermes-link",
        "/home/a/old",
        "/home/a/.hermes/profiles/b",
    ):
        take(database, snapshot(sid, COUNTERS), home=home)
    assert count(database) == 2
    take(database, snapshot(sid, [*COUNTERS, ("call_2", "make clean")]), home="/home/a/old")
    assert count(database) == 3


def test_two_owners_never_share_a_session() -> None:
    database = store()
    for owner in (1000, 1001):
        for calls in (COUNTERS, [(IDS[0], "make")]):
            take(database, snapshot(HERMES, calls), home=f"/home/{owner}", owner=owner)
    assert count(database) == 6


def damaged(sid: str, call_id: str) -> bytes:
    """What compaction leaves of a call that `snapshot` shows whole."""
    cut = json.dumps({"command": "x" * 200 + "...[truncated]"})
    request = {"id": call_id, "function": {"name": "terminal", "arguments": cut}}
    told = "[terminal] ran `xxx` -> exit 0, 1 lines output"
    messages = [
        {"role": "user", "content": "a summary", "_compressed_summary": True},
        {"role": "assistant", "content": "", "tool_calls": [request]},
        {"role": "tool", "tool_call_id": call_id, "name": "terminal", "content": told},
    ]
    return json.dumps({"session_id": sid, "model": "m", "messages": messages}).encode()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_call_whose_arguments_were_cut_is_the_same_whichever_is_seen_first(
    reverse: bool,
) -> None:
    call_id = "call_Zk3q7B52Qx"
    versions = [snapshot(HERMES, [(call_id, "x" * 900)]), damaged(f"{HERMES[:-1]}f", call_id)]
    database = store()
    for data in versions[:: -1 if reverse else 1]:
        take(database, data)
    assert count(database) == 1


def test_sessions_of_one_owner_that_only_share_a_name_are_two() -> None:
    database = store()
    for home, start in (("/a", NOW - 9_000.0), ("/b", NOW - 5_000.0)):
        take(database, snapshot("1", COUNTERS, at=start), home=home)
    assert count(database) == 4


def test_of_two_houses_that_show_one_session_the_first_keeps_it() -> None:
    database = store()
    take(database, snapshot(HERMES, COUNTERS), home="/a", house="ezra")
    take(database, snapshot(HERMES, [*COUNTERS, (IDS[3], "more")]), home="/b", house="bezalel")
    assert [call.house for call in database.executions_after(0, 9)] == ["ezra"] * 3
    assert database.shared_sessions() == {("bezalel", "ezra"): int(NOW)}


def test_check_names_the_houses_that_show_one_session(tmp_path: Path) -> None:
    path = tmp_path / "db" / "timmy.db"
    database = PatternDatabase(path, clock=lambda: NOW)
    take(database, snapshot(HERMES, COUNTERS), home="/a", house="ezra")
    take(database, snapshot(HERMES, COUNTERS), home="/b", house="bezalel")
    database.close()
    findings = {found.code: found for found in check_state(Settings(), tmp_path, now=NOW + 60.0)}
    assert findings["session_shared"].place == "house bezalel"
    assert "ezra" in findings["session_shared"].words
    later = check_state(Settings(), tmp_path, now=NOW + 8 * 86_400.0)
    assert "session_shared" not in {found.code for found in later}


PLAIN = {
    "messages": [{"role": "tool", "name": "terminal", "error": False, "execution_time_ms": 5}] * 3
}


@pytest.mark.parametrize(
    "times", [{}, {"started_at": NOW - 50.0}, {"started_at": "2026-11-22T10:00:00Z"}]
)
def test_a_plain_session_without_an_id_may_be_renamed_and_grow(times: dict[str, Any]) -> None:
    database = store()
    data = json.dumps(PLAIN | times).encode()
    take(database, data, name="one", source="session", written_at=NOW - 10.0)
    take(database, data, name="two", source="session", written_at=NOW - 10.0)
    assert count(database) == 3
    grown = json.dumps({"messages": PLAIN["messages"] * 2} | times).encode()
    take(database, grown, name="two", source="session", written_at=NOW - 5.0)
    assert count(database) == 6


def test_plain_sessions_without_ids_that_are_alike_are_counted_each() -> None:
    database = store()
    data = json.dumps(PLAIN).encode()
    for n in range(3):
        take(database, data, name=f"run {n}", source="session", written_at=NOW - 100.0 + n)
    assert count(database) == 9


def test_rows_and_files_of_a_copied_home_are_those_of_the_first(tmp_path: Path) -> None:
    home = MadeHome(tmp_path / "home", now=NOW)
    for sid in (HERMES, "own-name"):
        home.session(sid)
        for n in range(3):
            home.ask(sid, chat(f"call_{n}", command(f"step {n}")))
            home.answer(sid, f"call_{n}")
    found = home.read()
    assert len(found.executions) == 6
    shutil.copytree(home.home, tmp_path / "copy")
    found.take(tmp_path / "copy", now=NOW)
    home.home.rename(tmp_path / "renamed")
    found.take(tmp_path / "renamed", tmp_path / "renamed" / "state.db", now=NOW)
    assert len(found.executions) == 6


def test_a_folder_of_sessions_imported_from_a_copy_counts_nothing_again(tmp_path: Path) -> None:
    found = Found(store())
    folder = tmp_path / "home" / "sessions"
    folder.mkdir(parents=True)
    shutil.copy(DATA / "cases/rotated_0_13/session_20261122_214047_21f43d.json", folder)
    (folder / "session_x.json").write_bytes(snapshot(HERMES, COUNTERS))
    shutil.copytree(folder, tmp_path / "copy")
    found.take(tmp_path / "home", now=NOW)
    before = len(found.executions)
    found.take(tmp_path / "copy", tmp_path / "copy" / "session_x.json", now=NOW)
    assert len(found.executions) == before == 14


# ------------------------------------------------------------------ times
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles", "Asia/Kathmandu"])
@pytest.mark.parametrize("kept", [True, False], ids=["file time kept", "file time lost"])
@pytest.mark.parametrize("first", ["rows", "snapshot"])
def test_a_wrong_guess_of_the_zone_parts_nothing(zone: str, kept: bool, first: str) -> None:
    """The writer's zone is another one, or the hour is one that the end of summer time repeats."""
    at = NOW - 86_400.0
    rows = []
    for n in range(4):
        rows += [
            {
                "role": "assistant",
                "timestamp": at + 4 * n,
                "tool_calls": [chat("call_0", command("make"))],
            },
            {"role": "tool", "timestamp": at + 4 * n + 1, "tool_call_id": "call_0", "content": OK},
        ]
    line = json.dumps({"id": HERMES, "started_at": at - 5.0, "messages": rows}).encode()
    document = json.loads(snapshot(HERMES, [("call_0", "make")] * 4))
    document["session_start"] = utc(at - 5.0)
    document["last_updated"] = utc(at + 14.0)
    data = json.dumps(document).encode()
    database = store()

    def take_rows() -> None:
        exported = decode_export(line)
        origin = Origin("home", "timmy", "state_db", "state", NOW, NOW, 1000)
        with database.batch() as batch:
            RowIngest(INGEST).take(batch, origin, exported.rows, exported.sessions, times_tell=True)

    def take_document() -> None:
        written_at = at + 14.1 if kept else NOW - 33.3
        take(database, data, zone=zone, written_at=written_at)

    steps = [take_rows, take_document] if first == "rows" else [take_document, take_rows]
    for step in (*steps, *steps):
        step()
    found = database.executions_after(0, 99)
    assert len(found) == 4
    if kept:
        assert all(abs(call.at - at) < 60.0 for call in found)


def utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat()


AT = 1_795_400_000.0
SPELLED = {
    "seconds": AT,
    "whole seconds": int(AT),
    "milliseconds": AT * 1000,
    "seconds as text": str(AT),
    "milliseconds as text": str(int(AT * 1000)),
    "ISO with a zone": "2026-11-23T02:13:20+00:00",
    "ISO with Z": "2026-11-23T02:13:20.000Z",
    "ISO with another zone": "2026-11-23T11:13:20+09:00",
    "with a space": "2026-11-23 02:13:20",
    "mail": "Mon, 23 Nov 2026 02:13:20 +0000",
}


@pytest.mark.parametrize("spelled", SPELLED)
def test_times_are_understood_in_every_spelling_and_source(spelled: str, tmp_path: Path) -> None:
    home = MadeHome(tmp_path / "home", now=NOW)
    value = SPELLED[spelled]
    home.session("S1", started_at=value)
    home.ask("S1", chat("a1zz9"), at=value)
    home.answer("S1", "a1zz9", at=value)
    told = {"role": "tool", "content": OK, "tool_call_id": "b1zz9", "timestamp": value}
    asked = {"role": "assistant", "content": "", "tool_calls": [chat("b1zz9")]}
    home.snapshot("S2", [asked, told])

    found = home.read()

    assert [call.at for call in found.executions] == [AT, AT]
    assert not any(call.at_approximate for call in found.executions)


@pytest.mark.parametrize("value", ["soon", "", None, -5, 0, "9" * 70, b"\xff"])
def test_a_time_that_cannot_be_read_is_the_sessions_and_never_now(
    value: Any, tmp_path: Path
) -> None:
    home = MadeHome(tmp_path / "home", now=NOW)
    home.session("S1", started_at=AT)
    home.row("S1", "assistant", content="", tool_calls=json.dumps([chat("a1zz9")]))
    home.database().execute("UPDATE messages SET timestamp = ?", (value,))

    (call,) = home.read().executions

    assert (call.at, call.at_approximate) == (AT, True)


def test_what_is_older_than_is_kept_is_refused_and_counted_in_every_source(tmp_path: Path) -> None:
    home = MadeHome(tmp_path / "home", now=NOW)
    home.at = NOW - HORIZON_S - 9_000.0
    home.session("S1")
    home.ask("S1", chat("a1zz9"))
    home.answer("S1", "a1zz9")
    home.line("S2", "b1zz9", "{}")
    home.snapshot("S3", [{"role": "assistant", "content": "", "tool_calls": [chat("c1zz9")]}])

    found = home.read()

    assert found.executions == []
    assert found.skipped == {"too_old": 4}
