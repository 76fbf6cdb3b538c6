"""Why a breaker is as it is: its figures, and the event that made it so."""

from typing import Any, Final

from timmyd.config import Settings
from timmyd.core.model import iso
from timmyd.house.breaker import BreakerKey, Breakers
from timmyd.house.circuit import CLOSED, Breaker
from timmyd.store.database import PatternDatabase

_EVENTS_BACK: Final = 10_000
_LEAST_SESSIONS: Final = 2


def explain_breaker(
    breakers: Breakers, database: PatternDatabase, settings: Settings, house: str, name: str
) -> dict[str, Any] | None:
    """The breaker of a tool or of `model:NAME` in a house; None where nobody there has called it.

    `since` is when it left the state before, `triggered` the event that opened it: its time and its reason.
    """
    key = BreakerKey.named(house, name)
    breaker = breakers.get(house, key.tool, model=key.model)
    if breaker is None:
        if name not in database.owners.called().get(house, ()):
            return None
        breaker = Breaker(breakers.rule)
    evidence, needed = breaker.evidence.value, settings.breaker.open_at
    is_closed = breaker.state == CLOSED
    return {
        "house": house,
        "name": name,
        "state": breaker.state,
        "forced": breaker.forced,
        "reason": breaker.reason if breaker.recent or not is_closed else "no rated calls since",
        "evidence": evidence,
        "evidence_needed": needed,
        "limit": breaker.evidence.limit,
        "since": iso(breaker.since),
        "probe_at": iso(breaker.probe_at),
        "opened": breaker.opened,
        "triggered": _trigger(database, house, name),
        "observed": settings.breaker.mode == "observe",
        "blocks": _blocks(breaker, needed) if is_closed else [],
    }


def _trigger(database: PatternDatabase, house: str, name: str) -> dict[str, Any] | None:
    """The event by which it was closed last and then no more, as it was said when it happened."""
    changed = f"breaker.{house}.{name}"
    for event in database.get_adaptations(_EVENTS_BACK):
        if event.change_type == changed and event.old_value == CLOSED:
            return {"event": event.id, "at": event.timestamp, "reason": event.reason}
    return None


def _blocks(breaker: Breaker, needed: float) -> list[str]:
    """What keeps a closed one from opening."""
    found = []
    if breaker.evidence.value < needed:
        found.append(
            f"the evidence of failure is {breaker.evidence.value:.3g}, {needed:g} opens it"
        )
    if breaker.failing and len(set(breaker.failing)) < _LEAST_SESSIONS:
        found.append("all its last failures are of one session, and two sessions are needed")
    if breaker.evidence.value >= needed and not found:
        found.append("as many breakers of the house are open as [breaker] most_open allows")
    return found
