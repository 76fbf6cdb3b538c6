"""`timmyd import`: what it takes, what it knew, what it could not read; stopped and run again."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.contract.state_db_corpus import CORPUS, INGEST, NOW, counts, open_store, truth
from timmyd.store.database import PatternDatabase
from timmyd.tools.import_wanted import ImportProgress, ImportReport, recognise, split_house
from timmyd.tools.importing import import_paths


def run(
    store: PatternDatabase,
    *arguments: Path | str,
    progress: Callable[[ImportProgress], None] = lambda _progress: None,
) -> ImportReport:
    return import_paths(
        store,
        INGEST,
        [str(argument) for argument in arguments],
        progress=progress,
        clock=lambda: NOW,
    )


def make_home(folder: Path, case: str, *, database: bool = True) -> Path:
    """A Hermes home as it stood at the end of a case: the last version of each snapshot."""
    sessions = folder / "sessions"
    sessions.mkdir(parents=True)
    for version in sorted((CORPUS / case / "versions").iterdir()):
        shutil.copy(version, sessions / version.name.partition("-")[2])
    (sessions / "sessions.json").write_text("{}")
    if database:
        shutil.copy(CORPUS / case / "state.db", folder / "state.db")
    for path in folder.rglob("*"):
        os.utime(path, (NOW - 60.0, NOW - 60.0))
    return folder


def export(case: str, target: Path) -> Path:
    uri = f"{(CORPUS / case / 'state.db').as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection, target.open("w") as file:
        connection.row_factory = sqlite3.Row
        for session in connection.execute("SELECT * FROM sessions"):
            rows = connection.execute(
                "SELECT * FROM messages WHERE session_id = ? AND active = 1", (session["id"],)
            )
            file.write(
                json.dumps({**dict(session), "messages": [dict(row) for row in rows]}) + "\n"
            )
    return target


def test_a_home_is_taken_whole_and_each_call_once(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "c01_inplace_manual_short_after")
    store = open_store()
    report = run(store, home)
    assert report.executions == 21
    assert counts(store) == truth("c01_inplace_manual_short_after")
    assert report.unread == []
    assert report.ignored == 1


def test_a_second_run_takes_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "c04_rotate_manual")
    store = open_store()
    first = run(store, home)
    again = run(store, home)
    assert (first.executions, again.executions) == (20, 0)
    assert counts(store) == truth("c04_rotate_manual")


def test_files_of_a_time_ahead_of_the_clock_end_like_others(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "c04_rotate_manual")
    for path in home.rglob("*"):
        os.utime(path, (NOW + 86_400.0, NOW + 86_400.0))
    store = open_store()
    assert run(store, home).executions == 20
    assert run(store, home / "state.db").executions == 0
    assert counts(store) == truth("c04_rotate_manual")


def test_profiles_are_houses_of_their_own(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "x01_repeat_ids_and_calls")
    make_home(home / "profiles" / "ezra", "y02_retry_same_id")
    store = open_store()
    run(store, home)
    assert {house: len(run_of(store, house)) for house in store.houses()} == {"timmy": 9, "ezra": 2}


def run_of(store: PatternDatabase, house: str) -> list[str]:
    return [found.tool for found in store.executions_after(0, 1000) if found.house == house]


def test_the_house_is_that_of_the_command_line_or_of_the_place(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "y02_retry_same_id")
    ezra = make_home(tmp_path / "root" / "profiles" / "ezra", "s38_multi_turn")
    store = open_store()
    run(store, f"{home}=bezalel", ezra / "state.db")
    assert sorted(store.houses()) == ["bezalel", "ezra"]


def test_a_path_that_exists_as_it_stands_needs_no_house(tmp_path: Path) -> None:
    odd = tmp_path / "a=b"
    odd.mkdir()
    assert split_house(str(odd)) == (odd, None)
    assert split_house(f"{odd}=ezra") == (odd, "ezra")
    with pytest.raises(ValueError, match="no name of a house"):
        split_house(f"{tmp_path}/x=No House")


def test_a_copy_of_a_database_elsewhere_is_known_again(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "s38_multi_turn")
    copy = tmp_path / "backup" / "old-state.db"
    copy.parent.mkdir()
    shutil.copy(home / "state.db", copy)
    store = open_store()
    run(store, home)
    report = run(store, copy)
    assert (report.executions, report.duplicates) == (0, 6)
    assert counts(store) == truth("s38_multi_turn")


def test_an_export_is_read_alone_and_known_beside_its_home(tmp_path: Path) -> None:
    file = export("s38_multi_turn", tmp_path / "export.jsonl")
    alone = open_store()
    assert run(alone, file).executions == 6
    assert counts(alone) == truth("s38_multi_turn")
    both = open_store()
    run(both, make_home(tmp_path / "home", "s38_multi_turn"))
    assert run(both, file).executions == 0
    late = open_store()
    run(late, file)
    assert run(late, file).executions == 0


def test_a_single_snapshot_and_a_folder_of_sessions_are_taken(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "s01_terminal_exit_codes", database=False)
    snapshot = next((home / "sessions").glob("session_*.json"))
    store = open_store()
    assert run(store, snapshot).executions == 11
    assert run(store, home).executions == 0
    folder = open_store()
    assert run(folder, home / "sessions").executions == 11


def test_what_cannot_be_read_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database")
    (tmp_path / "torn.db").write_bytes((CORPUS / "b01_branch" / "state.db").read_bytes()[:9000])
    (tmp_path / "bad" / "sessions").mkdir(parents=True)
    (tmp_path / "bad" / "sessions" / "session_x.json").write_text(
        '{"session_id": "x", "messages": ['
    )
    (tmp_path / "bad" / "state.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    broken = export("y02_retry_same_id", tmp_path / "broken.jsonl")
    broken.write_text(broken.read_text() + '{"id": "torn", "messa\n')
    good = make_home(tmp_path / "good", "y02_retry_same_id")
    store = open_store()
    report = run(
        store, tmp_path / "text.db", tmp_path / "torn.db", tmp_path / "bad", broken, good,
        tmp_path / "nowhere",
    )  # fmt: skip
    assert counts(store) == truth("y02_retry_same_id")  # in the export and in the home, once
    found = {(unread.path.name, unread.code) for unread in report.unread}
    assert found >= {("torn.db", "torn"), ("session_x.json", "torn"), ("nowhere", "vanished")}
    assert ("broken.jsonl", "torn") in found or ("broken.jsonl", "not_json") in found
    assert any(name == "state.db" for name, _ in found)


def test_the_progress_goes_forward_to_the_end(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "c01_inplace_manual_short_after")
    steps: list[ImportProgress] = []
    run(open_store(), home, progress=steps.append)
    assert [step.done_bytes for step in steps] == sorted(step.done_bytes for step in steps)
    assert steps[-1].done_bytes == steps[-1].total_bytes > 0
    assert steps[-1].left_s == 0.0
    assert steps[-1].executions == 21


def test_stopping_between_batches_loses_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "c08_compress_resume")
    store = open_store()

    def stop(_progress: ImportProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(store, home, progress=stop)
    run(store, home)
    assert counts(store) == truth("c08_compress_resume")


def test_old_history_keeps_its_own_times(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "s01_terminal_exit_codes")
    store = open_store()
    run(store, home)
    assert all(
        NOW - 2 * 86_400 < found.at < NOW - 86_400 for found in store.executions_after(0, 99)
    )


def test_what_a_path_holds_is_recognised(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "y02_retry_same_id")
    renamed = tmp_path / "renamed.bin"
    shutil.copy(home / "state.db", renamed)
    kinds = [
        recognise(path).kind
        for path in (
            home, home / "sessions", renamed, export("y02_retry_same_id", tmp_path / "e.jsonl"),
            next((home / "sessions").glob("session_*")),
        )
    ]  # fmt: skip
    assert kinds == ["home", "sessions", "state_db", "export", "collection"]


@pytest.mark.parametrize("first", ["export", "copy", "home"])
def test_it_does_not_matter_which_comes_first(first: str, tmp_path: Path) -> None:
    case = "c04_rotate_manual"
    home = make_home(tmp_path / "home", case)
    copy = tmp_path / "backup" / "state.db"
    copy.parent.mkdir()
    shutil.copy(home / "state.db", copy)
    things = {"export": export(case, tmp_path / "e.jsonl"), "copy": copy, "home": home}
    store = open_store()
    run(store, things.pop(first), *things.values())
    assert counts(store) == truth(case)


# ------------------------------------------------------------------ files of several sessions
def one_session(form: str, sid: str) -> dict[str, Any]:
    asked = {"id": f"call_{sid}Zk3q7Lx9", "function": {"name": "terminal", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "", "tool_calls": [asked], "timestamp": NOW - 60.0},
        {
            "role": "tool",
            "tool_call_id": asked["id"],
            "content": "Error: no",
            "timestamp": NOW - 59.0,
        },
    ]
    if form == "export":
        return {"id": sid, "started_at": NOW - 90.0, "model": "m", "messages": messages}
    return {"session_id": sid, "model": "m", "started_at": NOW - 90.0, "messages": messages}


def spelled(kind: str, form: str) -> bytes:
    two = [one_session(form, "a1"), one_session(form, "b2")]
    if kind == "lines":
        return b"\n".join(json.dumps(one).encode() for one in two)
    if kind == "pretty, one after the other":
        return b"\n".join(json.dumps(one, indent=2).encode() for one in two)
    value: Any = {
        "list": two,
        "wrapped": {"exported_at": "x", "sessions": two},
        "wrapped by id": {
            "sessions": {one["messages"][1]["tool_calls"][0]["id"]: one for one in two}
        },
        "a list of lists": [[two[0]], [two[1]]],
    }[kind]
    return json.dumps(value, indent=2).encode()


KINDS = [
    "lines",
    "pretty, one after the other",
    "list",
    "wrapped",
    "wrapped by id",
    "a list of lists",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["export", "session"])
@pytest.mark.parametrize("ending", [".json", ".jsonl"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "with BOM"])
def test_sessions_are_taken_however_a_file_puts_them_together(
    kind: str, form: str, ending: str, mark: bytes, tmp_path: Path
) -> None:
    path = tmp_path / f"history{ending}"
    path.write_bytes(mark + spelled(kind, form))
    database = PatternDatabase(":memory:", clock=lambda: NOW)
    for taken in (2, 0):
        report = import_paths(database, INGEST, [str(path)], clock=lambda: NOW)
        assert (report.executions, report.unread) == (taken, [])
    assert [call.outcome for call in database.executions_after(0, 9)] == ["error", "error"]


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one], lambda one: {"data": [one]}])
def test_a_single_session_is_taken_in_any_form_and_known_the_next_time(
    wrap: Callable[[Any], Any], tmp_path: Path
) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(wrap(one_session("session", "a1"))))
    database = PatternDatabase(":memory:", clock=lambda: NOW)
    for taken in (1, 0):
        report = import_paths(database, INGEST, [str(path)], clock=lambda: NOW)
        assert (report.executions, report.unread) == (taken, [])


@pytest.mark.parametrize("how", ["named", "in a folder", "in a home"])
def test_transcripts_of_old_gateways_are_taken_once(how: str, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "sessions"
    folder.mkdir(parents=True)
    sid = "20261122_214047_aaaaaa"
    (folder / "state.jsonl").write_text('{"some": "program"}\n')
    meta = {"role": "session_meta", "model": "m", "timestamp": "2026-11-22T21:40:47"}
    lines = [meta, *one_session("session", "a1")["messages"]]
    path = folder / f"{sid}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    named = {"named": path, "in a folder": folder, "in a home": folder.parent}[how]
    database = PatternDatabase(":memory:", clock=lambda: NOW)
    for taken in (1, 0):
        report = import_paths(database, INGEST, [str(named)], clock=lambda: NOW)
        assert (report.executions, report.unread) == (taken, [])
    export = tmp_path / "export.jsonl"
    export.write_text(json.dumps(one_session("export", "a1") | {"id": sid}))
    assert import_paths(database, INGEST, [str(export)], clock=lambda: NOW).executions == 0


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "no_calls"),
        (b"hello", "not_json"),
        (b"[]", "no_calls"),
        (b'{"sessions": []}', "no_calls"),
        (b'{"a": 1}', "no_calls"),
        (b'[{"session_id": "a", "messages": [{"role": "user", "content": "hi"}]}]', "no_calls"),
    ],
)
@pytest.mark.parametrize("ending", [".json", ".jsonl", ".txt"])
def test_a_named_file_that_gives_nothing_says_why(
    content: bytes, code: str, ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"history{ending}"
    path.write_bytes(content)
    database = PatternDatabase(":memory:", clock=lambda: NOW)
    report = import_paths(database, INGEST, [str(path)], clock=lambda: NOW)
    assert [(one.path, one.code) for one in report.unread] == [(path, code)]


def line(kind: str, call_id: str) -> bytes:
    return json.dumps(one_session(kind, call_id)).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"\n".join([line("session", "a1"), b"xxx", line("session", "b2")]),
        b"\n".join([b"xxx", line("session", "a1"), line("session", "b2")]),
        b"\n".join([line("session", "a1"), line("session", "c3")[:-20], line("session", "b2")]),
        b"\n".join([line("session", "a1"), line("session", "b2"), line("session", "c3")[:-20]]),
    ],
)
def test_a_line_that_is_broken_costs_only_itself_and_is_counted(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(content)
    database = PatternDatabase(":memory:", clock=lambda: NOW)
    report = import_paths(database, INGEST, [str(path)], clock=lambda: NOW)
    assert (report.executions, report.unread) == (2, [])
    assert database.skipped() == {"not_json": 1}


def test_a_torn_session_is_not_taken_for_a_transcript_of_its_messages(tmp_path: Path) -> None:
    path = tmp_path / "torn.json"
    path.write_text(json.dumps(one_session("session", "a1"), indent=2)[:-3])
    database = PatternDatabase(":memory:", clock=lambda: NOW)
    report = import_paths(database, INGEST, [str(path)], clock=lambda: NOW)
    assert [one.code for one in report.unread] == ["not_json"]
    assert not report.executions


def test_sessions_by_their_ids_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_text(json.dumps({call: one_session("session", call) for call in ("a1", "b2")}))
    database = PatternDatabase(":memory:", clock=lambda: NOW)
    report = import_paths(database, INGEST, [str(path)], clock=lambda: NOW)
    assert (report.executions, report.unread) == (2, [])
