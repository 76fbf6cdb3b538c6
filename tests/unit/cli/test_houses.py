"""`house list | quarantine | release | forget` by the real command."""

import json
from pathlib import Path

from tests.unit.cli.conftest import Command


def rows(timmyd: Command, state: Path) -> dict[str, dict[str, object]]:
    found = json.loads(timmyd("house", "list", "--state", state, "--json").out)
    return {row["house"]: row for row in found}


def test_every_house_is_listed_with_its_owner_and_its_calls(timmyd: Command, state: Path) -> None:
    (house,) = rows(timmyd, state).values()
    said = timmyd("house", "list", "--state", state).out

    assert house["state"] == "active"
    assert house["calls"]
    assert f"{house['house']}: of {house['owner']}; {house['calls']} calls" in said


def test_a_house_is_quarantined_released_and_forgotten(timmyd: Command, state: Path) -> None:
    (name,) = rows(timmyd, state)
    calls = rows(timmyd, state)[name]["calls"]

    done = timmyd("house", "quarantine", name, "--state", state)
    assert done.status == 0
    assert "predictions and choices are learned again" in done.out
    assert (rows(timmyd, state)[name]["state"], rows(timmyd, state)[name]["calls"]) == ("quarantined", calls)  # fmt: skip
    assert timmyd("house", "quarantine", name, "--state", state).status == 2
    assert timmyd("house", "release", name, "--state", state).status == 0
    assert rows(timmyd, state)[name]["state"] == "active"

    asked = timmyd("house", "forget", name, "--state", state)
    assert asked.status == 2
    assert "say --yes" in asked.err
    assert "Nothing of it comes back" in asked.out
    assert rows(timmyd, state)[name]["state"] == "active"

    forgotten = timmyd("house", "forget", name, "--yes", "--state", state)
    assert forgotten.status == 0
    assert f"its {calls:,} calls are removed" in forgotten.out
    assert (rows(timmyd, state)[name]["state"], rows(timmyd, state)[name]["calls"]) == ("forgotten", 0)  # fmt: skip
    found = json.loads(timmyd("check", "--state", state, "--json").out)
    assert [row["remedy"] for row in found if row["code"] == "house_forgotten"] == [
        f"timmyd house release {name}"
    ]


def test_files_of_a_forgotten_house_are_refused_until_it_is_released(
    timmyd: Command, state: Path, home: Path
) -> None:
    (name,) = rows(timmyd, state)
    timmyd("house", "forget", name, "--yes", "--state", state)
    line = next((home / "sessions" / "timmy").glob("*.jsonl")).read_text().splitlines()[:2]
    new = "\n".join(line).replace('"n":1', '"n":4711') + "\n"
    (home / "sessions" / "timmy" / "new.jsonl").write_text(new)
    again = ("run", "--once", "--json", "--home", f"{home}={name}", "--state", state)

    assert json.loads(timmyd(*again).out)["executions"] == 0
    timmyd("house", "release", name, "--state", state)
    assert json.loads(timmyd(*again).out)["executions"] == 1


def test_a_house_that_nobody_knows_is_refused_and_the_known_are_named(
    timmyd: Command, state: Path
) -> None:
    (name,) = rows(timmyd, state)
    for verb in ("quarantine", "release", "forget"):
        done = timmyd("house", verb, "nohouse", "--state", state)
        assert done.status == 2
        assert name in done.err
