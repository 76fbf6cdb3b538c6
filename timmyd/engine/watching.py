"""Looks out for what falls and what recovers, and tells of it."""

from collections.abc import Iterable

from timmyd.core.estimating.notices import Notices
from timmyd.core.model import AdaptationEvent, Execution
from timmyd.engine.events import States, event_of_notice
from timmyd.house.circuit import CLOSED
from timmyd.house.judgement import RATED


def watch(notices: Notices, executions: Iterable[Execution], now: float) -> None:
    """Take executions in, in event order."""
    for execution in executions:
        if execution.outcome in RATED:
            notices.learn(
                execution.house,
                execution.tool,
                execution.shape,
                execution.model,
                str(execution.session or -execution.id),
                ok=execution.outcome == "ok",
                at=min(execution.at, now),
                now=now,
                owner=execution.owner,
            )


def notice_events(notices: Notices, breakers: States, now: float) -> list[AdaptationEvent]:
    """What fell and what recovered; of a breaker that is not closed its own event was told."""
    found = []
    for notice in notices.tick(now):
        name = f"model:{notice.model}" if notice.model else notice.tool or ""
        if breakers.get((notice.house, name), (CLOSED, ""))[0] == CLOSED:
            found.append(event_of_notice(notice))
    return found
