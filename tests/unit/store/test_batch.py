"""Buckets are sums that are never read back: after any mix of batches they equal a recount of the rows."""

from collections import defaultdict
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from hypothesis import given, strategies as st

from timmyd.core.model import SOURCE_NAMES, Execution
from timmyd.house.outcome import OUTCOMES, RATED
from timmyd.house.units import HOUR_S
from timmyd.store.batch import NO_LINEAGE, Batch, FileRow, Request, signature_key
from timmyd.store.database import PatternDatabase
from timmyd.store.rollups import latency_bin

NOW = 1_795_381_822.0

# sums of whole milliseconds and of eighths are exact, so a recount must agree to the last bit
executions = st.builds(
    Execution,
    id=st.just(0),
    at=st.integers(0, 40).map(lambda quarter: NOW + 900.0 * quarter),
    house=st.sampled_from(["ezra", "timmy"]),
    tool=st.sampled_from(["terminal", "read_file"]),
    signature=st.sampled_from(["0" * 16, "7" * 16, "f" * 16]),
    shape=st.sampled_from(["ls", ".py"]),
    model=st.sampled_from([None, "m1", "m2"]),
    task_type=st.sampled_from(["read", "build"]),
    outcome=st.sampled_from(OUTCOMES),
    rule=st.sampled_from(["given", "json_ok"]),
    error_type=st.sampled_from([None, "exit_1"]),
    source=st.sampled_from(SOURCE_NAMES),
    latency_ms=st.none() | st.integers(0, 200_000).map(float),
    confidence=st.none() | st.integers(0, 8).map(lambda eighths: eighths / 8),
    tokens_in=st.none() | st.integers(0, 5_000),
    tokens_out=st.none() | st.integers(0, 5_000),
    cost=st.none() | st.integers(0, 64).map(lambda part: part / 64),
    policy=st.none() | st.integers(0, 9),
    followed=st.none() | st.booleans(),
    inner=st.booleans(),
    at_approximate=st.booleans(),
    session=st.integers(0, 3),
)


class Step(NamedTuple):
    """Add an execution, or with `amends` let it replace one that is there; perhaps commit after."""

    execution: Execution
    amends: int | None
    ends: str


steps = st.lists(
    st.builds(
        Step,
        executions,
        st.none() | st.integers(0, 30),
        st.sampled_from(["", "", "commit", "roll back"]),
    ),
    max_size=25,
)


class UndoneError(Exception):
    pass


def undo() -> None:
    raise UndoneError


def with_id(execution: Execution, number: int) -> Execution:
    return Execution(
        **{name: getattr(execution, name) for name in Execution.__struct_fields__} | {"id": number}
    )


def run(store: PatternDatabase, todo: list[Step]) -> dict[int, Execution]:
    """Carry the steps out; returns the executions that must stand."""
    stands: dict[int, Execution] = {}
    rest = iter(todo)
    while True:
        open_ = dict(stands)
        ended = "end"
        try:
            with store.batch() as batch:
                for step in rest:
                    _apply(batch, step, open_)
                    if step.ends:
                        ended = step.ends
                        break
                if ended == "roll back":
                    undo()
        except UndoneError:
            continue
        stands = open_
        if ended == "end":
            return stands


def _apply(batch: Batch, step: Step, open_: dict[int, Execution]) -> None:
    if step.amends is not None and open_:
        number = sorted(open_)[step.amends % len(open_)]
        found = with_id(step.execution, number)
        assert batch.amend(found)
        assert batch.execution(number) == found
    else:
        number = batch.new_execution()
        found = with_id(step.execution, number)
        batch.add(found)
    open_[number] = found


Sums = dict[tuple[object, ...], tuple[float, ...]]


def recount(stands: dict[int, Execution]) -> dict[str, Sums]:
    found: dict[str, dict[tuple[object, ...], dict[int, float]]] = {
        name: {} for name in ("hours", "latencies", "patterns", "models")
    }

    def put(table: str, key: tuple[object, ...], values: list[float]) -> None:
        total = found[table].setdefault(key, defaultdict(float))
        for place, value in enumerate(values):
            total[place] += value

    for e in stands.values():
        combo = (e.house, e.tool, e.shape, e.model or "", e.task_type)
        hour = int(e.at // HOUR_S)
        rated, ok = int(e.outcome in RATED), int(e.outcome == "ok")
        latency = [float(e.latency_ms is not None), e.latency_ms or 0.0]
        confidence = [float(e.confidence is not None), e.confidence or 0.0]
        outcome = [float(e.outcome == name) for name in OUTCOMES]
        put("hours", (hour, *combo), [*outcome, *latency, *confidence])
        if e.latency_ms is not None:
            put("latencies", (hour, *combo, latency_bin(e.latency_ms)), [1])
        signature = signature_key(e.signature)
        put("patterns", (*combo, signature), [1, rated, ok, *latency, *confidence])
        if e.model:
            known = e.tokens_in is not None or e.tokens_out is not None
            tokens = [float(known), float((e.tokens_in or 0) + (e.tokens_out or 0))]
            cost = [float(e.cost is not None), e.cost or 0.0]
            against = rated + int(e.outcome == "rejected")
            put("models", (e.model, e.task_type), [1, against, ok, *latency, *tokens, *cost])
    return {
        name: {
            key: values
            for key, total in table.items()
            if any(values := tuple(total[place] for place in range(max(total) + 1)))
        }
        for name, table in found.items()
    }


COMBO = "c.house, c.tool, c.shape, c.model, c.task"
QUERIES = {
    "hours": (
        6,
        (
            f"SELECT t.hour, {COMBO}, {', '.join(OUTCOMES)}, latency_n, latency_ms, confidence_n,"
            " confidence FROM hours t JOIN combos c ON c.id = t.combo"
        ),
    ),
    "latencies": (
        7,
        f"SELECT t.hour, {COMBO}, t.bin, t.n FROM latencies t JOIN combos c ON c.id = t.combo",
    ),
    "patterns": (
        6,
        (
            f"SELECT {COMBO}, t.signature, calls, rated, ok, latency_n, latency_ms, confidence_n,"
            " confidence FROM patterns t JOIN combos c ON c.id = t.combo"
        ),
    ),
    "models": (
        2,
        (
            "SELECT model, task, calls, rated, ok, latency_n, latency_ms, tokens_n, tokens, cost_n,"
            " cost FROM models"
        ),
    ),
}


def folded(store: PatternDatabase) -> dict[str, Sums]:
    with store.batch() as batch:
        connection = batch._connection  # noqa: SLF001 - the buckets as they lie in the file
        found: dict[str, Sums] = {}
        for name, (keys, query) in QUERIES.items():
            rows = connection.execute(query).fetchall()
            sums = {row[:keys]: row[keys:] for row in rows if any(row[keys:])}
            assert all(min(values) >= 0 for values in sums.values())
            found[name] = sums
    return found


@given(steps)
def test_buckets_equal_a_recount_after_any_mix_of_adding_amending_and_undoing(
    todo: list[Step],
) -> None:
    store = PatternDatabase(":memory:", clock=lambda: NOW)

    stands = run(store, todo)

    assert {e.id: e for e in store.executions_after(0, 1_000)} == stands
    assert folded(store) == recount(stands)
    assert store.counters().get("executions", 0) == len(stands)
    store.close()


def one(number: int, **facts: Any) -> Execution:
    values: dict[str, Any] = {
        "id": number,
        "at": NOW,
        "house": "ezra",
        "tool": "terminal",
        "signature": "0" * 16,
        "shape": "ls",
        "outcome": "ok",
    }
    return Execution(**values | facts)


@pytest.fixture
def store() -> PatternDatabase:
    return PatternDatabase(":memory:", clock=lambda: NOW)


def test_an_amended_execution_whose_row_is_gone_changes_no_bucket(store: PatternDatabase) -> None:
    with store.batch() as batch:
        batch.add(one(batch.new_execution()))
    before = folded(store)
    store.prune(now=NOW + 1e9, executions_s=0, patterns_s=9e9, hours_s=9e9, days_s=9e9)

    with store.batch() as batch:
        assert not batch.amend(one(1, outcome="error"))

    assert folded(store) == before


def test_the_number_of_an_execution_is_never_given_again(store: PatternDatabase) -> None:
    with store.batch() as batch:
        for _ in range(3):
            batch.add(one(batch.new_execution()))
    store.prune(now=NOW + 1e9, executions_s=0, patterns_s=9e9, hours_s=9e9, days_s=9e9)
    assert store.executions_after(0, 10) == []

    with store.batch() as batch:
        assert batch.new_execution() == 4


def test_an_outcome_that_comes_late_is_remembered_until_it_was_used(store: PatternDatabase) -> None:
    with store.batch() as batch:
        batch.add(one(batch.new_execution(), outcome="unknown"))
        batch.add(one(batch.new_execution(), outcome="ok"))
    with store.batch() as batch:
        batch.amend(one(1, outcome="error"))
        batch.amend(one(2, outcome="error"))

    assert store.answered_late(2, 10) == [1]
    store.decide([], {}, at=NOW, used=[1])
    assert store.answered_late(2, 10) == []


def test_a_batch_that_was_undone_leaves_nothing_also_not_in_memory(store: PatternDatabase) -> None:
    with suppress(UndoneError), store.batch() as batch:
        lineage = batch.new_lineage("ezra", started_at=None, now=NOW)
        batch.register(lineage).take_line("a" * 16, 1)
        batch.touch(lineage, NOW)
        batch.add(one(batch.new_execution()))
        batch.save_file(FileRow(path=b"/x", house="e", source="session", dev=1, ino=1, size=1, mtime_ns=1))  # fmt: skip
        undo()

    assert store.executions_after(0, 10) == []
    assert store.files() == []
    assert store.lineages() == 0
    with store.batch() as batch:
        again = batch.new_lineage("ezra", started_at=None, now=NOW)
        assert batch.register(again).take_line("a" * 16, 1)
        batch.add(one(batch.new_execution()))
    assert store.tool_counts(NOW - 7_200)[0].house == "ezra"


def test_a_mark_that_says_nothing_says_nothing_for_ever(store: PatternDatabase) -> None:
    with store.batch() as batch:
        lineage = batch.new_lineage("ezra", started_at=None, now=NOW)
        batch.mark([5, 6], lineage)
        assert set(batch.marked([5]).values()) == {lineage}
        batch.mark([5], NO_LINEAGE)
        batch.mark([5], lineage)
        assert (set(batch.marked([5]).values()), set(batch.marked([6, 7]).values())) == (
            set(),
            {lineage},
        )
    with store.batch() as batch:
        batch.mark([5], lineage)
        assert (set(batch.marked([5]).values()), set(batch.marked([5, 6]).values())) == (
            set(),
            {lineage},
        )
        assert set(batch.marked([]).values()) == set()


def test_lineages_that_are_one_are_found_by_either_ones_marks_and_ids(
    store: PatternDatabase,
) -> None:
    with store.batch() as batch:
        home = batch.name("/home")
        ids = [batch.new_lineage("ezra", started_at=None, now=NOW) for _ in range(3)]
        for number, lineage in enumerate(ids):
            batch.enter(home, number, lineage)
            batch.mark([100 + number], lineage)
            batch.register(lineage).add((number,), number, number, rank=0, seen_at=NOW)
        batch.merge(ids[2], ids[1], NOW)
        batch.merge(ids[1], ids[0], NOW)

    with store.batch() as batch:
        assert set(batch.marked([100 + number for number in range(3)]).values()) == {ids[0]}
        assert {batch.lineage_of(home, number) for number in range(3)} == {ids[0]}
        assert [known.key for known in batch.register(ids[0]).known] == [0, 1, 2]
    assert store.lineages() == 1


def test_calls_of_models_are_added_up_by_the_hour(store: PatternDatabase) -> None:
    for ok in (True, False):
        with store.batch() as batch:
            batch.add_request(Request(NOW, "ezra", "m", ok, 10.0, 5, None))
            batch.add_request(Request(NOW, "ezra", "m", True, None, None, 2))

    with store.batch() as batch:
        rows = batch._connection.execute("SELECT * FROM requests").fetchall()  # noqa: SLF001 - the sums
    assert rows == [(int(NOW // 3600), "ezra", "m", 3, 1, 2, 20.0, 10, 4)]


def test_requests_are_told_by_provider_and_by_why_they_failed(store: PatternDatabase) -> None:
    told: list[tuple[str, str, str | None]] = [
        ("ezra", "openai", None), ("ezra", "openai", "timeout"), ("ezra", "openai", "rate_limit"),
        ("ezra", "openai", "rate_limit"), ("timmy", "openai", None), ("timmy", "", "timeout"),
    ]  # fmt: skip
    for _ in range(2):
        with store.batch() as batch:
            for house, provider, error in told:
                batch.add_request(
                    Request(
                        NOW, house, "m", error is None, None, None, None, provider, error or "?"
                    )
                )

    first, second = store.providers(NOW)
    assert (first.house, first.provider, first.requests, first.failed) == ("ezra", "openai", 8, 6)
    assert list(first.errors.items()) == [("rate_limit", 4), ("timeout", 2)]
    assert (second.house, second.requests, second.failed, second.errors) == ("timmy", 2, 0, {})
    assert store.providers(NOW + 3600) == []
    store.remove_house("ezra")
    assert store.providers(NOW) == [second]


def test_a_path_that_is_no_text_can_be_a_home(store: PatternDatabase) -> None:
    with store.batch() as batch:
        assert batch.name("/home/\udcff") == batch.name("/home/\udcff")
