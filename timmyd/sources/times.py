"""PURE: times as agents write them: seconds, milliseconds, ISO with or without a zone, text."""

import re
from datetime import datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any, Final

LONGEST_MS: Final = 31 * 86_400_000.0
"""No call takes longer, in milliseconds; sums of more would overflow."""

_LONGEST_TEXT: Final = 64
_NAIVE: Final = re.compile(r"\s*\d{4}-?\d\d")
_ZONE: Final = re.compile(r"(?:[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)\s*$")
_UNITS: Final = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))
"""What is below the first is in units of which the second make a second."""


def number(value: Any) -> float | None:
    """A finite number as a float; None for anything else, also for booleans."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if found - found == 0.0 else None


def moment(value: Any, zone: tzinfo | None = None) -> float | None:
    """Unix seconds of a time in any of its spellings; None for what can be no time of an event.

    Args:
        value: Seconds, milliseconds, micro- or nanoseconds, also as text; ISO 8601; RFC 5322.
        zone: In which a time without one is meant; None for the machine's own.
    """
    if type(value) is float and 0.0 < value < _UNITS[0][0]:
        return value
    if isinstance(value, str):
        return _of_text(value, zone)
    found = number(value)
    if found is None or found <= 0:
        return None
    return next((found / unit for below, unit in _UNITS if found < below), None)


def _of_text(value: str, zone: tzinfo | None) -> float | None:
    words = value.strip()
    if not words or len(words) > _LONGEST_TEXT:
        return None
    try:
        return moment(float(words))
    except ValueError:
        pass
    found = _parsed(words)
    if found is None:
        return None
    if found.tzinfo is None and zone is not None:
        found = found.replace(tzinfo=zone)
    try:
        at = found.timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return at if at > 0 else None


def _parsed(words: str) -> datetime | None:
    for name in (" UTC", " GMT"):
        words = words.removesuffix(name) + "+00:00" if words.endswith(name) else words
    try:
        return datetime.fromisoformat(words)
    except (ValueError, OverflowError):
        pass
    try:
        return parsedate_to_datetime(words)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def is_naive(value: Any) -> bool:
    """Whether a time is written without its zone, so that it may be wrong by hours."""
    return isinstance(value, str) and _NAIVE.match(value) is not None and not _ZONE.search(value)


def duration_ms(value: Any) -> float | None:
    """Milliseconds, or None for what no call can have taken."""
    found = number(value)
    return found if found is not None and 0 <= found <= LONGEST_MS else None
