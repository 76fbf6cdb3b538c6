"""PURE: from the bytes of a file to the messages in it; what cannot be used costs only itself, and is counted."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from timmyd.errors import SessionError
from timmyd.sources.density import refuse_dense
from timmyd.sources.messages import Message, ToolCall

Content = bytes | memoryview
"""A file's bytes; a view must begin where its buffer begins."""

_LENIENT_BYTES = 16 << 20
"""Bytes of a document that is decoded leniently, which takes ten times its size of memory."""

_BLANK = b" \t\r\n\0"


def usable_messages(values: Sequence[Any], skipped: dict[str, int]) -> list[Message]:
    """The messages among decoded values; what is none costs only itself, and is counted."""
    found = []
    for value in values:
        try:
            found.append(msgspec.convert(value, Message))
        except msgspec.ValidationError:
            if not isinstance(value, dict):
                skipped["bad_message"] = skipped.get("bad_message", 0) + 1
                continue
            message = msgspec.convert({**value, "tool_calls": None}, Message)
            message.tool_calls, bad = usable_requests(value.get("tool_calls"))
            if bad:
                skipped["bad_request"] = skipped.get("bad_request", 0) + bad
            found.append(message)
    return found


def usable_requests(value: Any) -> tuple[list[ToolCall], int]:
    """The requests in a decoded value, or in its JSON text; and how many elements are none."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return [], 1
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return [], int(value is not None)
    found = []
    for item in value:
        if not isinstance(item, dict):
            continue
        try:
            found.append(msgspec.convert(item, ToolCall))
        except msgspec.ValidationError:
            found.append(msgspec.convert({**item, "function": None}, ToolCall))
    return found, len(value) - len(found)


def decode_lenient(
    data: Content, decoder: msgspec.json.Decoder[Any], skipped: dict[str, int] | None = None
) -> Any:
    """Decode with `decoder`; where strict JSON fails, once more as leniently as Hermes writes.

    Hermes can leave NaN, lone surrogates and a byte order mark, which the fast decoder refuses.

    Args:
        data: The file.
        decoder: Of what it should be.
        skipped: Given, messages and requests of another shape cost only themselves, and are counted.

    Raises:
        SessionError: Not JSON, nested too deeply, or of another shape; with the place.
    """
    if not bytes(data[:64]).strip(_BLANK) and not bytes(data).strip(_BLANK):
        raise SessionError("empty", "byte 0", "expected a JSON object, found nothing")
    refuse_dense(data)
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        first = error
    except RecursionError:
        raise _too_deep() from None
    if len(data) > _LENIENT_BYTES:
        raise _not_json(first, len(data))
    try:
        value = json.loads(bytes(data).decode("utf-8-sig", "surrogatepass"))
        if skipped is not None:
            value = with_usable_messages(value, skipped)
        return msgspec.convert(value, decoder.type, strict=True)
    except msgspec.ValidationError as error:
        raise wrong_type(error) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise _not_json(first, len(data)) from None


def with_usable_messages(value: Any, skipped: dict[str, int]) -> Any:
    """A decoded document with only those of its messages that are some."""
    messages = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(messages, list):
        return value
    return {**value, "messages": usable_messages(messages, skipped)}


def _too_deep() -> SessionError:
    return SessionError("too_deep", "$", "expected a conversation, found endless nesting")


def wrong_type(error: msgspec.ValidationError) -> SessionError:
    """The same in our words, with the place."""
    words, _, place = str(error).partition(" - at ")
    return SessionError("wrong_type", place.strip("`") or "$", words.replace("`", ""))


def _not_json(error: Exception, size: int) -> SessionError:
    words = str(error)
    if "truncated" in words:
        return SessionError("torn", f"byte {size}", "expected more JSON, found the end of the file")
    position = words.rpartition("(byte ")[2].rstrip(")")
    place = f"byte {position}" if position.isdigit() else "byte 0"
    return SessionError("not_json", place, "expected JSON, found something else")
