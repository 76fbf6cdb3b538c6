"""What a house left → what it shows. A file a source; `SOURCES` says which file is whose."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from timmyd.core.model import Source

_CONFLICT = re.compile(
    r"\.sync-conflict-|conflicted copy|~$|\.(?:part|partial|swp|bak)$", re.IGNORECASE
)
_HERMES_OWN = re.compile(r"sessions\.json$|request_dump_")

TELEMETRY_FOLDER: Final = "timmy"
"""The subfolder of a sessions directory that the house kit writes to."""


class FileKind(NamedTuple):
    """Which files of a sessions directory a source reads.

    Attributes:
        source: Its name.
        folder: The subfolder they lie in, `""` for the directory itself.
        matches: Whether a file's name is one of the source's.
    """

    source: Source
    folder: str
    matches: Callable[[str], bool]


SOURCES: Final = (
    FileKind("telemetry", TELEMETRY_FOLDER, lambda name: name.endswith(".jsonl")),
    FileKind("snapshot", "", lambda name: name.startswith("session_") and name.endswith(".json")),
    FileKind("session", "", lambda name: name.endswith(".json")),
)
"""The sources that are files of a sessions directory, most specific first."""


def classify(name: str, folder: str) -> Source | None:
    """The source that reads a file, None for what is ignored (CONTRACT §1).

    Args:
        name: The file's name.
        folder: The subfolder of the sessions directory that it lies in, `""` for none.
    """
    if name.startswith(".") or name.endswith(".tmp") or _CONFLICT.search(name):
        return None
    if not folder and _HERMES_OWN.match(name):
        return None
    for kind in SOURCES:
        if kind.folder == folder and kind.matches(name):
            return kind.source
    return None
