"""Any other `*.json` with `messages`: the plain form of a session, which may judge its own results."""

from datetime import tzinfo
from typing import Any

import msgspec

from timmyd.core.model import Session
from timmyd.errors import SessionError
from timmyd.sources.decoding import Content, decode_lenient, with_usable_messages, wrong_type
from timmyd.sources.messages import Message, converse, text
from timmyd.sources.snapshot import opening
from timmyd.sources.times import is_naive, moment


class _PlainSession(msgspec.Struct):
    messages: list[Message] | None = None
    session_id: Any = None
    model: Any = None
    platform: Any = None
    started_at: Any = None
    session_start: Any = None
    updated_at: Any = None
    last_updated: Any = None


_plain = msgspec.json.Decoder(_PlainSession)


def decode(data: Content, *, zone: tzinfo | None = None, fallback_id: str = "") -> Session | None:
    """Decode a plain session; None if the file is another program's JSON (no `messages`).

    Args:
        data: The whole file.
        zone: In which its naive times are meant; None for the machine's own.
        fallback_id: Stands for a missing `session_id`; the file's name without its ending.

    Raises:
        SessionError: Not JSON, or `messages` is no list of objects.
    """
    skipped: dict[str, int] = {}
    found = _decode(data, skipped)
    return None if found is None else _session(found, zone, fallback_id, skipped)


def from_dict(
    value: dict[str, Any], *, zone: tzinfo | None = None, fallback_id: str = ""
) -> Session | None:
    """The same for a session that is a dict already.

    Raises:
        SessionError: `messages` is no list of objects.
    """
    skipped: dict[str, int] = {}
    try:
        found = msgspec.convert(with_usable_messages(value, skipped), _PlainSession, strict=False)
    except msgspec.ValidationError as error:
        raise wrong_type(error) from None
    return None if found.messages is None else _session(found, zone, fallback_id, skipped)


def _decode(data: Content, skipped: dict[str, int]) -> _PlainSession | None:
    try:
        found: _PlainSession = decode_lenient(data, _plain, skipped)
    except SessionError as error:
        if error.code == "wrong_type" and error.place == "$":
            return None
        raise
    return None if found.messages is None else found


def _session(
    found: _PlainSession, zone: tzinfo | None, fallback_id: str, skipped: dict[str, int]
) -> Session:
    conversation = converse(found.messages or [], plain=True, zone=zone)
    for reason, n in skipped.items():
        conversation.skipped[reason] = conversation.skipped.get(reason, 0) + n
    start = found.started_at if found.started_at is not None else found.session_start
    updated = found.updated_at if found.updated_at is not None else found.last_updated
    return Session(
        source="session",
        session_id=text(found.session_id) or fallback_id,
        named=bool(text(found.session_id)),
        model=text(found.model) or None,
        platform=text(found.platform) or None,
        started_at=moment(start, zone),
        updated_at=moment(updated, zone),
        naive=is_naive(updated),
        turns=conversation.turns,
        opening=opening(conversation),
        calls=conversation.calls,
        skipped=conversation.skipped,
    )
