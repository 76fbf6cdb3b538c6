"""Any other `*.json` with `messages`: the plain form of a session, which may judge its own results."""

from datetime import tzinfo
from typing import Any

import msgspec

from timmyd.core.model import Session
from timmyd.errors import SessionError
from timmyd.sources.messages import Content, Message, converse, decode_lenient, moment, text
from timmyd.sources.snapshot import local_time, opening


class _Plain(msgspec.Struct):
    messages: list[Message] | None = None
    session_id: Any = None
    model: Any = None
    platform: Any = None
    started_at: Any = None
    session_start: Any = None
    updated_at: Any = None
    last_updated: Any = None


_plain = msgspec.json.Decoder(_Plain)


def decode(data: Content, *, zone: tzinfo | None = None, fallback_id: str = "") -> Session | None:
    """Decode a plain session; None if the file is another program's JSON (no `messages`).

    Args:
        data: The whole file.
        zone: In which its naive times are meant; None for the machine's own.
        fallback_id: Stands for a missing `session_id`; the file's name without its ending.

    Raises:
        SessionError: Not JSON, or `messages` is no list of objects.
    """
    found = _decode(data)
    return None if found is None else _session(found, zone, fallback_id)


def from_dict(
    value: dict[str, Any], *, zone: tzinfo | None = None, fallback_id: str = ""
) -> Session | None:
    """The same for a session that is a dict already.

    Raises:
        SessionError: `messages` is no list of objects.
    """
    try:
        found = msgspec.convert(value, _Plain, strict=False)
    except msgspec.ValidationError as error:
        words, _, place = str(error).partition(" - at ")
        raise SessionError("wrong_type", place.strip("`") or "$", words.replace("`", "")) from None
    return None if found.messages is None else _session(found, zone, fallback_id)


def _decode(data: Content) -> _Plain | None:
    try:
        found: _Plain = decode_lenient(data, _plain)
    except SessionError as error:
        if error.code == "wrong_type" and error.place == "$":
            return None
        raise
    return None if found.messages is None else found


def _session(found: _Plain, zone: tzinfo | None, fallback_id: str) -> Session:
    conversation = converse(found.messages or [], plain=True)
    start = found.started_at if found.started_at is not None else found.session_start
    updated = found.updated_at if found.updated_at is not None else found.last_updated
    return Session(
        source="session",
        session_id=text(found.session_id) or fallback_id,
        model=text(found.model) or None,
        platform=text(found.platform) or None,
        started_at=_time(start, zone),
        updated_at=_time(updated, zone),
        turns=conversation.turns,
        opening=opening(conversation),
        calls=conversation.calls,
    )


def _time(value: Any, zone: tzinfo | None) -> float | None:
    return local_time(value, zone) if isinstance(value, str) else moment(value)
