"""Prediction in a few short streams; the bars on ten worlds are judged by `python -m tests.worlds --full`."""

from statistics import fmean

import pytest

from tests.worlds.learning_tables import predict_run

pytestmark = pytest.mark.slow


def test_short_streams_stay_within_what_the_filter_gives() -> None:
    bars = {"baseline": 20.0, "drift_abrupt": 24.0, "brittle": 48.0}
    runs = {name: predict_run((name, 0, 6000)) for name in bars}

    assert {name: runs[name].brier <= bar for name, bar in bars.items()} == dict.fromkeys(
        bars, True
    )
    assert fmean(run.calibration for run in runs.values()) <= 30
