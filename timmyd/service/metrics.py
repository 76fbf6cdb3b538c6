"""What Prometheus may know, written as a textfile-collector file: counts and times, bounded labels."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)

from timmyd.errors import PublishError

HOUSES_MOST: Final = 64
"""Houses with a label of their own; a user can make any number of Hermes profiles."""

RULES_MOST: Final = 64
REASONS_MOST: Final = 64
OTHER: Final = "other"
"""The label value of whatever came after the bound was reached."""

OUTCOMES: Final = frozenset(
    {"ok", "error", "timeout", "blocked", "cancelled", "rejected", "unknown"}
)
SOURCES: Final = frozenset({"telemetry", "state_db", "snapshot", "session", "import"})
FILE_RESULTS: Final = frozenset({"taken", "ignored", "failed"})
BREAKER_STATES: Final = ("closed", "half_open", "open")
ADAPTATION_OUTCOMES: Final = frozenset(
    [
        "trial_started",
        "kept",
        "taken_back",
        "restored",
        "rolled_back",
        "observed",
        "pinned",
        "unpinned",
        "order",
        "order_refused",
        "breaker_opened",
        "breaker_half_opened",
        "breaker_closed",
    ]
)

_LABEL_MOST: Final = 64
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MODE: Final = 0o644


class Bounded:
    """Lets the first `most` values of a label through, and calls every later one `other`.

    Each distinct label value is a time series for ever: without a bound, a user who invents names
    could fill the memory of the daemon and of every Prometheus that reads it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """`value` if it may have a series of its own, else `other`."""
        if value in self._known:
            return value
        plain = value.isascii() and value.isprintable() and 0 < len(value) <= _LABEL_MOST
        if not plain or len(self._known) >= self._most:
            return OTHER
        self._known.add(value)
        return value


class Metrics:
    """Every metric of the daemon in a registry of its own; `write` puts them in a file.

    Ages are as of the last `write`; the timestamps beside them stay true when the daemon is dead,
    so alert on those. What is not known yet is not there: a time of 0 would be 1970.
    """

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # no series that nobody asked for
        self.registry = CollectorRegistry()
        self._house = Bounded(HOUSES_MOST)
        self._rule = Bounded(RULES_MOST)
        self._reason = Bounded(REASONS_MOST)
        self._known: set[Gauge] = set()
        self._scan_at: float | None = None
        self._published_at: float | None = None
        Info("timmy_build", "Version of timmyd and of its Python.", registry=self.registry).info(
            {"version": version, "python": platform.python_version()}
        )
        self._files = self._counter(
            "files", "Looks at files, by what came of it.", "source", "result"
        )
        self._executions = self._counter(
            "executions", "Executions counted.", "house", "source", "outcome"
        )
        self._duplicates = self._counter(
            "duplicates", "Executions seen again and not counted again.", "source"
        )
        self._rejects = self._counter(
            "rejects", "Files or records that could not be taken in.", "reason"
        )
        self._adaptations = self._counter(
            "adaptations",
            "Steps in the life of a change: of a policy or a breaker.",
            "rule",
            "outcome",
        )
        self._failures = self._counter("failures", "Operations that failed.", "operation")
        for operation in ("publish", "store", "observer", "scan"):
            self._failures.labels(operation)
        self._backlog = self._gauge("backlog_files", "Files that wait to be read.")
        self._scan_age = self._gauge("scan_age_seconds", "Time since the last complete scan.")
        self._scan_time = self._gauge(
            "last_scan_timestamp_seconds", "When a scan of every directory last ended."
        )
        self._tick_time = self._gauge("last_tick_timestamp_seconds", "When the last tick ended.")
        self._ingest_time = self._gauge(
            "last_ingest_timestamp_seconds", "When an execution was last counted."
        )
        self._tick = self._histogram("tick_duration_seconds", "Time that a tick took.")
        self._ingest = self._histogram(
            "ingest_duration_seconds", "Time that one file took, from open to commit."
        )
        self._revision = self._gauge("policy_revision", "Revision of the published policy.")
        self._policy_age = self._gauge("policy_age_seconds", "Time since the policy was published.")
        self._policy_time = self._gauge(
            "policy_published_timestamp_seconds", "When the policy was last published."
        )
        self._breakers = Gauge(
            "timmy_breakers", "Circuit breakers, by state.", ("state",), registry=self.registry
        )
        for state in BREAKER_STATES:
            self._breakers.labels(state)
        self._database = self._gauge("database_bytes", "Size of the database file.")
        self._wal = self._gauge("wal_bytes", "Size of the write-ahead log.")
        self._settings_time = self._gauge(
            "settings_loaded_timestamp_seconds", "When settings were last loaded with success."
        )
        self._settings_good = self._gauge(
            "settings_last_load_successful", "1 if the settings on disk are those in force."
        )
        self._observer = self._gauge(
            "observer_alive", "1 if directory events arrive, 0 if only the scan finds changes."
        )

    def file(self, source: str, result: str, *, count: int = 1) -> None:
        """A look at a file of `source` ended as one of `FILE_RESULTS`."""
        self._files.labels(_one_of(SOURCES, source), _one_of(FILE_RESULTS, result)).inc(count)

    def executions(self, house: str, source: str, outcome: str, *, count: int = 1) -> None:
        """So many executions of `house` were counted for the first time."""
        labels = (self._house(house), _one_of(SOURCES, source), _one_of(OUTCOMES, outcome))
        self._executions.labels(*labels).inc(count)

    def counted(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """Add what a batch counted: executions by house, source and outcome."""
        for (house, source, outcome), count in counts.items():
            self.executions(house, source, outcome, count=count)

    def duplicates(self, source: str, count: int) -> None:
        """So many executions were seen again, as a rewritten file shows them."""
        self._duplicates.labels(_one_of(SOURCES, source)).inc(count)

    def rejected(self, reason: str, *, count: int = 1) -> None:
        """Something was not taken in; `reason` is the stable code of the error."""
        self._rejects.labels(self._reason(reason)).inc(count)

    def adaptation(self, rule: str, outcome: str) -> None:
        """A change proposed by `rule` reached one of `ADAPTATION_OUTCOMES`."""
        self._adaptations.labels(self._rule(rule), _one_of(ADAPTATION_OUTCOMES, outcome)).inc()

    def failure(self, operation: str) -> None:
        """`publish`, `store`, `observer` or `scan` failed once."""
        known = frozenset({"publish", "store", "observer", "scan"})
        self._failures.labels(_one_of(known, operation)).inc()

    def ticked(self, at: float, duration_s: float) -> None:
        """A tick ended at `at`."""
        self._tick.observe(duration_s)
        self._set(self._tick_time, at)

    def ingested(self, at: float, duration_s: float) -> None:
        """A file was taken in, and committed at `at`."""
        self._ingest.observe(duration_s)
        self._set(self._ingest_time, at)

    def scanned(self, at: float, *, backlog: int) -> None:
        """A scan of every directory ended at `at` and left `backlog` files to read."""
        self._scan_at = at
        self._set(self._scan_time, at)
        self._set(self._backlog, backlog)

    def backlog(self, files: int) -> None:
        """So many files wait now."""
        self._set(self._backlog, files)

    def published(self, at: float, revision: int) -> None:
        """The policy file was replaced at `at`."""
        self._published_at = at
        self._set(self._policy_time, at)
        self._set(self._revision, revision)

    def breakers(self, *, closed: int, half_open: int, open_: int) -> None:
        """How many breakers are in each state now."""
        for state, number in zip(BREAKER_STATES, (closed, half_open, open_), strict=True):
            self._breakers.labels(state).set(number)

    def database(self, *, database_bytes: int, wal_bytes: int) -> None:
        """How much room the state takes."""
        self._set(self._database, database_bytes)
        self._set(self._wal, wal_bytes)

    def settings(self, at: float, *, accepted: bool) -> None:
        """Settings were read at `at`; refused ones leave the time of the last good ones alone."""
        self._set(self._settings_good, accepted)
        if accepted:
            self._set(self._settings_time, at)

    def observer(self, *, alive: bool) -> None:
        """Whether directory events arrive."""
        self._set(self._observer, alive)

    def render(self, at: float) -> bytes:
        """The whole registry in the text exposition format, ages as of `at`."""
        if self._scan_at is not None:
            self._set(self._scan_age, max(0.0, at - self._scan_at))
        if self._published_at is not None:
            self._set(self._policy_age, max(0.0, at - self._published_at))
        return generate_latest(self.registry)

    def write(self, path: Path, at: float) -> None:
        """Replace `path` whole, readable by everyone; no fsync: figures are worthless after a crash.

        Raises:
            PublishError: The file could not be written; the old one stays.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.unlink(missing_ok=True)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
            with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                os.fchmod(fd, _MODE)  # the umask of a service is 0077
                file.write(self.render(at))
            temporary.rename(path)
        except OSError as exc:
            temporary.unlink(missing_ok=True)
            raise PublishError(str(path), exc.strerror or str(exc)) from exc

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"timmy_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"timmy_{name}", text, registry=None)

    def _set(self, gauge: Gauge, value: float) -> None:
        if gauge not in self._known:
            self._known.add(gauge)
            self.registry.register(gauge)
        gauge.set(value)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"timmy_{name}", text, registry=self.registry, buckets=_SECONDS)


def _one_of(known: frozenset[str], value: str) -> str:
    return value if value in known else OTHER
