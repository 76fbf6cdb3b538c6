"""What the kit in a home has written of late, and what its newest header says of it."""

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from timmyd.house.recorder import SCHEMA
from timmyd.sources import TELEMETRY_FOLDER

_END_BYTES: Final = 262_144
_LINE_BYTES: Final = 4096
_CAPS: Final = re.compile(rb'[,{]"caps":"([a-z_]{1,20})"')


@dataclass(frozen=True, slots=True)
class Written:
    """The telemetry of one home.

    Attributes:
        files: How many files there are.
        last_at: When the newest was last written, Unix seconds; None: never.
        kit: Version of the kit that wrote it, by its header; None: not known.
        seam: How that kit takes part in tool calls, a word of `house.seam`; None: it did not say.
        caps: Whether it can hold caps, a word of `house.seam`; None: it did not say.
    """

    files: int = 0
    last_at: float | None = None
    kit: str | None = None
    seam: str | None = None
    caps: str | None = None


def written(home: Path) -> Written:
    """Look at the telemetry of a home."""
    folder, times = home / "sessions" / TELEMETRY_FOLDER, dict[str, float]()
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".jsonl"):
                with suppress(OSError):
                    times[entry.name] = entry.stat(follow_symlinks=False).st_mtime
    if not times:
        return Written()
    newest = max(times, key=lambda name: times[name])
    end, first = _ends(folder / newest)
    header = _last_header(end, first)
    kit, seam = header.get("kit"), header.get("seam")
    caps = _CAPS.findall(first + b"\n" + end)
    return Written(
        len(times), times[newest],
        kit if isinstance(kit, str) else None, seam if isinstance(seam, str) else None,
        caps[-1].decode() if caps else None,
    )  # fmt: skip


def _ends(path: Path) -> tuple[bytes, bytes]:
    """The end of a file, and its beginning."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            start = max(os.fstat(fd).st_size - _END_BYTES, 0)
            return os.pread(fd, _END_BYTES, start), os.pread(fd, _LINE_BYTES, 0)
        finally:
            os.close(fd)
    return b"", b""


def _last_header(end: bytes, first: bytes) -> dict[str, Any]:
    """The header of the process that wrote to a file last: near its end, else the first line."""
    for line in (*reversed(end.split(b"\n")), first.partition(b"\n")[0]):
        if line.startswith(b'{"schema"'):
            with suppress(ValueError, RecursionError):
                found = json.loads(line)
                if isinstance(found, dict) and found.get("schema") == SCHEMA:
                    return found
    return {}
