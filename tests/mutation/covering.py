"""A pytest plugin: under `coverage`, which test runs which line, and how long each that passes takes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

_durations: dict[str, float] = {}
_not_passed: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    running = coverage.Coverage.current()
    assert running is not None, "to be run under coverage"
    running.switch_context(item.nodeid)
    yield
    running.switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _durations[report.nodeid] = _durations.get(report.nodeid, 0.0) + report.duration
    if not report.passed:
        _not_passed.add(report.nodeid)


def pytest_sessionfinish() -> None:
    passed = {name: took for name, took in _durations.items() if name not in _not_passed}
    Path(os.environ["TEST_DURATIONS"]).write_text(json.dumps(passed))
