"""A house belongs to its owner: what a home claims never makes its calls count for another's house."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support import Listener
from timmyd.config import Settings
from timmyd.core.ownership import UNKNOWN
from timmyd.engine import IntelligenceEngine
from timmyd.engine.ingest import Ingest
from timmyd.errors import StoreError
from timmyd.service.homes import Place
from timmyd.service.intake import Intake
from timmyd.service.metrics import Metrics
from timmyd.service.outside import Outside
from timmyd.service.refusal import Reason
from timmyd.service.tenancy import Tenancy
from timmyd.store.database import PatternDatabase

NOW = 1_795_381_822.0
ALICE, BOB, MALLORY = 61_001, 61_002, 61_003
ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make homes of others")


@pytest.fixture
def database() -> Iterator[PatternDatabase]:
    found = PatternDatabase(":memory:", clock=lambda: NOW)
    yield found
    found.close()


def tenancy(database: PatternDatabase, *places: Place) -> tuple[Tenancy, Listener]:
    log = Listener()
    return Tenancy(database.owners, places, log=log, clock=lambda: NOW), log


def test_the_first_owner_has_the_name_and_the_next_one_is_told_once(
    database: PatternDatabase,
) -> None:
    alice, mallory = Place(Path("/a/.hermes"), "ezra"), Place(Path("/m/.hermes"), "mallory")
    found, log = tenancy(database, alice, mallory)
    profile = mallory.root / "profiles" / "ezra"

    assert found.house_of(alice, alice.root, "ezra", ALICE).name == "ezra"
    for _ in range(3):
        assert found.house_of(mallory, profile, "ezra", MALLORY).name == f"{MALLORY}-ezra"

    assert [event["house"] for event in log.named("house_renamed")] == [f"{MALLORY}-ezra"]
    again, log = tenancy(database, alice, mallory)
    assert again.house_of(mallory, profile, "ezra", MALLORY).name == f"{MALLORY}-ezra"
    assert log.events == []


def test_a_name_that_the_operator_gave_is_free_for_no_profile_even_before_its_home_is_there(
    database: PatternDatabase,
) -> None:
    bob, mallory = Place(Path("/b/.hermes"), "bezalel"), Place(Path("/m/.hermes"), "mallory")
    found, _ = tenancy(database, bob, mallory)
    profile = mallory.root / "profiles" / "bezalel"

    assert found.house_of(mallory, profile, "bezalel", MALLORY).name == f"{MALLORY}-bezalel"
    assert found.house_of(bob, bob.root, "bezalel", BOB).name == "bezalel"


def test_homes_of_one_owner_share_their_names(database: PatternDatabase) -> None:
    one, two = Place(Path("/a/.hermes")), Place(Path("/a/other"), "ezra")
    found, log = tenancy(database, one, two)

    assert found.house_of(one, one.root, "timmy", ALICE).name == "timmy"
    assert found.house_of(two, two.root / "profiles" / "timmy", "timmy", ALICE).name == "timmy"
    assert log.events == []


def test_a_house_of_before_is_given_back_to_its_home_and_to_no_other_profile(
    database: PatternDatabase,
) -> None:
    place = Place(Path("/a/.hermes"), "alice")
    home = place.root / "profiles" / "ezra"
    with database.batch() as batch:
        lineage = batch.new_lineage("ezra", started_at=None, now=NOW)
        batch.enter(batch.name(str(home)), 1, lineage)
    IntelligenceEngine(database, clock=lambda: NOW).record_executions(
        [{"tool": "terminal", "shape": "ls", "outcome": "ok", "house": "ezra"}]
    )
    assert database.owners.of("ezra") == UNKNOWN
    found, _ = tenancy(database, place)
    elsewhere = Path("/m/.hermes/profiles/ezra")

    assert found.house_of(place, elsewhere, "ezra", MALLORY).name == f"{MALLORY}-ezra"
    assert found.house_of(place, home, "ezra", ALICE).name == "ezra"
    assert database.owners.of("ezra") == str(ALICE)


def test_a_user_who_gets_another_name_keeps_the_house(database: PatternDatabase) -> None:
    settle = database.owners.settle
    settle("ezra", owner="alice", uid=ALICE, now=NOW)

    assert settle("ezra", owner="alicia", uid=ALICE, now=NOW).name == "ezra"
    assert database.owners.of("ezra") == "alicia"
    assert settle("ezra", owner="alice", uid=BOB, now=NOW).name == "alice-ezra"


def telemetry(home: Path, uid: int, name: str, calls: int, *, claim: str = "ezra") -> None:
    """What a kit in this home wrote, whoever it says that it is."""
    folder = home / "sessions" / "timmy"
    folder.mkdir(parents=True, exist_ok=True)
    run = f"{uid:016x}"
    lines: list[dict[str, object]] = [
        {"schema": "timmy.telemetry/1", "run": run, "session_id": name, "house": claim}
    ]
    lines += [
        {"run": run, "n": n, "at": NOW - 100 + n, "kind": "tool", "tool": "terminal", "call_id": f"c{n}",
         "turn": "t", "inner": False, "model": "m", "signature": f"{n:016x}", "shape": "git push",
         "outcome": "error", "rule": "x", "latency_ms": 5.0}
        for n in range(1, calls + 1)
    ]  # fmt: skip
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for path in (home, *home.rglob("*")):
        os.chown(path, uid, uid)


def read(database: PatternDatabase, *places: Place) -> tuple[Intake, Listener]:
    log = Listener()
    outside = Outside(log, Metrics("0"), lambda: NOW)
    intake = Intake(places, database, Ingest.of(Settings()), largest_bytes=1 << 20, outside=outside)
    intake.find()
    intake.scan(trusted=False)
    for _ in intake.read_all():
        pass
    return intake, log


def counted(database: PatternDatabase) -> dict[str, int]:
    found: dict[str, int] = {}
    for execution in database.executions_after(0, 10_000):
        found[execution.house] = found.get(execution.house, 0) + 1
    return found


@ONLY_ROOT
def test_neither_profile_nor_header_nor_folder_makes_calls_count_for_another(
    database: PatternDatabase, tmp_path: Path
) -> None:
    alice, mallory = tmp_path / "alice", tmp_path / "mallory"
    telemetry(alice, ALICE, "honest", 3)
    telemetry(mallory, MALLORY, "as-header", 5, claim="ezra")
    telemetry(mallory / "profiles" / "ezra", MALLORY, "as-profile", 40)
    os.chown(mallory / "profiles", MALLORY, MALLORY)
    places = (Place(mallory, "mallory"), Place(alice, "ezra"))

    intake, log = read(database, *places)

    assert counted(database) == {"ezra": 3, "mallory": 5, f"{MALLORY}-ezra": 40}
    owners = {e.house: e.owner for e in database.executions_after(0, 100)}
    assert owners == {"ezra": str(ALICE), "mallory": str(MALLORY), f"{MALLORY}-ezra": str(MALLORY)}
    assert len(log.named("house_renamed")) == 1
    document = IntelligenceEngine(database, clock=lambda: NOW).policy_document()
    assert document["names"] == {
        str(MALLORY): {"ezra": f"{MALLORY}-ezra", "mallory": "mallory"},
        str(ALICE): {"ezra": "ezra"},
    }
    intake.close()


@ONLY_ROOT
def test_files_of_a_forgotten_house_are_refused_until_it_is_released(
    database: PatternDatabase, tmp_path: Path
) -> None:
    alice = tmp_path / "alice"
    telemetry(alice, ALICE, "first", 3)
    place = Place(alice, "ezra")
    intake, _ = read(database, place)
    database.owners.set_state("ezra", "forgotten")
    telemetry(alice, ALICE, "second", 4)

    changed = intake.find()
    assert [f.refusal.reason for f in intake.folders if f.refusal] == [Reason.FORGOTTEN] * 2
    assert all(folder.opened is None for folder in changed)
    intake.scan(trusted=False)
    assert intake.backlog == 0

    database.owners.set_state("ezra", "active")
    intake.find()
    intake.scan(trusted=False)
    for _ in intake.read_all():
        pass
    assert counted(database) == {"ezra": 7}
    intake.close()


def test_a_home_whose_house_cannot_be_written_down_now_is_looked_at_again(
    database: PatternDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    telemetry(home, os.getuid(), "first", 3)

    def full(*_words: object, **_more: object) -> NoReturn:
        raise StoreError("x", "the disk is full", retry=True)

    with monkeypatch.context() as disk:
        disk.setattr(type(database.owners), "settle", full)
        intake, _ = read(database, Place(home, "ezra"))
        refusals = [folder.refusal for folder in intake.folders]
        assert ["the disk is full" in r.detail for r in refusals if r is not None] == [True, True]
        assert counted(database) == {}

    intake.find()
    intake.scan(trusted=False)
    for _ in intake.read_all():
        pass
    assert counted(database) == {"ezra": 3}
    intake.close()


def test_no_home_is_the_house_of_the_routing_keys(database: PatternDatabase) -> None:
    place = Place(Path("/m/.hermes"), "mallory")
    found, _ = tenancy(database, place)

    assert found.house_of(place, place.root / "x", "routing", MALLORY).name == f"{MALLORY}-routing"


def test_a_user_who_is_called_unknown_owns_houses_like_anybody(
    database: PatternDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timmyd.service.tenancy.user_name", lambda _uid: UNKNOWN)
    place = Place(Path("/u/.hermes"), "ezra")
    found, _ = tenancy(database, place)

    assert found.house_of(place, place.root, "ezra", ALICE).owner == str(ALICE)
    assert found.house_of(place, Path("/m"), "ezra", MALLORY).name != "ezra"
