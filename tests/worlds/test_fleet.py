"""The whole engine, driven through its public verbs alone, makes a fleet succeed more often."""

import pytest

from tests.worlds.fleet_world import both

TICKS = 1_500


@pytest.mark.slow
def test_a_fleet_that_is_advised_succeeds_more_often_and_keeps_its_knobs() -> None:
    unadvised, run = both(("drift + outages, 2/tick", 10, TICKS))
    assert unadvised + 0.1 < run.success < run.oracle
    assert run.knobs == (0.8, 0.6)
