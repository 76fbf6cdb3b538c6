"""Every storm can be raised, and a small one keeps nobody waiting; `python -m tests.storms` raises them whole."""

import os
from pathlib import Path

import pytest

from tests.storms.__main__ import raise_storm
from tests.storms.attack import STORMS


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="gives homes to other users")
@pytest.mark.parametrize("name", STORMS)
def test_a_small_storm_keeps_nobody_waiting(name: str) -> None:
    found = raise_storm(name, 0.01, rounds=2)
    assert found.alive
    assert max(found.seen) < 10.0  # five times of what it may be where nothing else runs
    assert found.peak_mb < 256
    assert found.tasks < 64


@pytest.mark.parametrize("name", STORMS)
def test_a_storm_leaves_something(tmp_path: Path, name: str) -> None:
    (tmp_path / "sessions" / "timmy").mkdir(parents=True)
    STORMS[name](tmp_path, 0.0001)
    assert any(path.is_file() for path in tmp_path.rglob("*"))
