"""Recorder: one JSON line a call, `timmy.telemetry/1`; it never raises and never waits for a lock long."""

import os
import stat
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from .lines import encoded, file_name
from .regular import files_in

SCHEMA = "timmy.telemetry/1"
KEEP_S = 14 * 86_400.0
_SWEEP_EVERY_S = 6 * 3600.0
_MOST_REMOVED = 500
_MOST_RUNS = 4096
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Disk(Protocol):
    """The few calls that can fail; tests hand in a disk that does."""

    def open(self, path: str, flags: int, mode: int) -> int:
        """As `os.open`."""
        ...

    def write(self, fd: int, data: bytes) -> int:
        """As `os.write`."""
        ...


class _RealDisk:
    """The operating system's own."""

    def open(self, path: str, flags: int, mode: int) -> int:
        """Open without waiting."""
        return os.open(path, flags, mode)

    def write(self, fd: int, data: bytes) -> int:
        """Write once."""
        return os.write(fd, data)


class _Run:
    """What this process writes to one session's file: from a header, numbered from 1."""

    __slots__ = ("headed", "n", "run", "said", "torn")

    def __init__(self) -> None:
        self.run = os.urandom(8).hex()
        self.n = 0
        self.headed = False
        self.torn = False
        self.said: dict[str, str] = {}  # what its header, or a line since, told of the session


class Recorder:
    """Appends to `<directory>/<session>.jsonl`, one `write(2)` a line, so that lines never mix.

    Whatever the disk says, the house works on: a line that cannot be written is dropped and
    counted in `dropped`. A line that was cut short by a full disk is ended before the next one.

    Args:
        directory: `<home>/sessions/timmy`, made when the first line is written.
        house: What this house calls itself; the daemon takes it as a claim only.
        kit: Version of the house kit.
        hermes: Version of Hermes, None for a house that is none.
        keep_s: Seconds after which its own old files are removed.
        clock: Unix seconds.
        disk: For tests.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        house: str,
        kit: str,
        hermes: str | None = None,
        keep_s: float = KEEP_S,
        clock: Callable[[], float] = time.time,
        disk: Disk | None = None,
    ) -> None:
        self.directory = Path(directory)
        self._folder = str(self.directory)
        self.seam: str | None = None  # how the kit meets tool calls, for the header
        self.caps: str | None = None  # whether caps are held here, as far as it is known
        self.dropped = 0
        self.written = 0
        self._house = house
        self._kit = kit
        self._hermes = hermes
        self._keep_s = keep_s
        self._clock = clock
        self._disk = disk or _RealDisk()
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self._pid = os.getpid()
        self._about: dict[str, dict[str, str]] = {}
        self._swept_at: float | None = None
        self._anchor: float | None = None

    def about(
        self,
        session_id: str,
        *,
        platform: str | None = None,
        parent: str | None = None,
        cron: str | None = None,
        caps: str | None = None,
    ) -> None:
        """Remember what is to be said of a session; what is None stays as it was.

        The header says it; what is learned or changes after it, the next line says.
        """
        with suppress(Exception):
            known = self._about.setdefault(session_id, {})
            parent = None if parent == session_id else parent
            told = {"platform": platform, "parent": parent, "cron": cron, "caps": caps}
            known.update({name: value for name, value in told.items() if value})
            while len(self._about) > _MOST_RUNS:
                del self._about[next(iter(self._about))]

    def tool(
        self,
        session_id: str,
        *,
        tool: str,
        call_id: str,
        turn: str,
        inner: bool,
        model: str | None,
        signature: str,
        shape: str,
        outcome: str,
        rule: str,
        error_type: str | None,
        latency_ms: float | None,
        policy: int | None,
        followed: bool | None,
        skill: str | None = None,
    ) -> None:
        """One tool call that ran, or was refused. What is None of the last two is left out."""
        line: dict[str, Any] = {
            "tool": tool, "call_id": call_id, "turn": turn, "inner": inner, "model": model,
            "signature": signature, "shape": shape, "outcome": outcome, "rule": rule,
            "error_type": error_type, "latency_ms": latency_ms, "policy": policy,
        }  # fmt: skip
        self._append(session_id, "tool", line, {"followed": followed, "skill": skill})

    def model(
        self,
        session_id: str,
        *,
        model: str | None,
        provider: str | None,
        outcome: str,
        latency_ms: float | None,
        tokens_in: int | None,
        tokens_out: int | None,
        **optional: str | int | None,
    ) -> None:
        """One request to a model; `optional` are more fields of CONTRACT §2, left out where None."""
        line = {
            "model": model, "provider": provider, "outcome": outcome, "latency_ms": latency_ms,
            "tokens_in": tokens_in, "tokens_out": tokens_out,
        }  # fmt: skip
        self._append(session_id, "model", line, optional)

    def end(
        self, session_id: str, *, completed: bool, interrupted: bool, reason: str | None = None
    ) -> None:
        """The end of a turn; also the moment at which old files are looked for."""
        line = {"completed": completed, "interrupted": interrupted}
        self._append(session_id, "end", line, {"reason": reason})
        with suppress(Exception):
            self.sweep(self._clock())

    def sweep(self, now: float) -> int:
        """Remove own files that nothing was written to for `keep_s`; at most once in six hours.

        A file is removed only if it is a regular one of ours: named `*.jsonl` in our folder,
        its first line a header of this schema. Time goes on from the newest file that this process
        did not write, so a clock that is wrong for one session removes nothing.

        Returns:
            How many were removed.
        """
        with self._lock:
            if self._swept_at is not None and 0.0 <= now - self._swept_at < _SWEEP_EVERY_S:
                return 0
            self._swept_at = now
        removed = 0
        with suppress(OSError):
            found = files_in(self.directory, ".jsonl")
            if self._anchor is None:
                mine = {file_name(session_id) for session_id in tuple(self._runs)}
                others = [at for name, _, at in found if name not in mine]
                self._anchor = max(others, default=now) - time.monotonic()
            # a clock that is ahead of what was written before must not make all of it old
            until = min(now, self._anchor + time.monotonic())
            for _, path, at in found:
                if until - at > self._keep_s and removed < _MOST_REMOVED and _is_ours(path):
                    os.unlink(path)  # noqa: PTH108 - the entry has the path as text
                    removed += 1
        return removed

    def _append(
        self,
        session_id: str,
        kind: str,
        fields: Mapping[str, Any],
        optional: Mapping[str, Any],
    ) -> None:
        told = {name: value for name, value in optional.items() if value is not None}
        try:
            with self._lock:
                self._write(session_id, kind, {**fields, **told})
        except Exception:  # noqa: BLE001 - a house must work on whatever breaks here
            self.dropped += 1

    def _write(self, session_id: str, kind: str, fields: Mapping[str, Any]) -> None:
        if os.getpid() != self._pid:  # a fork starts runs of its own
            self._pid, self._runs = os.getpid(), {}
        run = self._runs.get(session_id)
        if run is None:
            run = self._runs[session_id] = _Run()
            while len(self._runs) > _MOST_RUNS:
                del self._runs[next(iter(self._runs))]
        fd = self._open(f"{self._folder}/{file_name(session_id)}")
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                self.dropped += 1
                return
            if info.st_size == 0 and run.headed:  # the file was removed or emptied meanwhile
                run = self._runs[session_id] = _Run()
            about = dict(self._about.get(session_id, ()))
            if not run.headed:
                run.headed = self._put(fd, run, self._header(session_id, run, about))
                run.said = about
            news = {name: value for name, value in about.items() if run.said.get(name) != value}
            at = round(self._clock(), 6)
            line = {"run": run.run, "n": run.n + 1, "at": at, "kind": kind, **fields, **news}
            if run.headed and self._put(fd, run, line):
                run.n += 1
                run.said = about
                self.written += 1
            else:
                self.dropped += 1
        finally:
            os.close(fd)

    def _open(self, path: str) -> int:
        try:
            return self._disk.open(path, _FLAGS, 0o600)
        except FileNotFoundError:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._disk.open(path, _FLAGS, 0o600)

    def _put(self, fd: int, run: _Run, line: Mapping[str, Any]) -> bool:
        """Write one line; a torn one is ended first. False: it is not whole on the disk."""
        data = encoded(line)
        if data is None:
            return False
        lead = b"\n" if run.torn else b""
        written = self._disk.write(fd, lead + data)
        if written == len(lead) + len(data):
            run.torn = False
            return True
        if written > len(lead):
            run.torn = True
            run.n += "n" in line  # a reader may still make sense of it: never use its number twice
        return False

    def _header(self, session_id: str, run: _Run, about: Mapping[str, str]) -> dict[str, Any]:
        header = {
            "schema": SCHEMA, "run": run.run, "session_id": session_id, "house": self._house,
            "platform": about.get("platform"), "parent": about.get("parent"),
            "kit": self._kit, "hermes": self._hermes,
        }  # fmt: skip
        caps = about.get("caps", self.caps)
        more = {"cron": about.get("cron"), "seam": self.seam, "caps": caps}
        return {**header, **{name: value for name, value in more.items() if value}}


def _is_ours(path: str) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(fd, len(_OURS)) == _OURS
    finally:
        os.close(fd)


_OURS = f'{{"schema":"{SCHEMA}","run":"'.encode()
