"""Linux' own directory events: one descriptor an owner, so that one owner's storm loses nobody else's."""

import ctypes
import errno
import os
import struct
from typing import Final, NamedTuple

_MOVED_TO: Final = 0x80
_CREATE: Final = 0x100
_MODIFY: Final = 0x2
_CLOSE_WRITE: Final = 0x8
_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_ONLY_DIRECTORY: Final = 0x01000000
_EXCEPT_UNLINKED: Final = 0x04000000
_MASK: Final = _MOVED_TO | _CREATE | _MODIFY | _CLOSE_WRITE | _ONLY_DIRECTORY | _EXCEPT_UNLINKED
_HEAD: Final = struct.Struct("=iIII")
_READ_BYTES: Final = 1 << 16

_libc = ctypes.CDLL(None, use_errno=True)


class Events(NamedTuple):
    """What one read gave.

    Attributes:
        paths: What changed, each once; a folder with a slash behind it where events were lost.
        is_full: There may be more.
    """

    paths: set[bytes]
    is_full: bool


class Inotify:
    """One queue of events of the kernel, which holds at most 16,384 of them."""

    def __init__(self) -> None:
        """Make the queue.

        Raises:
            OSError: The system has no room for another one.
        """
        self.fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._folders: dict[int, bytes] = {}

    def add(self, folder: bytes) -> None:
        """Report what changes in a folder; again after it was replaced.

        Raises:
            OSError: It cannot be watched; ENOSPC where there is no room.
        """
        self.remove(folder)
        watch = _checked(_libc.inotify_add_watch(self.fd, folder, _MASK))
        self._folders[watch] = folder

    def remove(self, folder: bytes) -> None:
        """Report no longer what changes in a folder."""
        for watch, path in list(self._folders.items()):
            if path == folder:
                del self._folders[watch]
                _libc.inotify_rm_watch(self.fd, watch)  # which fails if the folder is gone

    def __len__(self) -> int:
        return len(self._folders)

    def read(self) -> Events:
        """The events that are there, without waiting."""
        try:
            data = os.read(self.fd, _READ_BYTES)
        except OSError:
            return Events(set(), is_full=False)
        paths: set[bytes] = set()
        at = 0
        while at + _HEAD.size <= len(data):
            watch, mask, _, size = _HEAD.unpack_from(data, at)
            name = data[at + _HEAD.size : at + _HEAD.size + size].rstrip(b"\0")
            at += _HEAD.size + size
            if mask & _OVERFLOW:
                paths.update(folder + b"/" for folder in list(self._folders.values()))
            elif mask & _IGNORED:
                self._folders.pop(watch, None)
            elif name and (folder := self._folders.get(watch)) is not None:
                paths.add(folder + b"/" + name)
        return Events(paths, len(data) > _READ_BYTES // 2)

    def close(self) -> None:
        """Let go of the queue."""
        os.close(self.fd)


def _checked(result: int) -> int:
    if result >= 0:
        return result
    number = ctypes.get_errno() or errno.EINVAL
    raise OSError(number, os.strerror(number))
