"""Pairs the requests and the results of a conversation; what every document-like source shares."""

import json
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from timmyd.core.model import Call
from timmyd.errors import SessionError

Content = bytes | memoryview
"""A file's bytes; a view must begin where its buffer begins."""

_BRIDGE = "tool_call"
_BLANK = b" \t\r\n\0"
_LONGEST_MS = 31 * 86_400_000.0
_WIDEST_ID = 256


class Function(msgspec.Struct, gc=False):
    """The function of a requested call; leaf types are not trusted."""

    name: Any = ""
    arguments: Any = ""


class ToolCall(msgspec.Struct, gc=False):
    """A requested call of an assistant message."""

    id: Any = None
    function: Function = msgspec.field(default_factory=Function)


class Message(msgspec.Struct, gc=False):
    """One message; what we do not need is skipped while decoding."""

    role: Any = None
    content: Any = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: Any = None
    name: Any = None
    tool_name: Any = None
    timestamp: Any = None
    effect_disposition: Any = None
    summary: Any = msgspec.field(default=None, name="_compressed_summary")
    persisted: Any = msgspec.field(default=None, name="_db_persisted")
    error: Any = None
    execution_time_ms: Any = None
    params: Any = None


def number(value: Any) -> float | None:
    """A finite number as a float; None for anything else, also for booleans."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if found - found == 0.0 else None


def moment(value: Any) -> float | None:
    """Unix seconds, or None for what can be no time of an event."""
    found = number(value)
    return found if found is not None and found > 0 else None


def duration_ms(value: Any) -> float | None:
    """Milliseconds, or None for what no call can have taken: sums of such would overflow."""
    found = number(value)
    return found if found is not None and 0 <= found <= _LONGEST_MS else None


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


class Conversation:
    """Walks messages in order and keeps the calls that they request, with the results paired in.

    Attributes:
        calls: The calls, in the order of their requests.
        turns: How many messages of the user it has.
        opening: How many calls its first turn with calls ended after; 0 until then.
        opening_words: What the user said before them.
        compacted: A summary of dropped messages was met.

    Results belong to a request by their id, within the block of the request first: neither their
    order nor the name that they carry can be relied on.
    """

    def __init__(self, *, plain: bool) -> None:
        """Start an empty conversation.

        Args:
            plain: A result without a request is a call of its own (the `session` form).
        """
        self.calls: list[Call] = []
        self.turns = 0
        self.opening = 0
        self.opening_words: list[str] = []
        self.compacted = False
        self._plain = plain
        self._open: dict[str, deque[Call]] = {}
        self._late: dict[str, deque[Call]] = {}

    def add(self, message: Message) -> None:
        """Take the next message."""
        role = message.role
        if role == "tool":
            self._result(message)
            return
        if self._open:
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
            for request in message.tool_calls:
                call = Call(
                    call_id=text(request.id),
                    tool=text(request.function.name),
                    arguments=as_json(request.function.arguments),
                    compacted=self.compacted,
                )
                self.calls.append(call)
                self._open.setdefault(call.call_id, deque()).append(call)

    def _result(self, message: Message) -> None:
        call = self._claim(text(message.tool_call_id))
        if call is None:
            if not self._plain:
                return
            call = Call(
                call_id=text(message.tool_call_id),
                tool=text(message.name) or text(message.tool_name),
                arguments=as_json(message.params if message.params is not None else {}),
            )
            self.calls.append(call)
        call.content = message.content
        if call.content is None:
            call.content = ""
        disposition = message.effect_disposition
        call.disposition = disposition if isinstance(disposition, str) else None
        call.at = moment(message.timestamp)
        if call.tool == _BRIDGE:
            self._cross_bridge(call, message)
        if self._plain:
            _plain_facts(call, message)

    def _claim(self, call_id: str) -> Call | None:
        for waiting in (self._open, self._late):
            calls = waiting.get(call_id)
            if calls:
                return calls.popleft()
        return None

    def _close_block(self) -> None:
        """What has no result yet may still get one, but without an id nothing says which."""
        for call_id, calls in self._open.items():
            if call_id and calls:
                self._late.setdefault(call_id, deque()).extend(calls)
        self._open.clear()

    @staticmethod
    def _cross_bridge(call: Call, message: Message) -> None:
        """`tool_call` stands for another tool, which its result names and its arguments hold."""
        name = text(message.name) or text(message.tool_name)
        if not name or name == _BRIDGE:
            return
        call.tool = name
        try:
            inner = json.loads(call.arguments)["arguments"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        call.arguments = as_json(inner)


def _plain_facts(call: Call, message: Message) -> None:
    if message.error is not None:
        call.verdict = "error" if message.error else "ok"
    elif message.content is None:
        call.verdict = "ok"
    call.latency_ms = duration_ms(message.execution_time_ms)
    if message.params is not None:
        call.arguments = as_json(message.params)


def converse(messages: Sequence[Message], *, plain: bool = False) -> Conversation:
    """The conversation of all `messages`."""
    conversation = Conversation(plain=plain)
    for message in messages:
        conversation.add(message)
    return conversation


def decode_lenient(data: Content, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Decode with `decoder`; where strict JSON fails, once more as leniently as Hermes writes.

    Hermes can leave NaN, lone surrogates and a byte order mark, which the fast decoder refuses.

    Raises:
        SessionError: Not JSON, nested too deeply, or of another shape; with the place.
    """
    if not bytes(data[:64]).strip(_BLANK) and not bytes(data).strip(_BLANK):
        raise SessionError("empty", "byte 0", "expected a JSON object, found nothing")
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _wrong_type(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        first = error
    except RecursionError:
        raise SessionError(
            "too_deep", "$", "expected a conversation, found endless nesting"
        ) from None
    try:
        value = json.loads(bytes(data).decode("utf-8-sig", "surrogatepass"))
        return msgspec.convert(value, decoder.type, strict=True)
    except msgspec.ValidationError as error:
        raise _wrong_type(error) from None
    except RecursionError:
        raise SessionError(
            "too_deep", "$", "expected a conversation, found endless nesting"
        ) from None
    except ValueError:
        raise _not_json(first, len(data)) from None


def _wrong_type(error: msgspec.ValidationError) -> SessionError:
    words, _, place = str(error).partition(" - at ")
    return SessionError("wrong_type", place.strip("`") or "$", words.replace("`", ""))


def _not_json(error: Exception, size: int) -> SessionError:
    words = str(error)
    if "truncated" in words:
        return SessionError("torn", f"byte {size}", "expected more JSON, found the end of the file")
    position = words.rpartition("(byte ")[2].rstrip(")")
    place = f"byte {position}" if position.isdigit() else "byte 0"
    return SessionError("not_json", place, "expected JSON, found something else")
