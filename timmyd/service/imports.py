"""Keeps libraries from importing what they can do without and a daemon never uses."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Let modules that are not imported yet look as if they were not installed.

    structlog would import rich to draw tracebacks, and msgspec looks into typing_extensions for what
    Python 3.11 has: a fifth of the time to READY, and megabytes.
    """
    found = [name for name in names if name not in sys.modules]
    for name in found:
        sys.modules[name] = None  # type: ignore[assignment] # Python's own sign for it
    try:
        yield
    finally:
        for name in found:
            sys.modules.pop(name, None)
