"""What was learned by another version: carried over, rebuilt from the rows, or refused with the way out."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.engine import formats, intelligence
from timmyd.engine.formats import FATES, FORMATS, Settled, formats_of
from timmyd.errors import StoreError

NOW = 1_795_381_822.0


class Time:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "timmy.db"


@pytest.fixture
def engine(path: Path) -> Iterator[IntelligenceEngine]:
    time = Time()
    engine = IntelligenceEngine(PatternDatabase(path, clock=time), clock=time)
    for n in range(30):
        rows = [call(n * 40 + k) for k in range(40)]
        engine.record_executions(rows)
        time.at += 60.0
        engine.analyze_and_adapt()
    engine.save()
    yield engine
    engine.database.close()


def call(n: int) -> dict[str, object]:
    """House h0 and model m0 are the best ones, so that who leads does not depend on the ticks."""
    bad = n % 7 == 0 or n % 11 < 2 * (n % 3) or (n % 2 and n % 13 < 2)
    return {
        "at": NOW + 1.5 * n, "tool": f"t{n % 4}", "house": f"h{n % 3}", "shape": f"s{n % 5}",
        "model": f"m{n % 2}", "outcome": "error" if bad else "ok", "session_id": str(n // 9),
    }  # fmt: skip


def reopened(path: Path, time: Time | None = None) -> IntelligenceEngine:
    clock = time or Time()
    clock.at += 3600.0
    return IntelligenceEngine(PatternDatabase(path, clock=clock), clock=clock)


def change(path: Path, key: str, value: bytes | None) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM state WHERE key = ?", (key,))
        if value is not None:
            connection.execute("INSERT INTO state VALUES (?, ?)", (key, value))


def older(path: Path, *parts: str) -> None:
    change(path, "formats", json.dumps({**FORMATS, **dict.fromkeys(parts, 0)}).encode())


def published(engine: IntelligenceEngine) -> dict[str, object]:
    document = json.loads(json.dumps(engine.policy_document(), default=str))
    return {name: document[name] for name in ("predictions", "models", "routes")}


def work_off(engine: IntelligenceEngine) -> int:
    for ticks in range(1, 100):
        engine.analyze_and_adapt()
        if not engine.behind:
            return ticks
    raise AssertionError


def test_a_part_of_an_older_form_is_rebuilt_from_the_rows_in_slices(
    engine: IntelligenceEngine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intelligence, "REBUILD_SLICE", 200)
    before = published(engine)
    older(path, "estimates", "choices")
    change(path, "estimates", b"of another form")

    again = reopened(path)

    assert again.learner.settled == [
        Settled("estimates", 0, "rebuilt"),
        Settled("choices", 0, "rebuilt"),
    ]
    assert published(again)["predictions"] == {}
    assert work_off(again) == 6
    assert published(again) == before
    assert again.accuracy() == {}


def test_a_rebuild_that_was_interrupted_goes_on_and_what_comes_meanwhile_counts_once(
    engine: IntelligenceEngine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intelligence, "REBUILD_SLICE", 200)
    older(path, "estimates")
    time = Time()
    again = reopened(path, time)
    assert engine.learner.settled == []
    again.analyze_and_adapt()
    again.analyze_and_adapt()
    again.record_executions([call(n) for n in range(1200, 1300)])
    again.analyze_and_adapt()
    again.database.close()

    last = reopened(path, time)
    assert last.learner.settled == []
    work_off(last)

    assert last.learner.predictions.learned == 1300
    assert last.learner.choices.known == 1300


def test_what_cannot_be_read_although_its_form_is_ours_is_rebuilt_too(
    engine: IntelligenceEngine, path: Path
) -> None:
    before = published(engine)
    change(path, "choices", b"\xc1")

    again = reopened(path)
    work_off(again)

    assert again.learner.settled == [Settled("choices", FORMATS["choices"], "rebuilt")]
    assert published(again) == before
    again.save()
    assert reopened(path).learner.settled == []


@pytest.mark.parametrize("part", ["judgement", "breakers"])
def test_values_that_cannot_be_read_are_not_thrown_away(
    engine: IntelligenceEngine, path: Path, part: str
) -> None:
    engine.save()
    change(path, part, b"\xc1")

    with pytest.raises(StoreError, match=part) as refused:
        reopened(path)

    assert not refused.value.retry
    assert "db restore" in str(refused.value)


def test_a_newer_form_is_refused_with_the_way_out(engine: IntelligenceEngine, path: Path) -> None:
    engine.save()
    change(path, "formats", json.dumps({**FORMATS, "choices": 99}).encode())

    with pytest.raises(StoreError, match="form 99") as refused:
        reopened(path)

    assert not refused.value.retry
    assert "db restore" in str(refused.value)


def test_a_state_without_forms_is_of_the_version_before_there_were_any() -> None:
    assert formats_of({}) == {}
    assert formats_of({"judgement": b""}).keys() == FORMATS.keys()
    assert FATES.keys() == FORMATS.keys()


def test_a_step_of_another_form_is_let_go_and_its_rows_are_taken_in_again(
    engine: IntelligenceEngine, path: Path
) -> None:
    engine.save()
    engine.record_executions([call(5000)])
    engine.analyze_and_adapt()
    change(path, "log", b'[{"now": "of another form"}]')

    again = reopened(path)
    again.analyze_and_adapt()

    assert again.learner.predictions.learned == 1201


def test_every_part_is_kept_beside_its_form(engine: IntelligenceEngine) -> None:
    assert engine.learner.dump().keys() >= FORMATS.keys()
    assert formats.settled(engine.learner.dump()) == []
