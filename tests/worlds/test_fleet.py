"""The whole engine, driven through its public verbs alone, makes a fleet succeed more often."""

import pytest

from tests.worlds.fleet_world import SCENARIOS, FleetWorld, drive, fixed

TICKS = 1_500


@pytest.mark.slow
def test_a_fleet_that_is_advised_succeeds_more_often_and_keeps_its_knobs() -> None:
    options = SCENARIOS["drift + outages, 2/tick"]
    unadvised = fixed(FleetWorld(10, ticks=TICKS, **options))
    advised, oracle, knob = drive(FleetWorld(10, ticks=TICKS, **options))
    assert unadvised + 0.01 < advised < oracle
    assert knob == 0.8
