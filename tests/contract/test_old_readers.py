"""Every document that is published is taken by the reader of 486a283, kept as it was in tests/data."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.unit.core.test_publishing import additive, golden_inputs
from tests.unit.house.documents import PUBLISHED_AT, document, open_breaker
from timmyd.core.publishing import encode

OLD = Path(__file__).parents[1] / "data" / "house_486a283.zip"
NOW = PUBLISHED_AT + 1.0


@pytest.fixture
def old_house() -> Iterator[str]:
    """Where the old reader can be imported from."""
    sys.path.insert(0, str(OLD))
    yield "house_486a283"
    sys.path.remove(str(OLD))


INPUTS: dict[str, dict[str, Any]] = {**golden_inputs(), "additive": additive()}
INPUTS |= {f"only {key}": {key: value} for key, value in additive().items()}


@pytest.mark.parametrize("name", INPUTS)
def test_the_old_reader_takes_it_and_reads_what_it_knows(
    name: str, old_house: str, tmp_path: Path
) -> None:
    parts = {"breakers": [open_breaker()], **INPUTS[name]}
    data = encode(document(**parts))
    parsed = import_module(f"{old_house}.policy").parse(data, now=NOW)
    assert parsed.revision == 17
    file = tmp_path / "policy.json"
    file.write_bytes(data)
    policies = import_module(f"{old_house}.reader").Policies(file, clock=lambda: NOW)

    assert policies.fresh
    assert policies.revision == 17
    assert policies.value("ezra", "evidence_threshold") == 0.8
    assert not policies.allows("web_search", house="timmy").allowed
    if "routes" in parts and "terminal" in parts["routes"]:
        route = parts["routes"]["terminal"]
        assert policies.get_optimal_house("terminal") == (route["house"], route["confidence"])
