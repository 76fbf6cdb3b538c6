"""When the policy file is replaced, and that no revision is ever used twice."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from timmyd.engine import IntelligenceEngine
from timmyd.errors import PublishError
from timmyd.service.publish import RealDisk
from timmyd.service.publisher import Publisher
from timmyd.store.database import PatternDatabase

NOW = 1_795_381_822.0
LIFE_S = 900.0


class BrokenDisk(RealDisk):
    broken = True

    def replace(self, source: Path, target: Path) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        super().replace(source, target)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[IntelligenceEngine]:
    database = PatternDatabase(tmp_path / "db" / "timmy.db", clock=lambda: NOW)
    yield IntelligenceEngine(database, clock=lambda: NOW)
    database.close()


def read(target: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(target.read_bytes())
    return found


def test_the_first_document_is_published_and_the_same_again_only_past_half_its_life(
    engine: IntelligenceEngine, tmp_path: Path
) -> None:
    target = tmp_path / "deep" / "policy.json"
    publisher = Publisher(engine, target)

    assert publisher.publish(NOW, life_s=LIFE_S)
    assert not publisher.publish(NOW + LIFE_S / 2 - 1, life_s=LIFE_S)
    assert read(target)["revision"] == publisher.revision == 1
    assert publisher.publish(NOW + LIFE_S / 2, life_s=LIFE_S)
    assert read(target)["revision"] == publisher.revision == 2


def test_a_clock_that_went_back_and_a_file_that_went_are_reasons_to_publish(
    engine: IntelligenceEngine, tmp_path: Path
) -> None:
    target = tmp_path / "policy.json"
    publisher = Publisher(engine, target)
    publisher.publish(NOW, life_s=LIFE_S)

    assert publisher.publish(NOW - 60.0, life_s=LIFE_S)
    target.unlink()
    assert publisher.publish(NOW - 60.0, life_s=LIFE_S)
    assert target.exists()


def test_new_figures_are_published_in_five_seconds_and_a_new_decision_at_once(
    engine: IntelligenceEngine, tmp_path: Path
) -> None:
    publisher = Publisher(engine, tmp_path / "policy.json")
    publisher.publish(NOW, life_s=LIFE_S)
    engine.record_executions(
        {"tool": "terminal", "house": "ezra", "outcome": "ok", "shape": "ls", "at": NOW}
        for _ in range(50)
    )
    engine.analyze_and_adapt()

    assert not publisher.publish(NOW + 1.0, life_s=LIFE_S)
    assert publisher.publish(NOW + 5.0, life_s=LIFE_S)
    engine.learner.breakers.force("ezra", "terminal", NOW + 5.0)
    assert publisher.publish(NOW + 6.0, life_s=LIFE_S)


def test_a_failure_uses_its_revision_up_and_the_next_call_tries_again(
    engine: IntelligenceEngine, tmp_path: Path
) -> None:
    target = tmp_path / "policy.json"
    disk = BrokenDisk()
    publisher = Publisher(engine, target, disk=disk)
    for _ in range(2):
        with pytest.raises(PublishError):
            publisher.publish(NOW, life_s=LIFE_S)
    assert not target.exists()
    assert publisher.published_at is None
    disk.broken = False

    assert publisher.publish(NOW, life_s=LIFE_S)
    assert read(target)["revision"] == 3


def test_a_new_process_starts_above_the_database_and_above_the_file(
    engine: IntelligenceEngine, tmp_path: Path
) -> None:
    target = tmp_path / "policy.json"
    disk = BrokenDisk()
    with pytest.raises(PublishError):
        Publisher(engine, target, disk=disk).publish(NOW, life_s=LIFE_S)
    again = Publisher(IntelligenceEngine(engine.database, clock=lambda: NOW), target)
    assert again.revision == 1

    target.write_text(json.dumps({"revision": 40}))
    third = Publisher(IntelligenceEngine(engine.database, clock=lambda: NOW), target)
    third.publish(NOW, life_s=LIFE_S)
    assert read(target)["revision"] == 41


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "17", "null", '{"revision": true}', '{"revision": "9"}', '{"revision": -4}',
     '{"revision": 1e300}', '{"revision": 9007199254740993}', "[" * 100_000, "\0" * 100],
)  # fmt: skip
def test_a_file_that_is_none_of_ours_says_nothing_of_revisions(
    engine: IntelligenceEngine, tmp_path: Path, text: str
) -> None:
    target = tmp_path / "policy.json"
    target.write_text(text)

    assert Publisher(engine, target).revision == 0


def test_a_folder_that_cannot_be_made_is_a_failure_to_publish(
    engine: IntelligenceEngine, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("in the way")

    with pytest.raises(PublishError):
        Publisher(engine, tmp_path / "state" / "policy.json").publish(NOW, life_s=LIFE_S)
