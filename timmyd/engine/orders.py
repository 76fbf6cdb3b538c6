"""The operator's orders, each carried out at a tick and told as an event."""

from collections.abc import Mapping
from typing import Any

from timmyd.core.judging.judgement import Judgement
from timmyd.core.model import AdaptationEvent, iso
from timmyd.engine.events import event_of
from timmyd.engine.learning import Learner
from timmyd.engine.setting_aside import STATE_AFTER, Aside
from timmyd.house.breaker import BreakerKey
from timmyd.store.database import PatternDatabase

NOTHING_LEFT = frozenset({"taken_back", "observed", "ended_by_upgrade"})
"""Kinds of events whose change is not in force: to roll them back keeps what is."""


def carry_out(
    kind: str,
    body: Mapping[str, Any],
    now: float,
    *,
    learner: Learner,
    aside: Aside,
    database: PatternDatabase,
    mark: int,
) -> AdaptationEvent:
    """Carry one order out; what cannot be done is an event that says so.

    Args:
        kind: pin, unpin, rollback, force, clear, raise_budget, or what becomes of a house.
        body: Its words.
        now: Unix seconds.
        learner: What was learned.
        aside: Houses that are not learned from.
        database: For the history that a rollback names.
        mark: The id of the last execution that was learned.
    """
    judgement, breakers = learner.judgement, learner.breakers
    try:
        if kind == "pin":
            return event_of(judgement.pin(body["key"], float(body["value"]), now=now))
        if kind == "unpin":
            return event_of(judgement.unpin(body["key"], now=now))
        if kind == "rollback":
            return event_of(_roll_back(int(body["event"]), now, judgement, database))
        if kind in STATE_AFTER:
            words = aside.carry_out(kind, body, learner, mark=mark)
            return _event(f"house_{kind}", now, words)
        if kind == "raise_budget":
            return _event("budget_raised", now, learner.raises.raise_cap(body))
        house, tool = str(body["house"]), str(body["tool"])
        guarded = BreakerKey.named(house, tool)
        if kind == "force":
            breakers.force(house, guarded.tool, now, model=guarded.model)
        else:
            breakers.clear(house, guarded.tool, now, model=guarded.model)
    except (KeyError, ValueError) as error:
        return _event(kind, now, f"refused: {error}", refused=True)
    return _event(f"breaker_{kind}", now, f"{kind} {house} {tool} by the operator")


def _roll_back(number: int, now: float, judgement: Judgement, database: PatternDatabase) -> Any:
    for event in database.get_adaptations(limit=100_000):
        if event.id == number and event.change_type.startswith("policy."):
            key = event.change_type.removeprefix("policy.")
            undone = event.kind in NOTHING_LEFT or event.old_value is None
            value = None if undone else float(event.old_value)
            return judgement.rollback(key, value, now=now)
    raise KeyError(number)


def _event(kind: str, now: float, reason: str, *, refused: bool = False) -> AdaptationEvent:
    return AdaptationEvent(
        timestamp=iso(now) or "",
        trigger="operator",
        change_type=f"order.{kind}",
        old_value=None,
        new_value=None,
        reason=reason,
        kind="order_refused" if refused else "order",
    )
