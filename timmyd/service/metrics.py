"""What Prometheus may know, written as a textfile-collector file: counts and times, bounded labels.

What happens is counted in plain numbers; prometheus_client, which brings an HTTP server along, is
imported when the first file is written: the daemon is ready long before.
"""

import os
import platform
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from timmyd.errors import PublishError
from timmyd.service.bounded import OTHER, Bounded

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

HOUSES_MOST: Final = 64
"""Houses with a label of their own; a user can make any number of Hermes profiles."""

TOOLS_MOST: Final = 200
MODELS_MOST: Final = 64
RULES_MOST: Final = 64
REASONS_MOST: Final = 64
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
        "ended_by_upgrade",
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

_OPERATIONS: Final = frozenset({"publish", "store", "observer", "scan"})
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MODE: Final = 0o644


_COUNTERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "files": ("Looks at files, by what came of it.", ("source", "result")),
    "executions": ("Executions counted.", ("house", "source", "outcome")),
    "tool_executions": ("Executions counted, by tool.", ("tool", "outcome")),
    "model_executions": ("Executions counted, by the model that asked.", ("model", "outcome")),
    "duplicates": ("Executions seen again and not counted again.", ("source",)),
    "rejects": ("Files or records that could not be taken in.", ("reason",)),
    "adaptations": (
        "Steps in the life of a change: of a policy or a breaker.",
        ("rule", "outcome"),
    ),
    "failures": ("Operations that failed.", ("operation",)),
}
_HISTOGRAMS: Final[Mapping[str, str]] = {
    "tick_duration_seconds": "Time that a tick took.",
    "ingest_duration_seconds": "Time that one file took, from open to commit.",
}
_GAUGES: Final[Mapping[str, str]] = {
    "backlog_files": "Files that wait to be read.",
    "scan_age_seconds": "Time since the last complete scan.",
    "last_scan_timestamp_seconds": "When a scan of every directory last ended.",
    "last_tick_timestamp_seconds": "When the last tick ended.",
    "last_ingest_timestamp_seconds": "When an execution was last counted.",
    "policy_revision": "Revision of the published policy.",
    "policy_age_seconds": "Time since the policy was published.",
    "policy_published_timestamp_seconds": "When the policy was last published.",
    "database_bytes": "Size of the database file.",
    "wal_bytes": "Size of the write-ahead log.",
    "settings_loaded_timestamp_seconds": "When settings were last loaded with success.",
    "settings_last_load_successful": "1 if the settings on disk are those in force.",
    "start_timestamp_seconds": "When the daemon started.",
    "resident_memory_bytes": "Memory that the daemon holds.",
    "observer_alive": "1 if directory events arrive, 0 if only the scan finds changes.",
}


class _Durations:
    """How long something took, by `_SECONDS`: a count a bucket, the last for what took longer."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_SECONDS) + 1)
        self.sum_s = 0.0

    def observe(self, duration_s: float) -> None:
        self.counts[bisect_left(_SECONDS, duration_s)] += 1
        self.sum_s += duration_s

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, how many took no longer), as the exposition format has it."""
        buckets = []
        total = 0
        for bound, count in zip((*map(str, _SECONDS), "+Inf"), self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets


class Metrics:
    """Every metric of the daemon; `write` puts them in a file.

    Ages are as of the last `write`; the timestamps beside them stay true when the daemon is dead,
    so alert on those. What is not known yet is not there: a time of 0 would be 1970.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._house = Bounded(HOUSES_MOST)
        self._tool, self._model = Bounded(TOOLS_MOST), Bounded(MODELS_MOST)
        self._rule = Bounded(RULES_MOST)
        self._reason = Bounded(REASONS_MOST)
        self._counts: dict[str, dict[tuple[str, ...], int]] = {name: {} for name in _COUNTERS}
        self._counts["failures"] = {(operation,): 0 for operation in _OPERATIONS}
        self._durations = {name: _Durations() for name in _HISTOGRAMS}
        self._breakers = dict.fromkeys(BREAKER_STATES, 0)
        self._gauges: dict[str, float] = {}
        self._scan_at: float | None = None
        self._published_at: float | None = None
        self._registry: CollectorRegistry | None = None

    def file(self, source: str, result: str, *, count: int = 1) -> None:
        """A look at a file of `source` ended as one of `FILE_RESULTS`."""
        self._count("files", _one_of(SOURCES, source), _one_of(FILE_RESULTS, result), by=count)

    def executions(self, house: str, source: str, outcome: str, *, count: int = 1) -> None:
        """So many executions of `house` were counted for the first time."""
        labels = (self._house(house), _one_of(SOURCES, source), _one_of(OUTCOMES, outcome))
        self._count("executions", *labels, by=count)

    def counted(self, counts: Mapping[tuple[str, str, str, str, str | None], int]) -> None:
        """Add what a batch counted: executions by house, source, outcome, tool and model."""
        for (house, source, outcome, tool, model), count in counts.items():
            self.executions(house, source, outcome, count=count)
            said = _one_of(OUTCOMES, outcome)
            self._count("tool_executions", self._tool(tool), said, by=count)
            if model is not None:
                self._count("model_executions", self._model(model), said, by=count)

    def duplicates(self, source: str, count: int) -> None:
        """So many executions were seen again, as a rewritten file shows them."""
        self._count("duplicates", _one_of(SOURCES, source), by=count)

    def rejected(self, reason: str, *, count: int = 1) -> None:
        """Something was not taken in; `reason` is the stable code of the error."""
        self._count("rejects", self._reason(reason), by=count)

    def adaptation(self, rule: str, outcome: str) -> None:
        """A change proposed by `rule` reached one of `ADAPTATION_OUTCOMES`."""
        self._count("adaptations", self._rule(rule), _one_of(ADAPTATION_OUTCOMES, outcome))

    def failure(self, operation: str) -> None:
        """`publish`, `store`, `observer` or `scan` failed once."""
        self._count("failures", _one_of(_OPERATIONS, operation))

    def ticked(self, at: float, duration_s: float) -> None:
        """A tick ended at `at`."""
        self._durations["tick_duration_seconds"].observe(duration_s)
        self._gauges["last_tick_timestamp_seconds"] = at

    def ingested(self, at: float, duration_s: float) -> None:
        """A file was taken in, and committed at `at`."""
        self._durations["ingest_duration_seconds"].observe(duration_s)
        self._gauges["last_ingest_timestamp_seconds"] = at

    def scanned(self, at: float, *, backlog: int) -> None:
        """A scan of every directory ended at `at` and left `backlog` files to read."""
        self._scan_at = at
        self._gauges["last_scan_timestamp_seconds"] = at
        self._gauges["backlog_files"] = backlog

    def backlog(self, files: int) -> None:
        """So many files wait now."""
        self._gauges["backlog_files"] = files

    def published(self, at: float, revision: int) -> None:
        """The policy file was replaced at `at`."""
        self._published_at = at
        self._gauges["policy_published_timestamp_seconds"] = at
        self._gauges["policy_revision"] = revision

    def breakers(self, *, closed: int, half_open: int, open_: int) -> None:
        """How many breakers are in each state now."""
        self._breakers = dict(zip(BREAKER_STATES, (closed, half_open, open_), strict=True))

    def database(self, *, database_bytes: int, wal_bytes: int) -> None:
        """How much room the state takes."""
        self._gauges["database_bytes"] = database_bytes
        self._gauges["wal_bytes"] = wal_bytes

    def settings(self, at: float, *, accepted: bool) -> None:
        """Settings were read at `at`; refused ones leave the time of the last good ones alone."""
        self._gauges["settings_last_load_successful"] = accepted
        if accepted:
            self._gauges["settings_loaded_timestamp_seconds"] = at

    def process(self, *, started_at: float, resident_bytes: int) -> None:
        """The daemon itself: a start that changes is a restart."""
        self._gauges["start_timestamp_seconds"] = started_at
        self._gauges["resident_memory_bytes"] = resident_bytes

    def observer(self, *, alive: bool) -> None:
        """Whether directory events arrive."""
        self._gauges["observer_alive"] = alive

    def collect(self) -> "Iterator[Metric]":
        """All of it as prometheus_client's families: what it asks a collector for."""
        from prometheus_client import core  # noqa: PLC0415 - see the top

        info = {"version": self._version, "python": platform.python_version()}
        yield core.InfoMetricFamily("timmy_build", "Version of timmyd and of its Python.", info)
        for name, (text, labels) in _COUNTERS.items():
            counter = core.CounterMetricFamily(f"timmy_{name}", text, labels=labels)
            for values, count in self._counts[name].items():
                counter.add_metric(values, count)
            yield counter
        for name, text in _HISTOGRAMS.items():
            taken = self._durations[name]
            yield core.HistogramMetricFamily(
                f"timmy_{name}", text, buckets=taken.cumulative(), sum_value=taken.sum_s
            )
        breakers = core.GaugeMetricFamily(
            "timmy_breakers", "Circuit breakers, by state.", labels=("state",)
        )
        for state, number in self._breakers.items():
            breakers.add_metric((state,), number)
        yield breakers
        for name, text in _GAUGES.items():
            if name in self._gauges:
                yield core.GaugeMetricFamily(f"timmy_{name}", text, value=self._gauges[name])

    def render(self, at: float) -> bytes:
        """All of it in the text exposition format, ages as of `at`."""
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - see the top

        if self._registry is None:
            self._registry = CollectorRegistry()
            self._registry.register(self)
        if self._scan_at is not None:
            self._gauges["scan_age_seconds"] = max(0.0, at - self._scan_at)
        if self._published_at is not None:
            self._gauges["policy_age_seconds"] = max(0.0, at - self._published_at)
        return generate_latest(self._registry)

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

    def _count(self, name: str, *labels: str, by: int = 1) -> None:
        counts = self._counts[name]
        counts[labels] = counts.get(labels, 0) + by


def _one_of(known: frozenset[str], value: str) -> str:
    return value if value in known else OTHER
