"""The rows of Hermes' `messages` and `sessions` tables as plain values; nothing in them is trusted."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final, NamedTuple

import msgspec

from timmyd.core.model import Call
from timmyd.sources.decoding import usable_requests
from timmyd.sources.messages import CALLS_MOST, ToolCall, ids_of, is_bushy, text, to_call
from timmyd.sources.state_db_schema import SPENT, Schema
from timmyd.sources.times import moment, number

_ENCODED: Final = "\0json:"
_MOST_COUNT: Final = 1 << 50
_MOST_COST: Final = 1e9
_TAGGED: Final = "__HERMES_CONTENT_V2__:"

_calls = msgspec.json.Decoder(list[ToolCall])
_configs = msgspec.json.Decoder(dict[str, Any])


class Row(msgspec.Struct, gc=False):
    """One message as Hermes stored it.

    Attributes:
        id: Grows in the order of insertion; copies get new ones.
        at: When it was inserted, or for a copy perhaps when its original was, Unix seconds.
        content: Of a tool's result; of the user's words the beginning; of the rest nothing.
        call_ids: Which request a result answers, by any of its ids; none where the provider sent none.
        calls: The requests of an assistant's message.
        skipped: How many of its requests could not be used.
        tool: The tool's name beside a result, if it stands there.
        uid: Hermes' own id of the message (0.22), which a copy keeps.
    """

    id: int
    session_id: str
    role: str
    at: float | None
    content: Any = None
    call_ids: tuple[str, ...] = ()
    calls: list[Call] | None = None
    skipped: int = 0
    tool: str = ""
    disposition: str | None = None
    uid: str | None = None


class SessionSpent(NamedTuple):
    """What a session used of a model so far; None is unknown.

    Attributes:
        at: When it was used last, Unix seconds.
    """

    model: str
    at: float | None
    requests: int
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None


class SessionRow(msgspec.Struct, gc=False):
    """One session as Hermes stored it.

    Attributes:
        parent: The session that it continues, was branched from, or was delegated by.
        branched: It says of itself that it is a branch.
        delegated: It does a task for its parent: work of its own.
        end_reason: Why it ended, `compression` where another continues it.
        usage: (model, first use, last use) by model, in the order of first use.
        spent: What it used of each model.
    """

    id: str
    model: str | None = None
    parent: str | None = None
    started_at: float | None = None
    end_reason: str | None = None
    branched: bool = False
    delegated: bool = False
    usage: tuple[tuple[str, float, float], ...] = ()
    spent: tuple[SessionSpent, ...] = ()

    def model_at(self, at: float) -> str | None:
        """The model that answered at a time: `/model` changes it in mid-session."""
        begun = [model for model, first, _ in self.usage if first <= at]
        if begun:
            running = [model for model, first, last in self.usage if first <= at <= last]
            return running[0] if len(running) == 1 else begun[-1]
        return self.usage[0][0] if len(self.usage) == 1 else self.model


def to_row(values: Mapping[str, Any], zone: tzinfo | None = None) -> Row:
    """A row from column values or from an exported message; missing ones are None.

    Args:
        values: By column.
        zone: In which times without one are meant; None for the machine's own.
    """
    role = text(values.get("role"))
    row = Row(
        id=_whole(values.get("id")),
        session_id=text(values.get("session_id")),
        role=role,
        at=moment(values.get("timestamp"), zone),
        uid=text(values.get("message_uid")) or None,
    )
    if role == "user":
        row.content = decode_content(values.get("content"))
    elif role == "tool":
        row.content = decode_content(values.get("content"))
        row.call_ids = ids_of(values.get("tool_call_id"))
        row.tool = text(values.get("tool_name")) or text(values.get("name"))
        row.disposition = text(values.get("effect_disposition")) or None
    elif role == "assistant":
        row.calls, row.skipped = decode_calls(values.get("tool_calls"))
    return row


def to_session(
    values: Mapping[str, Any],
    usage: tuple[tuple[str, float, float], ...],
    zone: tzinfo | None = None,
) -> SessionRow:
    """A session from column values or from an exported line."""
    config = _config(values.get("model_config"))
    source = text(values.get("source"))
    model = text(values.get("model"))
    ended_at = moment(values.get("ended_at"), zone)
    spent = spent_of(model, ended_at, [values.get(column) for column in SPENT])
    return SessionRow(
        id=text(values.get("id")),
        model=model or None,
        parent=text(values.get("parent_session_id")) or None,
        started_at=moment(values.get("started_at"), zone),
        end_reason=text(values.get("end_reason")) or None,
        branched=config.get("_branched_from") is not None,
        delegated=config.get("_delegate_from") is not None or source == "subagent",
        usage=usage,
        spent=(spent,) if model and spent.requests else (),
    )


def spent_of(model: Any, at: Any, values: Sequence[Any]) -> SessionSpent:
    """What was used of a model, from the columns of `SPENT`; no tokens and no money are unknown ones."""
    requests, tokens_in, tokens_out = (_count(value) for value in values[:3])
    costs = (number(value) for value in values[3:])
    cost = next((cost for cost in costs if cost is not None and 0 < cost <= _MOST_COST), None)
    counted = bool(tokens_in or tokens_out)
    return SessionSpent(
        model=text(model),
        at=moment(at),
        requests=requests or 0,
        tokens_in=tokens_in if counted else None,
        tokens_out=tokens_out if counted else None,
        cost=cost,
    )


def spent_in(
    connection: sqlite3.Connection, schema: Schema, session_id: str
) -> tuple[SessionSpent, ...]:
    """What a session used by model, where a database says so."""
    if schema.spent is None:
        return ()
    rows = connection.execute(schema.spent, (session_id,)).fetchall()
    return tuple(spent_of(row[0], row[1], row[2:]) for row in rows if row[0])


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value <= _MOST_COUNT else None


def ends_of_blocks(rows: Sequence[Row]) -> dict[int, float]:
    """For each request, by row id: when the last of its results came, where these rows tell."""
    ends: dict[int, float] = {}
    last: dict[str, float] = {}
    for row in reversed(rows):
        if row.role == "tool":
            if row.at is not None:
                last.setdefault(row.session_id, row.at)
        else:
            end = last.pop(row.session_id, None)
            if row.calls and end is not None:
                ends[row.id] = end
    return ends


def decode_content(value: Any) -> Any:
    """The content of a message: Hermes stores a list of parts as JSON behind a mark."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return "" if value is None else value
    if value.startswith(_ENCODED):
        return _parts_of(value[len(_ENCODED) :], value)
    if value.startswith(_TAGGED):
        kind, _, rest = value[len(_TAGGED) :].partition(":")
        return {"j": _parts_of(rest, value), "s": rest}.get(kind, value)
    return value


def _parts_of(encoded: str, whole: str) -> Any:
    try:
        return json.loads(encoded)
    except (ValueError, RecursionError):
        return whole


def decode_calls(value: Any) -> tuple[list[Call] | None, int]:
    """The requests of an assistant's message, from JSON text or a decoded list; and how many are none."""
    if not value:
        return None, 0
    if isinstance(value, (str, bytes)) and is_bushy(value):
        return None, 1
    bad = 0
    try:
        requests = _calls.decode(value) if isinstance(value, (str, bytes)) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        requests = None
    if requests is None:
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str) and value.lstrip()[:1] == '"':  # encoded twice
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return None, 1
        requests, bad = usable_requests(value)
    found = [call for request in requests if (call := to_call(request)) is not None]
    bad += len(requests) - len(found)
    return found[:CALLS_MOST] or None, bad + max(0, len(found) - CALLS_MOST)


def _config(value: Any) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    if not isinstance(value, (str, bytes)) or not value:
        return {}
    try:
        return _configs.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return {}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
