"""Prediction in a few short streams; all ten worlds are judged by `python -m tests.worlds --full`."""

from statistics import fmean

import pytest

from tests.worlds.predict_tables import predict_run

pytestmark = pytest.mark.slow


def test_short_streams_are_predicted_as_well_as_by_a_chain_and_better_where_things_change() -> None:
    runs = {name: predict_run((name, 0, 6000)) for name in ("baseline", "drift_abrupt", "brittle")}

    for name, better in (("baseline", -1.5), ("drift_abrupt", 2.0), ("brittle", 10.0)):
        ours, chain = runs[name]
        assert ours.brier <= chain.brier - better, name
    assert fmean(ours.calibration for ours, _ in runs.values()) <= 35
