"""PURE: the events that can be told, how grave each is, and which trouble it begins or ends."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from timmyd.core.model import AdaptationEvent

Severity = Literal["info", "warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "critical")
"""From the least on."""

KINDS: Final[Mapping[str, Severity]] = {
    "breaker_opened": "warning",
    "breaker_closed": "info",
    "fell": "warning",
    "recovered": "info",
    "tried": "info",
    "kept": "info",
    "taken_back": "warning",
    "source_silent": "warning",
    "source_heard": "info",
    "budget": "warning",
    "budget_over": "info",
    "quota": "warning",
    "quota_over": "info",
    "service_trouble": "critical",
    "service_recovered": "info",
    "order_refused": "warning",
    "ended_by_upgrade": "info",
}
"""What can be told, and how grave it is."""

ENDS: Final[Mapping[str, str]] = {
    "breaker_closed": "breaker_opened",
    "recovered": "fell",
    "source_heard": "source_silent",
    "budget_over": "budget",
    "quota_over": "quota",
    "service_recovered": "service_trouble",
}
"""Which event ends what another began."""

LONGEST_TEXT: Final = 400


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it is told: names and figures, never content.

    Attributes:
        id: Its number in the database; grows.
        at: ISO 8601, UTC.
        kind: One of `KINDS`.
        severity: How grave it is.
        house: The house it is about; None for the service or the whole fleet.
        subject: What it is about: a policy key, `breaker.<house>.<tool>`, and so on.
        trouble: Names the trouble that it begins or ends; the same for both.
        over: It ends that trouble.
        old: The value before.
        new: The value after.
        text: One sentence.
    """

    id: int
    at: str
    kind: str
    severity: Severity
    house: str | None
    subject: str
    trouble: str
    over: bool
    old: Any
    new: Any
    text: str


def alert_of(found: AdaptationEvent) -> Alert | None:
    """The event to tell of a row; None for a kind that is told to nobody."""
    severity = KINDS.get(found.kind)
    if severity is None:
        return None
    begun = ENDS.get(found.kind, found.kind)
    subject = printable(found.change_type)
    return Alert(
        id=found.id,
        at=found.timestamp,
        kind=found.kind,
        severity=severity,
        house=_house(found),
        subject=subject,
        trouble=f"{begun}:{subject}",
        over=found.kind in ENDS,
        old=_plain(found.old_value),
        new=_plain(found.new_value),
        text=printable(found.reason),
    )


def printable(text: str) -> str:
    """Text with nothing in it that could move a cursor or turn the direction of writing, cut to its limit."""
    return "".join(c if c.isprintable() else " " for c in text)[:LONGEST_TEXT]


def _house(found: AdaptationEvent) -> str | None:
    """The house that a row names: in its evidence, else as the second part of what changed."""
    named = found.evidence.get("house")
    if isinstance(named, str):
        return printable(named)
    parts = found.change_type.split(".")
    if len(parts) < 2 or parts[1] == "routing":  # noqa: PLR2004 - `breaker.<house>.<tool>`
        return None
    return printable(parts[1])


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    return value if isinstance(value, (int, float, bool)) or value is None else None
