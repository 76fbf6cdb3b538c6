"""One daemon on one state: an advisory lock that the kernel lets go of, however the holder ends."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from timmyd.errors import AlreadyRunningError, StoreError

_NAME = "lock"


class StateLock:
    """Held for as long as the object is; the file holds the pid for people to read."""

    def __init__(self, state: Path) -> None:
        """Take the lock.

        Raises:
            AlreadyRunningError: Another process holds it.
            StoreError: The state directory cannot be written.
        """
        self._path = state / _NAME
        try:
            state.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                str(state), f"it cannot be written: {error.strerror}", hint="choose another --state"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise AlreadyRunningError(str(state), holder(state) or None) from None
        with suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go."""
        os.close(self._fd)


def holder(state: Path) -> int | None:
    """The pid of the daemon that runs on this state, 0 before it wrote it down, None if none does."""
    path = state / _NAME
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(fd, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    else:
        return None
    finally:
        os.close(fd)
