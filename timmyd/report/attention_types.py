"""PURE: one thing that needs attention, all that the list is made of, and the commands that say more."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from timmyd.report import words
from timmyd.store.trends import HourCount

Severity = Literal["info", "warning", "critical"]


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody should look at.

    Attributes:
        kind: `fell`, `fails_at`, `breaker_open`, `breaker_near`, `source`, `file`, `service`, `trial` or `notice`.
        severity: How grave it is.
        house: Which house; None for all or for the service.
        subject: What: a tool, a model, a file.
        text: One sentence.
        since: ISO 8601, None where nobody knows.
        lost_a_day: Calls lost a day; 0 where none are counted.
        command: What says more, or mends it.
    """

    kind: str
    severity: Severity
    house: str | None
    subject: str
    text: str
    since: str | None = None
    lost_a_day: float = 0.0
    command: str = ""


class AttentionInput(msgspec.Struct, frozen=True, kw_only=True):
    """All that the list is made of.

    Attributes:
        at: Unix seconds.
        rows: Counts by the hour over the last four weeks, in order of time.
        document: The policy as it would be published now.
        status: What the daemon last said of itself.
        failing: Files that could not be taken in: file, reason.
        offset_s: Seconds that local time is ahead of UTC at a time.
        iso: Unix seconds as ISO 8601.
    """

    at: float
    rows: Sequence[HourCount]
    document: Mapping[str, Any]
    status: Mapping[str, Any]
    failing: Sequence[Mapping[str, Any]]
    offset_s: Callable[[float], float]
    iso: Callable[[float], str | None]


def explain(house: str, subject: object) -> str:
    """The command that explains a tool of a house."""
    return "timmyd explain " + shlex.quote(words.name(f"{house}/{subject}", 120))


def predict(tool: object) -> str:
    """The command that says how a tool does."""
    return "timmyd predict " + shlex.quote(words.name(tool, 120))


def grouped_by(
    rows: Iterable[HourCount], key: Callable[[HourCount], str]
) -> dict[str, list[HourCount]]:
    """The rows by a key, in order of first sight."""
    groups: dict[str, list[HourCount]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
