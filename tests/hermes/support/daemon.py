"""A real `timmyd run` beside the agents."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

_ROOT: Final = Path(__file__).parents[3]
_END_TIMEOUT_S: Final = 30.0


class Daemon:
    """The daemon in a process of its own, as a context manager; leaving it sends SIGTERM.

    Args:
        folder: Its state, settings and log go there.
        home: The Hermes home that it watches.
        policy: Where it publishes.
        settings: Its settings file.
    """

    def __init__(self, folder: Path, home: Path, policy: Path, settings: str) -> None:
        self.state = folder / "state"
        self.policy = policy
        self._config = folder / "timmyd.toml"
        self._log = folder / "timmyd.log"
        self._home = home
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(settings, encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command("run"), "--home", str(self._home), "--policy", str(self.policy)],
                cwd=_ROOT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(lambda: self.policy.exists() or self._process.poll() is not None)  # type: ignore[union-attr]
        assert self.policy.exists(), self.log
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        assert kind is not None or code == 0, self.log

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self._log.read_text("utf-8", errors="replace")

    def document(self) -> dict[str, Any]:
        """What is published now."""
        found: dict[str, Any] = json.loads(self.policy.read_bytes())
        return found

    def breaker(self, tool: str) -> dict[str, Any] | None:
        """The published breaker of a tool; None if it is not listed."""
        found = [item for item in self.document()["breakers"] if item["tool"] == tool]
        return found[0] if found else None

    def ask(self, *arguments: str) -> str:
        """What another command prints."""
        done = subprocess.run(
            self._command(*arguments),
            cwd=_ROOT,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _command(self, *arguments: str) -> list[str]:
        places = ["--state", str(self.state), "--config", str(self._config)]
        return [sys.executable, "-m", "timmyd", *arguments, *places]

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self._home.parent), "LANG": "C.UTF-8"}


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        threading.Event().wait(0.05)
