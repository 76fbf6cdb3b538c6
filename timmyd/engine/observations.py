"""PURE: what the judgement is told of one call and of one turn."""

from timmyd.core.judging.rules.base import Observation
from timmyd.core.model import Execution
from timmyd.house.obey import HELD_BACK
from timmyd.house.outcome import RATED
from timmyd.store.queries import TurnRow


def of_call(execution: Execution, *, fell_back: bool | None, wasted: bool) -> Observation:
    """A call.

    Args:
        execution: The call.
        fell_back: Whether a published fallback sent it where it ran; None where none was published.
        wasted: It hopelessly repeated what had failed.
    """
    return Observation(
        at=execution.at,
        session=execution.session or -execution.id,
        house=execution.house,
        tool=execution.tool,
        task=execution.task_type,
        outcome=execution.outcome,
        latency_ms=execution.latency_ms,
        confidence=execution.confidence,
        policy=execution.policy,
        followed=execution.followed,
        held_back=None if execution.policy is None else execution.rule == HELD_BACK,
        fell_back=fell_back,
        wasted=wasted if execution.outcome in RATED else None,
    )


def of_turn(turn: TurnRow) -> Observation:
    """The end of a turn."""
    return Observation(
        at=turn.at,
        session=turn.session,
        house=turn.house,
        kind="turn",
        policy=turn.policy,
        completed=turn.completed,
    )
