"""PURE: durations and sizes as an operator writes them: `90d`, `250ms`, `1h30m`, `64MiB`."""

import re

_SECONDS = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}
_MS_IN_S = 1000

DURATION_PATTERN = (
    r"^(?=.)([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m(?!s))?([0-9]+(\.[0-9]+)?s)?([0-9]+ms)?$"
)
"""Whole numbers with units, the largest first; only seconds may have a decimal point."""
SIZE_PATTERN = r"^[0-9]+(B|KiB|MiB|GiB|KB|MB|GB)$"

_DURATION = re.compile(DURATION_PATTERN.removesuffix("$") + r"\Z", re.ASCII)
_PART = re.compile(r"([0-9.]+)([a-z]+)", re.ASCII)
_SIZE = re.compile(r"([0-9]+)([A-Za-z]+)", re.ASCII)
_LONGEST = 32


def duration_s(text: str) -> float:
    """The seconds of `90d`, `250ms`, `1h30m`: units w d h m s ms, the largest first.

    Raises:
        ValueError: It is none.
    """
    if len(text) > _LONGEST or not _DURATION.match(text):
        raise ValueError
    milliseconds = sum(
        round(float(number) * _SECONDS[unit] * _MS_IN_S) for number, unit in _PART.findall(text)
    )
    return milliseconds / _MS_IN_S


def size_bytes(text: str) -> int:
    """The bytes of `64MiB`: one whole number and one of B KiB MiB GiB KB MB GB.

    Raises:
        ValueError: It is none.
    """
    found = _SIZE.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or found[2] not in _BYTES:
        raise ValueError
    return int(found[1]) * _BYTES[found[2]]


def duration_text(seconds: float) -> str:
    """The shortest way to write a duration in one unit, to the millisecond: 5400.0 is `90m`."""
    milliseconds = round(seconds * _MS_IN_S)
    for unit, size in _SECONDS.items():
        size_ms = round(size * _MS_IN_S)
        if unit != "w" and milliseconds % size_ms == 0 and milliseconds >= size_ms:
            return f"{milliseconds // size_ms}{unit}"
    return "0s"


def size_text(size: int) -> str:
    """The shortest way to write a number of bytes in one binary unit: 67108864 is `64MiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"
