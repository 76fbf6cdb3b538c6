"""PURE: a breaker as the policy shows it, and how a house obeys what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from .breaker_evidence import LARGEST, finite, number
from .circuit import CLOSED, HALF_OPEN, OPEN, Breaker
from .policy import at_from_iso, iso_from_at

SHOWN_AT = 30.0
"""A closed breaker with at least this evidence is published, so that a house starts from it.

A tenth of what opens one, and more than a long session of successes ever leaves.
"""


def is_shown(breaker: Breaker, now: float) -> bool:
    """Is it open, or closed with evidence on its way?"""
    breaker.advance(now)
    return breaker.state != CLOSED or breaker.evidence.value >= SHOWN_AT


def item_of(house: str, tool: str | None, model: str | None, breaker: Breaker) -> dict[str, Any]:
    """One item of `breakers` in the policy: numbers, names and our own words."""

    def moment(at: float | None) -> str | None:
        with suppress(ValueError, OverflowError, OSError):
            return None if at is None else iso_from_at(at)
        return None

    return {
        "house": house,
        "tool": tool,
        "model": model,
        "state": breaker.state,
        "limit": round(breaker.evidence.limit, 3),
        "evidence": round(breaker.evidence.value, 1),
        "since": None if breaker.state == CLOSED else moment(breaker.since),
        "probe_at": None if breaker.state == CLOSED else moment(breaker.probe_at),
        "reason": breaker.reason,
    }


def obey(breaker: Breaker, item: Mapping[str, Any], now: float) -> None:
    """Bind, free or feed one breaker by its published item."""
    if item.get("state") in (OPEN, HALF_OPEN):
        since, probe_at = _at(item.get("since")), _at(item.get("probe_at"))
        if not breaker.bound or breaker.since != since:
            breaker.bound, breaker.state, breaker.since, breaker.sum = True, OPEN, since, 0.0
            breaker.probe_at = probe_at
        breaker.forced = probe_at is None  # only an operator opens without a next probe
        if probe_at is None:
            breaker.state, breaker.probe_at = OPEN, None
        elif breaker.probe_at is None or probe_at >= breaker.probe_at:
            breaker.probe_at, breaker.spread = probe_at, breaker.draw(probe_at)
        return
    if breaker.bound:
        breaker.clear(now)
    elif breaker.state == CLOSED:
        evidence = number(item.get("evidence"), 0.0, LARGEST, 0.0)
        breaker.evidence.meet(evidence, finite(item.get("limit"), 0.0, 1.0))
        if evidence >= SHOWN_AT and not breaker.failing:
            breaker.failing = [0]  # the failures of other sessions, of which no name is published


def _at(value: object) -> float | None:
    return None if value is None else at_from_iso(value)
