"""Processes of an agent: a turn that runs and ends, or a conversation that goes on."""

import json
import os
import re
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

TURN_TIMEOUT_S: Final = 120.0

_SESSION_ID: Final = re.compile(r"^session_id: (\S+)\s*$", re.MULTILINE)


class TurnTimeoutError(Exception):
    """The agent did not end its turn in time; it was killed."""

    def __init__(self, timeout_s: float, output: str) -> None:
        super().__init__(f"no end of the turn within {timeout_s} s\n{output[-2000:]}")


@dataclass(frozen=True, slots=True)
class TurnResult:
    """How one process of the agent ended.

    Attributes:
        session_id: Hermes' id of the session; `None` when the process was killed before it said.
        stdout: the final answer.
        stderr: what else it printed.
        exit_code: negative for a signal. The newer line now and then dies of SIGSEGV (-11) while its
            interpreter shuts down, after all is saved and said: prefer `completed`.
        started_at: when the process was started, Unix seconds.
        ended_at: when its end was seen, Unix seconds.
    """

    session_id: str | None
    stdout: str
    stderr: str
    exit_code: int
    started_at: float
    ended_at: float

    @property
    def completed(self) -> bool:
        """Whether the turn came to its end: the id of the session is the last that is printed."""
        return self.session_id is not None and self.exit_code in {0, -signal.SIGSEGV}

    @property
    def session(self) -> str:
        """The session's id, for a turn that came to its end."""
        assert self.session_id is not None, self.stderr
        return self.session_id


class RunningTurn:
    """A turn whose agent is at work."""

    def __init__(self, process: subprocess.Popen[bytes], started_at: float, output: Path) -> None:
        self._process = process
        self._started_at = started_at
        self._output = output

    @property
    def pid(self) -> int:
        """The process of the agent, which leads a process group of its own."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the turn still goes on."""
        return self._process.poll() is None

    def finish(self, timeout: float = TURN_TIMEOUT_S) -> TurnResult:
        """Wait for the end of the turn.

        Raises:
            TurnTimeoutError: it took longer than `timeout` seconds.
        """
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            result = self.kill()
            raise TurnTimeoutError(timeout, result.stdout + result.stderr) from None
        return self._result()

    def kill(self) -> TurnResult:
        """End the agent and all that it started with SIGKILL, now."""
        _kill_group(self._process)
        self._process.wait()
        return self._result()

    def _result(self) -> TurnResult:
        ended_at = time.time()
        # Files, not pipes: what the agent left running in the background may hold its output open.
        stdout = _read(self._output.with_suffix(".out"))
        stderr = _read(self._output.with_suffix(".err"))
        found = _SESSION_ID.findall(stderr)
        return TurnResult(
            found[-1] if found else None,
            stdout,
            stderr,
            self._process.returncode,
            self._started_at,
            ended_at,
        )


class Conversation:
    """One process of the agent that takes several messages, like the interactive prompt.

    Use as a context manager; leaving it ends the agent as closing its prompt would.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        replies: IO[bytes],
        output: Path,
    ) -> None:
        self._process = process
        self._replies = replies
        self._output = output

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process of the agent."""
        return self._process.pid

    @property
    def output(self) -> str:
        """All that the agent has printed so far."""
        return _read(self._output)

    def send(self, text: str, timeout: float = TURN_TIMEOUT_S) -> str:
        """Send a message or a slash command and wait until it is done.

        Returns:
            The id of the session that the agent is in now: a command may have changed it.

        Raises:
            TurnTimeoutError: it took longer than `timeout` seconds, or the agent ended instead.
        """
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps(text) + "\n").encode())
        self._process.stdin.flush()
        ready, _, _ = select.select([self._replies], [], [], timeout)
        line = self._replies.readline() if ready else b""
        if not line:
            self.kill()
            raise TurnTimeoutError(timeout, self.output)
        return str(json.loads(line)["session_id"])

    def close(self) -> int:
        """Let the agent end in its own way; returns its exit code."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=TURN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _kill_group(self._process)
        self._replies.close()
        return self._process.wait()

    def kill(self) -> None:
        """End the agent and all that it started with SIGKILL, now."""
        _kill_group(self._process)
        self._process.wait()


def _read(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
