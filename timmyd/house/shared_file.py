"""A small file that all processes of a house share: read and replaced whole, under one lock."""

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LOCK_S: Final = 0.5
_LOCK_STEP_S: Final = 0.005
_LARGEST_BYTES: Final = 1 << 20


class LockedError(OSError):
    """Another process holds the lock for longer than an agent waits."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, which is made with its folder where it is missing.

    Raises:
        LockedError: It was not to be had within half a second: an agent does not wait for an account.
        OSError: It cannot be opened.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _hold(lock)
        yield
    finally:
        os.close(lock)


def stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does; None where there is none."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_mtime_ns, info.st_size, info.st_ino


def read(path: Path) -> bytes:
    """Its first megabyte; empty where it is missing.

    Raises:
        OSError: It cannot be read, or is a link.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return b""
    try:
        return os.read(fd, _LARGEST_BYTES)
    finally:
        os.close(fd)


def replace(path: Path, data: bytes) -> None:
    """Put a whole new file in its place.

    Raises:
        OSError: The disk did not take it; the old file stands.
    """
    spare = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    fd = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        written = os.write(fd, data)
    finally:
        os.close(fd)
    if written != len(data):
        spare.unlink(missing_ok=True)
        raise OSError(28, "the disk took a part")
    spare.replace(path)


def _hold(lock: int) -> None:
    for _ in range(int(_LOCK_S / _LOCK_STEP_S)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_STEP_S)
        else:
            return
    raise LockedError
