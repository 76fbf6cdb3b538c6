"""The journal's native protocol: real fields, any bytes in them, and large entries by memfd."""

import fcntl
import os
import socket
from array import array
from collections.abc import Mapping
from typing import Final, TextIO

SOCKET: Final = "/run/systemd/journal/socket"

SEND_TIMEOUT_S: Final = 0.5
"""A journal that does not read may hold the loop up by this much; the entry is then lost."""

_FIELD_MOST: Final = 64
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def is_journal(env: Mapping[str, str], stream: TextIO) -> bool:
    """Whether `stream` is the one that systemd connected to the journal.

    `JOURNAL_STREAM` holds its device and inode; children inherit the variable, and a redirected
    stream no longer matches.
    """
    device, colon, inode = env.get("JOURNAL_STREAM", "").partition(":")
    if not colon:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def encode(fields: Mapping[str, object]) -> bytes:
    """One entry: `NAME=value` lines, or for values with a newline the length before the bytes.

    With the length given, a value can hold anything without beginning a field of its own.
    """
    parts: list[bytes] = []
    for name, value in fields.items():
        key = _field(name)
        data = _bytes(value)
        if b"\n" in data:
            parts += (key, b"\n", len(data).to_bytes(8, "little"), data, b"\n")
        else:
            parts += (key, b"=", data, b"\n")
    return b"".join(parts)


class Journal:
    """A datagram socket to journald. Never raises: an entry that cannot be sent is counted as lost."""

    def __init__(self, address: str = SOCKET) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(SEND_TIMEOUT_S)
        self.lost = 0

    def send(self, fields: Mapping[str, object]) -> None:
        """Send one entry; keys are made valid field names, values are sent as they are."""
        entry = encode(fields)
        try:
            self._socket.sendto(entry, self._address)
        except OSError:
            # too large for a datagram, or no journal: a sealed memfd tells which
            self._send_sealed(entry)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send_sealed(self, entry: bytes) -> None:
        try:
            fd = os.memfd_create("timmyd", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
            try:
                with open(fd, "wb", closefd=False) as file:
                    file.write(entry)
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
                # socket.send_fds of Python 3.11 forgets its address
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))
                self._socket.sendmsg([], [rights], 0, self._address)
            finally:
                os.close(fd)
        except OSError:
            self.lost += 1


def _field(name: str) -> bytes:
    clean = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.upper())
    return clean.lstrip("_0123456789")[:_FIELD_MOST].encode("ascii") or b"FIELD"


def _bytes(value: object) -> bytes:
    text = value if isinstance(value, str) else str(value)
    try:
        return text.encode("utf-8", "surrogateescape")  # file names: the very bytes
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")
