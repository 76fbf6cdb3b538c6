"""A small slice of the fuzz in every run; `python -m tests.fuzz` does all of it."""

from pathlib import Path

import pytest

from tests.fuzz.trial import run_batch


@pytest.mark.parametrize(
    ("kind", "seeds"),
    [
        ("state_db", range(100_000, 100_030)),
        ("sessions", range(100_000, 100_060)),
        ("telemetry", range(100_000, 100_040)),
        ("settings", range(100_000, 100_020)),
    ],
)
def test_damaged_files_stop_nothing_and_cost_no_neighbour(
    tmp_path: Path, kind: str, seeds: range
) -> None:
    run_batch(kind, seeds, tmp_path)
