"""Profiles for the property tests, and the promises that hold for every test.

No test runs for ever, none leaves a thread behind, and what was skipped is said in one line. With
`TIMMY_NO_SKIP=1`, as where nothing may be missing, a test that would be skipped fails instead.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("dev", max_examples=60, deadline=None)
settings.register_profile(
    "ci",
    max_examples=300,
    derandomize=True,
    print_blob=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("soak", max_examples=20_000, print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

FAST_LIMIT_S: Final = 120.0
SLOW_LIMIT_S: Final = 900.0
SETUP_LIMIT_S: Final = 1500.0
"""The first test that wants a real agent or a server installs it."""
AGAIN_S: Final = 5.0


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and not t.daemon]
    for thread in left:
        thread.join(timeout=5)
    assert not [t for t in left if t.is_alive()]


# ---------------------------------------------------------------------- time-outs
@contextmanager
def limited(limit_s: float) -> Iterator[None]:
    """Fail what takes longer, and again every few seconds in case the failure is caught."""

    def late(_number: int, _frame: object) -> None:
        pytest.fail(f"took longer than {limit_s:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:  # noqa: ARG001
    with limited(SETUP_LIMIT_S):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    marker = item.get_closest_marker("limit")
    usual = SLOW_LIMIT_S if item.get_closest_marker("slow") else FAST_LIMIT_S
    with limited(usual if marker is None else float(marker.args[0])):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:  # noqa: ARG001
    with limited(FAST_LIMIT_S):
        return (yield)


# -------------------------------------------------------------------------- skips
def reason_of(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    is_skip = report.skipped and not hasattr(report, "wasxfail")
    if is_skip and os.environ.get("TIMMY_NO_SKIP") == "1":
        report.outcome = "failed"
        report.longrepr = f"TIMMY_NO_SKIP=1, and this would be skipped: {reason_of(report)}"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(reason_of(report) for report in skipped)
    told = "; ".join(f"{count} x {reason}" for reason, count in sorted(reasons.items()))
    terminalreporter.write_line(f"skipped: {told or 'nothing'}")
