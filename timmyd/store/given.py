"""Executions that are given as plain dicts, the original's form, instead of read from a source."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from timmyd.core.model import Execution
from timmyd.core.ownership import UNKNOWN
from timmyd.core.tasks import TaskTable
from timmyd.house.keys import FALLBACK_HOUSE
from timmyd.house.outcome import OUTCOMES
from timmyd.house.shape import shape as shape_of, signature as signature_of
from timmyd.store.batch import Batch

_TASKS = TaskTable.default()


def execution_from(data: Mapping[str, Any], execution_id: int, *, now: float) -> Execution:
    """An `Execution` from the plain dict of the original's `record_execution`.

    Raises:
        ValueError: A field that decides has a value that cannot be right.
    """
    tool = str(data.get("tool") or "unknown")
    params, shape = data.get("params"), data.get("shape")
    if shape is None:
        shape = shape_of(tool, {} if params is None else params)
    outcome = data.get("outcome")
    if outcome is None:
        success = data.get("success")
        outcome = "unknown" if success is None else ("ok" if success else "error")
    if outcome not in OUTCOMES:
        message = f"outcome: expected one of {', '.join(OUTCOMES)}, found {outcome!r}"
        raise ValueError(message)
    at, task = data.get("at"), data.get("task_type")
    return Execution(
        id=execution_id,
        at=now if at is None else min(float(at), now),
        house=str(data.get("house") or FALLBACK_HOUSE),
        owner=str(data.get("owner") or UNKNOWN),
        tool=tool,
        signature=signature_of_shape(str(shape)) if params is None else signature_of(params),
        shape=str(shape),
        model=data.get("model"),
        task_type=str(task) if task is not None else _TASKS.task_type(tool, str(shape)),
        outcome=outcome,
        rule="given",
        error_type=data.get("error_type"),
        source="telemetry",
        latency_ms=data.get("latency_ms"),
        confidence=data.get("confidence"),
        tokens_in=data.get("tokens_in"),
        tokens_out=data.get("tokens_out"),
        cost=data.get("cost"),
        policy=data.get("policy"),
        followed=data.get("followed"),
    )


@lru_cache(maxsize=4_096)
def signature_of_shape(shape: str) -> str:
    """Stands for the arguments of a call of which only the shape was told."""
    return signature_of({"shape": shape})


def owned(execution: Execution, batch: Batch, *, now: float) -> Execution:
    """An execution in the house of its owner, if it says whose it is (law 8)."""
    if execution.owner != UNKNOWN:
        execution.house = batch.house_for(execution.house, execution.owner, now=now)
    return execution
