"""From the settings to who is told what; secrets are read from files that only their owner may read."""

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec

from timmyd.config.notifications import Notification
from timmyd.errors import ConfigError, Problem
from timmyd.notify.destinations import AppriseTarget, Destination, Program, Webhook
from timmyd.notify.outbox import Wish

_LARGEST_BYTES = 65_536
_NAME_DIGITS = 8


def destinations(told: Iterable[Notification]) -> dict[str, tuple[Wish, Destination]]:
    """Every destination by its name, which stays the same while its settings do.

    Raises:
        ConfigError: A file of headers may not be used.
    """
    return {name: (_wish(name, one), _destination(one)) for name, one in named(told).items()}


def named(told: Iterable[Notification]) -> dict[str, Notification]:
    """The notifications by short names that say where they go and hold no secret.

    The name is that of the destination alone: what waits for it stays its own when its filters are changed.
    Several tables with one destination are told apart by their order.
    """
    found: dict[str, Notification] = {}
    for one in told:
        way = next(way for way in ("exec", "webhook", "apprise") if getattr(one, way) is not None)
        target = msgspec.json.encode(msgspec.to_builtins(getattr(one, way), enc_hook=str))
        name = f"{way}-{hashlib.sha256(target).hexdigest()[:_NAME_DIGITS]}"
        same = sum(other == name or other.startswith(f"{name}-") for other in found)
        found[f"{name}-{same + 1}" if same else name] = one
    return found


def read_headers(path: Path) -> dict[str, str]:
    """Lines `Name: value` of a file that belongs to us and that nobody else may read.

    Raises:
        ConfigError: It is missing, readable by others, or holds something else.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_mode & 0o077:
            raise _unusable(path, "expected a file of mode 0600: it holds a secret")
        text = file.read(_LARGEST_BYTES).decode("utf-8", "replace")
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, separator, value = (part.strip() for part in line.partition(":"))
        if not line.strip():
            continue
        if not separator or not name or not (name + value).isprintable():
            raise _unusable(path, f'line {number}: expected "Name: value"')
        found[name] = value
    return found


def _unusable(path: Path, words: str) -> ConfigError:
    return ConfigError([Problem(str(path), words)])


def _wish(name: str, one: Notification) -> Wish:
    return Wish(
        name=name,
        on=frozenset(one.on),
        house=one.house,
        least=one.least,  # type: ignore[arg-type]  # the settings allow nothing else
        quiet=one.quiet,
        once=one.over is not None,
    )


def _destination(one: Notification) -> Destination:
    if one.exec is not None:
        return Program(one.exec)
    if one.apprise is not None:
        return AppriseTarget(one.apprise)
    return Webhook(
        one.webhook or "",
        body=one.body,
        headers=read_headers(one.headers) if one.headers else None,
        over_url=one.over,
        over_body=one.over_body,
    )
