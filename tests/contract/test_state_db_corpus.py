"""Every case of the corpus through `state.db`: each requested call once, however its rows are read."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.state_db_corpus import (
    CASES,
    CORPUS,
    Counts,
    chunks,
    counts,
    executions,
    grow,
    open_store,
    read_once,
    take,
    take_rows,
    take_snapshots,
    truth,
)
from timmyd.sources.state_db import StateDbCursor

# What the stored content does not tell: 0.19 does not store the mark of a call that a plugin
# refused, whose result looks like an ordinary error.
LEFT: dict[str, tuple[Counts, Counts]] = {
    "s23_plugin_block": (
        Counts({("terminal", "error"): 1, ("read_file", "error"): 1}),
        Counts({("terminal", "blocked"): 1, ("read_file", "blocked"): 1}),
    )
}


def expected(case: str) -> Counts:
    shown, really = LEFT.get(case, (Counts(), Counts()))
    return truth(case) - really + shown


def test_the_corpus_is_there() -> None:
    assert len(CASES) == 28
    assert sum(sum(truth(case).values()) for case in CASES) == 231


@pytest.mark.parametrize("case", CASES)
def test_every_call_is_counted_once_with_its_outcome(case: str) -> None:
    store = open_store()
    take_rows(store, CORPUS / case / "state.db")
    assert counts(store) == expected(case)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows", range(1, 8))
def test_the_size_of_the_pieces_changes_nothing(case: str, rows: int) -> None:
    store = open_store()
    take_rows(store, CORPUS / case / "state.db", rows=rows)
    assert counts(store) == expected(case)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("step", [1, 3])
def test_a_poller_that_follows_a_growing_database_counts_the_same(
    case: str, step: int, tmp_path: Path
) -> None:
    store = open_store()
    target = tmp_path / "state.db"
    cursor: StateDbCursor | None = None
    for n, _ in enumerate(grow(CORPUS / case / "state.db", target)):
        if n % step == 0:
            chunk = read_once(target, cursor)
            take(store, chunk)
            cursor = chunk.cursor
    take(store, read_once(target, cursor))
    assert counts(store) == expected(case)


@pytest.mark.parametrize("case", CASES)
def test_reading_again_from_the_start_counts_nothing(case: str) -> None:
    store = open_store()
    path = CORPUS / case / "state.db"
    take_rows(store, path, rows=3)
    before = executions(store)
    for rows in (4_000, 2, 5):
        for chunk in chunks(path, rows=rows):
            new, _, amended = take(store, chunk)
            assert (new, amended) == (0, 0)
    assert executions(store) == before


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", ["snapshots first", "rows first", "both, twice"])
def test_snapshots_beside_it_double_nothing(case: str, order: str) -> None:
    store = open_store()
    path = CORPUS / case / "state.db"
    if order != "rows first":
        take_snapshots(store, case)
    take_rows(store, path, rows=4)
    if order != "snapshots first":
        take_snapshots(store, case)
    if order == "both, twice":
        take_rows(store, path)
    assert sum(counts(store).values()) == sum(truth(case).values())
    if case not in LEFT:
        assert counts(store) == truth(case)


@pytest.mark.parametrize("case", CASES)
def test_what_was_archived_or_undone_counts_and_flags_are_not_trusted(
    case: str, tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    shutil.copy(CORPUS / case / "state.db", path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE messages SET active = 1 - active, compacted = 0")
        connection.execute("UPDATE sessions SET message_count = 0, tool_call_count = 0")
    store = open_store()
    take_rows(store, path)
    assert counts(store) == expected(case)


def test_a_branch_and_a_rotation_belong_to_their_parents_and_a_delegate_does_not() -> None:
    lineages = {}
    for case in ("b01_branch", "c04_rotate_manual", "d01_delegate_single"):
        store = open_store()
        take_rows(store, CORPUS / case / "state.db")
        lineages[case] = len({found.session for found in executions(store)})
    assert lineages == {"b01_branch": 1, "c04_rotate_manual": 1, "d01_delegate_single": 2}


@pytest.mark.parametrize("case", ["b01_branch", "c04_rotate_manual"])
def test_files_that_did_not_know_the_link_become_one_lineage(case: str) -> None:
    store = open_store()
    take_snapshots(store, case)
    take_rows(store, CORPUS / case / "state.db")
    assert len({found.session for found in executions(store)}) == 1


def test_every_time_is_the_calls_own_and_a_latency_is_only_given_where_rows_tell_it() -> None:
    store = open_store()
    take_rows(store, CORPUS / "s19_parallel_reads" / "state.db")
    found = executions(store)
    assert not any(call.at_approximate for call in found)
    assert [call.latency_ms for call in found] == [None] * 11  # parallel: no call's own
    store = open_store()
    take_rows(store, CORPUS / "s01_terminal_exit_codes" / "state.db")
    latencies = [call.latency_ms for call in executions(store)]
    assert all(latency is not None and 1.0 < latency < 5_000.0 for latency in latencies)
