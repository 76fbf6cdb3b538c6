"""PURE: figures and foreign names as words: honest about the unknown, harmless on a terminal and a page."""

import math
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime

from timmyd.house.units import DAY_S

UNKNOWN = "\N{EN DASH}"
_LONGEST = 48
_MS_IN_S = 1000.0
_S_IN_M = 60.0
_TEN = 10.0
_MOST_CLASSES = 4


def name(text: object, longest: int = _LONGEST) -> str:
    """A name from a session, so hostile text, as one line that cannot act on a terminal or a reader.

    Control characters, lone surrogates, and format characters that turn or hide text are spelled
    out by their numbers, marks that stack on a letter are cut, and so is what exceeds `longest`.
    """
    letters: list[str] = []
    stacked = 0
    for letter in str(text)[: longest + 1]:
        stacked = stacked + 1 if unicodedata.combining(letter) else 0
        if stacked > 1:
            continue
        plain = letter == " " or (letter.isprintable() and unicodedata.category(letter) != "Zs")
        letters.append(letter if plain else _spelled(letter))
    words = "".join(letters)
    return words if len(words) <= longest else words[: longest - 1] + "…"


def _spelled(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - one byte


def percent(rate: float | None) -> str:
    """`83 %`; 100 % and 0 % only where it is exactly that."""
    if rate is None:
        return UNKNOWN
    shown = round(rate * 100)
    if shown == 100 and rate < 1:  # noqa: PLR2004
        return ">99 %"
    if shown == 0 and rate > 0:
        return "<1 %"
    return f"{shown} %"


def interval(bounds: tuple[float, float] | None) -> str:
    """`79 to 86 %`, rounded outwards."""
    if bounds is None:
        return UNKNOWN
    return f"{math.floor(bounds[0] * 100 + 1e-9)} to {math.ceil(bounds[1] * 100 - 1e-9)} %"


def points(change: float | None) -> str:
    """A difference of rates: `+4.2 points`."""
    return (
        UNKNOWN if change is None else f"{change * 100:+.1f} points".replace("-", "\N{MINUS SIGN}")
    )


def latency(milliseconds: float | None) -> str:
    """`740 ms`, `1.3 s`, `4.0 min`."""
    if milliseconds is None:
        return UNKNOWN
    if milliseconds < _MS_IN_S:
        return f"{milliseconds:.0f} ms" if milliseconds >= 1 else "<1 ms"
    seconds = milliseconds / _MS_IN_S
    if seconds < _S_IN_M:
        return f"{seconds:.1f} s" if seconds < _TEN else f"{seconds:.0f} s"
    return f"{seconds / _S_IN_M:.1f} min"


def count(number: int) -> str:
    """`12,345`."""
    return f"{number:,}"


def number(value: object) -> str:
    """A policy value as it is set: `0.8`; anything else by name."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return UNKNOWN if value is None else name(value)
    return f"{value:.4f}".rstrip("0").rstrip(".")


def moment(text: str | None) -> str:
    """An ISO time as `22 Nov 2026 23:40 UTC`; what is none is shown as it is."""
    at = unix(text)
    if at is None:
        return UNKNOWN if text is None else name(text)
    return f"{datetime.fromtimestamp(at, UTC):%d %b %Y %H:%M} UTC".lstrip("0")


def short_moment(text: str | None) -> str:
    """An ISO time of these days as `22 Nov, 23:40`, in UTC."""
    at = unix(text)
    if at is None:
        return moment(text)
    return f"{datetime.fromtimestamp(at, UTC):%d %b, %H:%M}".lstrip("0")


def unix(text: str | None) -> float | None:
    """Unix seconds of an ISO time; None for what is none."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def ago(text: str | None, now: str | None) -> str:
    """How long before `now`: `12 minutes ago`."""
    then, at = unix(text), unix(now)
    if then is None or at is None:
        return moment(text)
    seconds = at - then
    if seconds < 0:
        return moment(text)
    for size, unit in ((DAY_S, "day"), (3600.0, "hour"), (_S_IN_M, "minute")):
        if seconds >= size:
            return plural(int(seconds // size), unit) + " ago"
    return "just now"


def span(seconds: float) -> str:
    """A time that has passed: `12 s`, `5 min`, `3 h`, `2 d`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def plural(amount: int, noun: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{count(amount)} {noun}" if amount == 1 else f"{count(amount)} {noun}s"


def period(days: float | None) -> str:
    """`last 7 days`."""
    if days is None:
        return "all time that is kept"
    return "last day" if days == 1 else f"last {days:g} days"


def maybe(number_of: int | None) -> str:
    """A count, a dash where it is unknown."""
    return UNKNOWN if number_of is None else count(number_of)


def money(amount: float | None) -> str:
    """An amount, a dash where it is unknown; small ones to four places."""
    if amount is None:
        return UNKNOWN
    return f"{amount:,.4f}" if 0 < amount < 1 else f"{amount:,.2f}"


def why_failed(errors: Mapping[str, int]) -> str:
    """`rate limit 12, timeout 3`: classes of errors and how many there were, the most first."""
    ranked = sorted(errors.items(), key=lambda one: (-one[1], one[0]))
    told = [
        f"{name(error.replace('_', ' '), 24)} {count(n)}" for error, n in ranked[:_MOST_CLASSES]
    ]
    return ", ".join([*told, *(["…"] if len(ranked) > _MOST_CLASSES else [])])
