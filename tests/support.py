"""What tests of files and processes share: waiting, a log that listens, an intake on a real disk, less power."""

import ctypes
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from timmyd.core.model import Execution
from timmyd.core.tasks import TaskTable
from timmyd.engine.ingest import Ingest
from timmyd.service.homes import Place
from timmyd.service.intake import Intake
from timmyd.service.logs import EventLogger
from timmyd.service.looks import Looks
from timmyd.service.metrics import Metrics
from timmyd.service.outside import Outside
from timmyd.sources import snapshot
from timmyd.store.database import PatternDatabase

LARGEST_BYTES = 64 << 20
T = TypeVar("T")


def eventually(condition: Callable[[], T], timeout_s: float = 10.0) -> T:
    """Ask `condition` until it says something true; fail after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {condition}"
        time.sleep(0.005)
    return found


class Listener(EventLogger):
    """A log that keeps its events."""

    def __init__(self) -> None:
        super().__init__(lambda: self)
        self.events: list[tuple[str, dict[str, object]]] = []

    def write(self, name: str, _at: float, fields: Mapping[str, object]) -> None:
        self.events.append((name, dict(fields)))

    def named(self, name: str) -> list[dict[str, object]]:
        return [fields for found, fields in self.events if found == name]


class IntakeRig:
    """An intake and a database over a directory of sessions, without the loop around them."""

    def __init__(
        self,
        base: Path,
        *,
        clock: Callable[[], float] = time.time,
        is_home: bool = False,
        largest_bytes: int = LARGEST_BYTES,
        database: str | None = None,
    ) -> None:
        self.base = base
        self.clock = clock
        self.is_home = is_home
        self.largest_bytes = largest_bytes
        self.sessions = base / "home" / "sessions" if is_home else base / "sessions"
        self.sessions.mkdir(parents=True, exist_ok=True)
        self.log = Listener()
        self._database = database or str(base / "db" / "timmy.db")
        self.database = PatternDatabase(self._database, clock=clock)
        self._open()

    def _open(self) -> None:
        root = self.sessions.parent if self.is_home else self.sessions
        self.intake = Intake(
            [Place(root, is_home=self.is_home)],
            self.database,
            Ingest(tasks=TaskTable.default()),
            largest_bytes=self.largest_bytes,
            outside=Outside(self.log, Metrics("test"), self.clock),
        )
        self.inbox, self.reader = self.intake.inbox, self.intake.reader

    def restart(self) -> None:
        """All objects anew, as after the end of the process."""
        self.inbox.close()
        if self._database != ":memory:":
            self.database.close()
            self.database = PatternDatabase(self._database, clock=self.clock)
        self._open()

    def forget_looks(self) -> None:
        """Read every file again, whatever the ledger says."""
        self.inbox.close()
        self._open()
        self.inbox.looks = Looks({})

    def close(self) -> None:
        self.inbox.close()
        self.database.close()

    def write(self, name: str, data: bytes, *, at: float | None = None) -> None:
        """As Hermes does: a temporary file in the same directory, fsync, rename; at a time if given."""
        target = self.sessions / name
        target.parent.mkdir(exist_ok=True)
        temporary = target.with_name(f".{name.rpartition('/')[2]}.x1.tmp")
        temporary.write_bytes(data)
        if at is not None:
            os.utime(temporary, (at, at))
        temporary.rename(target)

    def look(self) -> int:
        """Scan and read all that changed; returns how many executions were new."""
        self.inbox.find_folders()
        self.inbox.scan(trusted=False)
        counted = 0
        while self.inbox.backlog:
            counted += self.reader.read_slice().executions
        return counted

    def executions(self) -> list[Execution]:
        return self.database.executions_after(0, 1_000_000)


def outcomes(executions: Iterable[Execution]) -> list[tuple[str, str]]:
    """(tool, outcome) of each, ordered, for comparison."""
    return sorted((execution.tool, execution.outcome) for execution in executions)


def watch_grown(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls each decoding of a snapshot's end alone gives from now on."""
    found: list[int] = []
    decode_grown = snapshot.decode_grown

    def watched(grown: snapshot.Grown, **options: Any) -> Any:
        session = decode_grown(grown, **options)
        if session is not None:
            found.append(len(session.calls))
        return session

    monkeypatch.setattr(snapshot, "decode_grown", watched)
    return found


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inherited", ctypes.c_uint32))  # fmt: skip


_CAPABILITY_VERSION_3 = 0x20080522
_READ_AND_WRITE_ALL = (1 << 1) | (1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_PR_CAPBSET_DROP = 24


@contextmanager
def without_roots_powers() -> Iterator[None]:
    """Let modes bind this thread as they bind any user, also where the tests run as root."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = _Header(_CAPABILITY_VERSION_3, 0)
    sets = (_Sets * 2)()
    assert libc.capget(ctypes.byref(header), sets) == 0
    before = sets[0].effective
    sets[0].effective = before & ~_READ_AND_WRITE_ALL
    assert libc.capset(ctypes.byref(header), sets) == 0
    try:
        yield
    finally:
        sets[0].effective = before
        assert libc.capset(ctypes.byref(header), sets) == 0


def drop_roots_powers() -> None:
    """The same for good, for what a new process is about to run."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2):
            assert libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0
