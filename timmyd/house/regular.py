"""Reads a small regular file; waits on nothing, opens no device, and tells local from remote."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .checks import PolicyError
from .policy import LARGEST_BYTES

_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "ceph", "afs", "fuse.", "glusterfs", "lustre")
_NO_FILE = "not_a_file"


def read_document(path: str, info: os.stat_result, *, own_only: bool) -> bytes:
    """The bytes of a regular file: at most one more than a document may have.

    Args:
        path: Where it is.
        info: What a look at it said.
        own_only: Refuse a link and a file on a network file system.

    Raises:
        PolicyError: `not_a_file` or `foreign`.
        OSError: It cannot be read.
    """
    if not stat.S_ISREG(info.st_mode) or (own_only and _is_remote(path)):
        code = _NO_FILE if not stat.S_ISREG(info.st_mode) else "foreign"
        raise PolicyError(code, path)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if own_only else 0)
    fd = os.open(path, flags)
    try:
        opened = os.fstat(fd)
        if not stat.S_ISREG(opened.st_mode):
            raise PolicyError(_NO_FILE, path)
        return b"".join(_chunks(fd))
    finally:
        os.close(fd)


def _chunks(fd: int) -> Iterator[bytes]:
    left = LARGEST_BYTES + 1
    while left > 0 and (chunk := os.read(fd, left)):
        left -= len(chunk)
        yield chunk


def _is_remote(path: str) -> bool:
    """Whether the file lies on a network file system, as far as Linux tells."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    best, kind = "", ""
    real = os.path.realpath(path)
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) > 2 and len(fields[1]) >= len(best):  # noqa: PLR2004 - device, point, type
            point = fields[1].rstrip("/") + "/"
            if real.startswith(point):
                best, kind = fields[1], fields[2]
    return kind.startswith(_NETWORK_FILE_SYSTEMS)


def files_in(folder: Path, ending: str) -> list[tuple[str, str, float]]:
    """(name, path, time of change in Unix seconds) of the regular files whose names end so.

    Raises:
        OSError: The folder cannot be listed.
    """
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(info.st_mode) and entry.name.endswith(ending):
                    found.append((entry.name, entry.path, info.st_mtime))
    return found
