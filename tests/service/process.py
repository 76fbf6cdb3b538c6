"""A real `timmyd run` in a process of its own, always ended with the test."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import drop_roots_powers, eventually

ROOT = Path(__file__).parent.parent.parent
BEGAN = datetime.now() - timedelta(days=1)
"""When all sessions began that these tests write; local, as Hermes writes it."""


class Process:
    """The daemon over `base/sessions` with its state in `base/state`."""

    def __init__(
        self,
        base: Path,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        wrap: tuple[str, ...] = (),
        powerless: bool = False,
    ) -> None:
        self.base = base
        self.sessions = base / "sessions"
        self.state = base / "state"
        self.log = base / "log"
        self._notify = base / "notify"
        self._notify.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._notify))
        self._socket.setblocking(False)
        self.said: list[str] = []
        command = [sys.executable, "-m", "timmyd", "run", "--state", str(self.state)]
        if not any(word.startswith("--home") for word in arguments):
            command += ["--sessions", str(self.sessions)]
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                [*wrap, *command, *arguments],
                cwd=ROOT,
                stderr=log,
                stdout=log,
                env={**os.environ, "NOTIFY_SOCKET": str(self._notify), **(env or {})},
                preexec_fn=drop_roots_powers if powerless else None,  # noqa: PLW1509
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(10)
        self._socket.close()

    def heard(self, word: str) -> bool:
        """Whether the daemon has said this to its service manager."""
        try:
            while True:
                self.said.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            pass
        return any(word in message for message in self.said)

    def ready(self) -> Self:
        eventually(lambda: self.heard("READY=1") or self.popen.poll() is not None, 30)
        assert self.popen.poll() is None, self.words()
        return self

    def words(self) -> str:
        return self.log.read_text(errors="replace")

    def event(self, name: str, *parts: str) -> bool:
        """Whether the log has a line with this event and these words."""
        return any(
            name in line and all(part in line for part in parts)
            for line in self.words().splitlines()
        )

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def ended(self, timeout_s: float = 20.0) -> int:
        return self.popen.wait(timeout_s)

    def write(self, name: str, data: bytes) -> None:
        """As Hermes does."""
        target = self.sessions / name
        temporary = target.with_name(f".{name}.x1.tmp")
        temporary.write_bytes(data)
        temporary.rename(target)

    def policy(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.state / "policy.json").read_bytes())
        except FileNotFoundError:
            return None
        assert isinstance(found, dict)
        return found

    def counted(self) -> int:
        return counted(self.state)


def counted(state: Path) -> int:
    """How many executions the database of a state holds, looked at from outside."""
    path = state / "db" / "timmy.db"
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return int(connection.execute("SELECT count(*) FROM executions").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def session(name: str, calls: int, *, start: int = 0) -> bytes:
    """A snapshot with so many answered calls."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "work"}]
    for number in range(start, start + calls):
        call_id = f"call_{name}q7Zk3{number:06d}"
        function = {"name": "terminal", "arguments": json.dumps({"command": f"echo {number}"})}
        messages += [
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": call_id, "function": function}],
            },
            {"role": "tool", "tool_call_id": call_id, "content": '{"exit_code": 0, "error": null}'},
        ]
    document = {
        "session_id": name,
        "model": "m",
        "platform": "cli",
        "session_start": f"{BEGAN:%Y-%m-%dT%H:%M:%S}.{hash_of(name):06d}",
        "last_updated": f"{BEGAN + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}",
        "messages": messages,
    }
    return json.dumps(document, indent=2).encode()


def hash_of(name: str) -> int:
    total: int = sum(ord(c) * (31**i) for i, c in enumerate(name))
    return total % 1_000_000
