"""What systemd is told: READY, STATUS, RELOADING, STOPPING, EXTEND_TIMEOUT, WATCHDOG. A no-op outside systemd."""

import os
from collections.abc import Mapping
from typing import Any, Final

from sdnotify import SystemdNotifier

from timmyd.clock import monotonic_us

STATUS_MOST: Final = 400
"""Characters of a STATUS; `systemctl status` shows one line."""

SEND_TIMEOUT_S: Final = 1.0
"""A full notification socket may hold the loop up by this much, once; the message is then lost."""

_US: Final = 1_000_000


def ascii_line(text: str) -> str:
    """`text` on one line of ASCII, at most `STATUS_MOST` characters.

    sd_notify separates assignments by newlines, so a newline in a status would be a command of its
    own; and sdnotify encodes Latin-1, where systemd wants UTF-8: only ASCII is the same in both.
    """
    escaped = text.encode("ascii", "backslashreplace").decode("ascii")
    clean = "".join(c if c.isprintable() else "?" for c in escaped)
    return clean if len(clean) <= STATUS_MOST else clean[: STATUS_MOST - 3] + "..."


def watchdog_interval_s(env: Mapping[str, str], *, pid: int | None = None) -> float | None:
    """Seconds within which systemd wants a heartbeat, None if it wants none.

    Ping every third of it. `WATCHDOG_PID`, where set, must be this process (`pid`, by default our
    own): a variable inherited from a parent is not meant for us.
    """
    meant_for = env.get("WATCHDOG_PID")
    if meant_for is not None and meant_for != str(os.getpid() if pid is None else pid):
        return None
    try:
        interval_us = int(env.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return interval_us / _US if interval_us > 0 else None


class Notifier:
    """Speaks to the service manager named by `NOTIFY_SOCKET`; without one, every call does nothing.

    It never raises: a service manager that cannot be reached must not stop the work. sdnotify
    does the wire (abstract sockets too); this class owns the words, keeps them on one ASCII line,
    gives a full socket a time limit, and connects anew when systemd was replaced under us.
    """

    def __init__(self) -> None:
        self.enabled: bool = bool(os.environ.get("NOTIFY_SOCKET"))
        self.failures: int = 0
        self._link: Any = None
        self._status: str | None = None

    def ready(self, status: str) -> None:
        """Settings, database, watcher and first policy stand; also ends `reloading`."""
        self._status = None
        self._send(f"READY=1\nSTATUS={ascii_line(status)}")

    def status(self, text: str) -> None:
        """Say in one line what is being done now; repeating the same line costs nothing."""
        line = ascii_line(text)
        if line != self._status and self._send(f"STATUS={line}"):
            self._status = line

    def reloading(self) -> None:
        """The settings are being read again; `ready` must follow."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_us()}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def extend_timeout(self, seconds: float) -> None:
        """Ask for `seconds` more to start, or to stop, counted from now: for migrations."""
        self._send(f"EXTEND_TIMEOUT_USEC={max(1, int(seconds * _US))}")

    def watchdog(self) -> None:
        """The loop made progress. Call it from nothing but the loop (law 7)."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Let the socket go; a later message would open it again."""
        link, self._link = self._link, None
        if link is not None and link.socket is not None:
            link.socket.close()

    def _send(self, state: str) -> bool:
        if not self.enabled:
            return False
        for _ in range(2):  # the link that we have, then a fresh one
            if self._link is None:
                self._link = _connect()
            try:
                self._link.notify(state)
            except TimeoutError:
                break
            except (OSError, AttributeError):  # AttributeError: sdnotify could not connect
                self.close()
            else:
                return True
        self.failures += 1
        return False


def _connect() -> Any:
    link = SystemdNotifier()
    link.debug = True  # it swallows every error otherwise
    if link.socket is not None:
        link.socket.settimeout(SEND_TIMEOUT_S)
    return link
