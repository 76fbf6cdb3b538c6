"""The rows of Hermes' `messages` and `sessions` tables as plain values; nothing in them is trusted."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from timmyd.sources.messages import ToolCall, number, text

_ENCODED: Final = "\0json:"
_MOST_CALLS: Final = 1_000
_BRIDGE: Final = "tool_call"

_calls = msgspec.json.Decoder(list[ToolCall])
_configs = msgspec.json.Decoder(dict[str, Any])


class Row(msgspec.Struct, gc=False):
    """One message as Hermes stored it.

    Attributes:
        id: Grows in the order of insertion; copies get new ones.
        at: When it was inserted, or for a copy perhaps when its original was, Unix seconds.
        content: Of a tool's result only; everything else is never read.
        call_id: Which request a result answers, `""` where the provider sent no id.
        calls: The requests of an assistant's message.
        tool: The tool's name beside a result, if it stands there.
        uid: Hermes' own id of the message (0.22), which a copy keeps.
    """

    id: int
    session_id: str
    role: str
    at: float | None
    content: Any = None
    call_id: str = ""
    calls: list[ToolCall] | None = None
    tool: str = ""
    disposition: str | None = None
    uid: str | None = None


class SessionRow(msgspec.Struct, gc=False):
    """One session as Hermes stored it.

    Attributes:
        parent: The session that it continues, was branched from, or was delegated by.
        branched: It says of itself that it is a branch.
        delegated: It does a task for its parent: work of its own.
        end_reason: Why it ended, `compression` where another continues it.
        usage: (model, first use, last use) by model, in the order of first use.
    """

    id: str
    model: str | None = None
    parent: str | None = None
    started_at: float | None = None
    end_reason: str | None = None
    branched: bool = False
    delegated: bool = False
    usage: tuple[tuple[str, float, float], ...] = ()

    def model_at(self, at: float) -> str | None:
        """The model that answered at a time: `/model` changes it in mid-session."""
        begun = [model for model, first, _ in self.usage if first <= at]
        if begun:
            running = [model for model, first, last in self.usage if first <= at <= last]
            return running[0] if len(running) == 1 else begun[-1]
        return self.usage[0][0] if len(self.usage) == 1 else self.model


def to_row(values: Mapping[str, Any]) -> Row:
    """A row from column values or from an exported message; missing ones are None."""
    role = text(values.get("role"))
    row = Row(
        id=_whole(values.get("id")),
        session_id=text(values.get("session_id")),
        role=role,
        at=time_of(values.get("timestamp")),
        uid=text(values.get("message_uid")) or None,
    )
    if role == "tool":
        row.content = decode_content(values.get("content"))
        row.call_id = text(values.get("tool_call_id"))
        row.tool = text(values.get("tool_name")) or text(values.get("name"))
        row.disposition = text(values.get("effect_disposition")) or None
    elif role == "assistant":
        row.calls = decode_calls(values.get("tool_calls"))
    return row


def to_session(
    values: Mapping[str, Any], usage: tuple[tuple[str, float, float], ...]
) -> SessionRow:
    """A session from column values or from an exported line."""
    config = _config(values.get("model_config"))
    source = text(values.get("source"))
    return SessionRow(
        id=text(values.get("id")),
        model=text(values.get("model")) or None,
        parent=text(values.get("parent_session_id")) or None,
        started_at=time_of(values.get("started_at")),
        end_reason=text(values.get("end_reason")) or None,
        branched=config.get("_branched_from") is not None,
        delegated=config.get("_delegate_from") is not None or source == "subagent",
        usage=usage,
    )


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
    if not value.startswith(_ENCODED):
        return value
    try:
        return json.loads(value[len(_ENCODED) :])
    except (ValueError, RecursionError):
        return value


def decode_calls(value: Any) -> list[ToolCall] | None:
    """The requests of an assistant's message, from JSON text or from a decoded list."""
    if not value:
        return None
    try:
        if isinstance(value, (str, bytes)):
            try:
                found = _calls.decode(value)
            except msgspec.DecodeError:
                found = _convert(json.loads(value))
        else:
            found = _convert(value)
    except (ValueError, TypeError, RecursionError, msgspec.ValidationError):
        return None
    for call in found:
        _cross_bridge(call)
    return found[:_MOST_CALLS] or None


def _convert(value: Any) -> list[ToolCall]:
    if isinstance(value, str):  # encoded twice
        value = json.loads(value)
    if isinstance(value, dict):
        value = [value]
    return [
        msgspec.convert(item, ToolCall)
        for item in (value if isinstance(value, list) else ())
        if isinstance(item, dict)
    ]


def _cross_bridge(call: ToolCall) -> None:
    """`tool_call` stands for another tool, which its arguments name."""
    function = call.function
    if function.name != _BRIDGE or not isinstance(function.arguments, str):
        return
    try:
        inner = json.loads(function.arguments)
        name, arguments = inner["name"], inner["arguments"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return
    if isinstance(name, str) and name and name != _BRIDGE:
        function.name = name
        function.arguments = arguments if isinstance(arguments, str) else json.dumps(arguments)


def _config(value: Any) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    if not isinstance(value, (str, bytes)) or not value:
        return {}
    try:
        return _configs.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return {}


def time_of(value: Any) -> float | None:
    """A time as Hermes stores it, Unix seconds; None if it is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    found = number(value)
    return found if found is not None and found > 0 else None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
