"""Pairs the requests and the results of a conversation; what every document-like source shares."""

import json
from collections import deque
from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

import msgspec

from timmyd.core.model import Call
from timmyd.sources.times import duration_ms, moment

_BRIDGE = "tool_call"
_CALL = "call_"
_ITEM = "fc_"
_WIDEST_ID = 256
CALLS_MOST = 1_000
"""Calls that one message may request; no model asks for a hundred at once."""

_BUSHY_FROM = 200_000
_MOST_BRACKETS = 300_000
_MOST_COMMAS = 1_000_000


class Function(msgspec.Struct, gc=False):
    """The function of a requested call; leaf types are not trusted."""

    name: Any = None
    arguments: Any = ""


class ToolCall(msgspec.Struct, gc=False):
    """A requested call of an assistant message: as chat completions write it, or flat."""

    id: Any = None
    call_id: Any = None
    response_item_id: Any = None
    function: Function | None = None
    name: Any = None
    arguments: Any = ""


class Message(msgspec.Struct, gc=False):
    """One message; what we do not need is skipped while decoding."""

    role: Any = None
    content: Any = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: Any = None
    call_id: Any = None
    name: Any = None
    tool_name: Any = None
    timestamp: Any = None
    effect_disposition: Any = None
    summary: Any = msgspec.field(default=None, name="_compressed_summary")
    persisted: Any = msgspec.field(default=None, name="_db_persisted")
    error: Any = None
    execution_time_ms: Any = None
    params: Any = None


def text(value: Any) -> str:
    """A string as it is, a number in its digits, `""` for anything else."""
    if isinstance(value, str):
        return value
    if not isinstance(value, int) or isinstance(value, bool) or value.bit_length() > _WIDEST_ID:
        return ""
    return str(value)


def as_json(value: Any) -> str:
    """Text as it is, and anything else as JSON; `""` for what is nested too deeply to be written."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return ""


def is_bushy(value: str | bytes) -> bool:
    """Whether JSON of this text could fill a hundred times its size of memory, as no agent's does."""
    if len(value) < _BUSHY_FROM:
        return False
    one, two, comma = ("{", "[", ",") if isinstance(value, str) else (b"{", b"[", b",")
    brackets = value.count(one) + value.count(two)  # type: ignore[arg-type]
    return brackets > _MOST_BRACKETS or value.count(comma) > _MOST_COMMAS  # type: ignore[arg-type]


def ids_of(*values: Any) -> tuple[str, ...]:
    """All ids by which a call may be met, the first one its own.

    Blanks around one are none of it. `call_x|fc_y` is also either part, and `fc_x` may be what Hermes made of `call_x`.
    """
    if len(values) == 1 and type(one := values[0]) is str and "|" not in one:
        one = one.strip()
        if not one.startswith(_ITEM):
            return (one,) if one else ()
    found = [whole for value in values if (whole := text(value).strip())]
    found += [part for whole in found if "|" in whole for part in whole.split("|", 1) if part]
    found += [_CALL + one[len(_ITEM) :] for one in found if one.startswith(_ITEM)]
    return tuple(dict.fromkeys(found)) if len(found) > 1 else tuple(found)


def to_call(request: ToolCall) -> Call | None:
    """The call that a message requests; None if there is no name in it, so that it cannot be one.

    `tool_call` stands for another tool, which its arguments name.
    """
    function = request.function
    if function is None or (function.name is None and request.name is not None):
        name, arguments = request.name, request.arguments
    else:
        name, arguments = function.name, function.arguments
    if name is None or not (isinstance(name, str) or text(name)):
        return None
    tool, said = text(name), as_json(arguments)
    if tool == _BRIDGE:
        tool, said = _crossed(tool, said)
    call_id = request.id
    if type(call_id) is str and call_id == request.call_id and call_id.startswith(_CALL):
        item = request.response_item_id
        same = item is None or item == _ITEM + call_id[len(_CALL) :]
        if same and "|" not in call_id and not call_id[-1].isspace():
            return Call(call_id, tool, said)
    ids = ids_of(call_id, request.call_id, request.response_item_id)
    return Call(ids[0] if ids else "", tool, said, aliases=ids[1:])


def _crossed(tool: str, arguments: str) -> tuple[str, str]:
    if is_bushy(arguments):
        return tool, arguments
    try:
        value = json.loads(arguments)
        name, inner = value["name"], value["arguments"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return tool, arguments
    if not isinstance(name, str) or not name or name == _BRIDGE:
        return tool, arguments
    return name, as_json(inner)


class Conversation:
    """Walks messages in order and keeps the calls that they request, with the results paired in.

    Attributes:
        calls: The calls, in the order of their requests.
        turns: How many messages of the user it has.
        opening: How many calls its first turn with calls ended after; 0 until then.
        opening_words: What the user said before them.
        compacted: A summary of dropped messages was met.
        skipped: How many elements could not be used, by reason.

    Results belong to a request by any of its ids, within the block of the request first: neither
    their order nor the name that they carry can be relied on.
    """

    def __init__(self, *, plain: bool, zone: tzinfo | None = None) -> None:
        """Start an empty conversation.

        Args:
            plain: A result without a request is a call of its own (the `session` form).
            zone: In which times without one are meant; None for the machine's own.
        """
        self.calls: list[Call] = []
        self.turns = 0
        self.opening = 0
        self.opening_words: list[str] = []
        self.compacted = False
        self.skipped: dict[str, int] = {}
        self._plain = plain
        self._zone = zone
        self._block: list[Call] = []
        self._open: dict[str, deque[Call]] = {}
        self._late: dict[str, deque[Call]] = {}
        self._unusable: set[str] = set()

    def add(self, message: Message) -> None:
        """Take the next message."""
        role = message.role
        if role == "tool":
            self._result(message)
            return
        if self._block:
            self._close_block()
        if role == "user":
            self.turns += 1
            if not self.calls:
                self.opening_words.append(as_json(message.content))
        if not self.opening and not message.tool_calls:
            self.opening = len(self.calls)
        if message.summary:
            self.compacted = True
        if role == "assistant" and message.tool_calls:
            for request in message.tool_calls[:CALLS_MOST]:
                self._request(request)
            self.skip("too_many_calls", len(message.tool_calls) - CALLS_MOST)

    def skip(self, reason: str, count: int = 1) -> None:
        """Count elements that cannot be used."""
        if count > 0:
            self.skipped[reason] = self.skipped.get(reason, 0) + count

    def _request(self, request: ToolCall) -> None:
        call = to_call(request)
        if call is None:
            self.skip("bad_request")
            self._unusable.update(ids_of(request.id, request.call_id, request.response_item_id))
            return
        call.compacted = self.compacted
        self.calls.append(call)
        self._block.append(call)
        self._open.setdefault(call.call_id, deque()).append(call)
        for alias in call.aliases:
            self._open.setdefault(alias, deque()).append(call)

    def _result(self, message: Message) -> None:
        call_id = message.tool_call_id
        ids = ids_of(call_id) if call_id else ids_of(message.call_id)
        name = text(message.name) or text(message.tool_name)
        call = self._claim(ids, name)
        if call is None:
            if not self._plain:
                if self._unusable.isdisjoint(ids):
                    self.skip("result_without_request")
                return
            call = Call(
                call_id=ids[0] if ids else "",
                tool=name,
                arguments=as_json(message.params if message.params is not None else {}),
            )
            self.calls.append(call)
        call.content = message.content
        if call.content is None:
            call.content = ""
        disposition = message.effect_disposition
        call.disposition = disposition if isinstance(disposition, str) else None
        call.at = moment(message.timestamp, self._zone)
        if call.tool == _BRIDGE and name:
            call.tool = name
        if self._plain:
            _plain_facts(call, message)

    def _claim(self, ids: tuple[str, ...], tool: str) -> Call | None:
        """The call that a result answers; without an id, the next of its tool in the block."""
        if ids in {(), ("",)}:
            waiting = [call for call in self._block if call.content is None]
            return (
                next((call for call in waiting if call.tool == tool), waiting[0])
                if waiting
                else None
            )
        for waiting_calls in (self._open, self._late):
            for call_id in ids:
                calls = waiting_calls.get(call_id)
                while calls:
                    call = calls.popleft()
                    if call.content is None:
                        return call
        return None

    def _close_block(self) -> None:
        """What has no result yet may still get one, but without an id nothing says which."""
        for call_id, calls in self._open.items():
            if call_id and calls:
                self._late.setdefault(call_id, deque()).extend(calls)
        self._open.clear()
        self._block.clear()


def _plain_facts(call: Call, message: Message) -> None:
    if message.error is not None:
        call.verdict = "error" if message.error else "ok"
    elif message.content is None:
        call.verdict = "ok"
    call.latency_ms = duration_ms(message.execution_time_ms)
    if message.params is not None:
        call.arguments = as_json(message.params)


def converse(
    messages: Sequence[Message], *, plain: bool = False, zone: tzinfo | None = None
) -> Conversation:
    """The conversation of all `messages`."""
    conversation = Conversation(plain=plain, zone=zone)
    for message in messages:
        conversation.add(message)
    return conversation
