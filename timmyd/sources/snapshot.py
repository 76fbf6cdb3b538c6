"""`session_*.json`: a conversation as Hermes rewrites it whole, so its read part is skipped by proof.

With `indent=2` a raw newline cannot stand in a string and nested keys stand deeper, so the start of
the messages and the end of the last settled one are found exactly, and xxh3_64 over the bytes
between proves them unchanged. Any doubt falls back to decoding all of it.
"""

import mmap
from datetime import tzinfo
from typing import Any, NamedTuple

import msgspec
import xxhash

from timmyd.core.counting.identity import hash_text
from timmyd.core.model import Checkpoint, Session
from timmyd.errors import SessionError
from timmyd.sources.decoding import Content, decode_lenient
from timmyd.sources.density import refuse_dense
from timmyd.sources.messages import Conversation, Message, as_json, converse, text
from timmyd.sources.times import is_naive, moment

TAIL_FROM_BYTES = 256 * 1024
"""Below this size decoding the whole file is cheaper than keeping a checkpoint."""

_MESSAGES = b'\n  "messages": [\n'
_PERSISTED = b'\n      "_db_persisted": true'
_MESSAGE_END = b"\n    }"
_MESSAGES_END = b"\n  ]"
_GIST = 256


class _Header(msgspec.Struct):
    session_id: Any
    model: Any = None
    platform: Any = None
    session_start: Any = None
    last_updated: Any = None


class _Snapshot(_Header, kw_only=True):
    messages: list[Message]


class _Tail(msgspec.Struct):
    messages: list[Message]
    session_id: Any = msgspec.UNSET
    model: Any = msgspec.UNSET
    platform: Any = msgspec.UNSET
    session_start: Any = msgspec.UNSET
    last_updated: Any = msgspec.UNSET


_snapshots = msgspec.json.Decoder(_Snapshot)
_headers = msgspec.json.Decoder(_Header)
_tails = msgspec.json.Decoder(_Tail)


def decode(
    data: Content,
    *,
    zone: tzinfo | None = None,
    resume: Checkpoint | None = None,
    again: bool = True,
) -> Session:
    """Decode a snapshot, or only what grew after `resume` where that is proven to stand.

    Args:
        data: The whole file.
        zone: In which its naive times are meant; None for the machine's own.
        resume: The checkpoint that the last reading of this file gave.
        again: The file was read before, so it grows, and a checkpoint is worth its making.

    Raises:
        SessionError: The file is no snapshot; with code and place, never content.
    """
    start = -1 if len(data) < TAIL_FROM_BYTES or not again else messages_start(data)
    if start >= 0 and resume is not None:
        grown = _prove(data, start, resume)
        session = None if grown is None else decode_grown(grown, zone=zone)
        if session is not None:
            return session
    skipped: dict[str, int] = {}
    snapshot = decode_lenient(data, _snapshots, skipped)
    session = _session(snapshot, converse(snapshot.messages, zone=zone), zone)
    for reason, n in skipped.items():
        session.skipped[reason] = session.skipped.get(reason, 0) + n
    if start >= 0 and "bad_request" not in session.skipped:
        session.checkpoint = _checkpoint(data, start, snapshot.messages)
    return session


class Grown(NamedTuple):
    """A snapshot whose settled part was proven to be what was read before.

    Attributes:
        head: The file up to the first message.
        tail: What follows the settled part.
        resume: Where that ends.
        proof: The hash over it; goes on with the bytes that settle next.
    """

    head: bytes
    tail: Content
    resume: Checkpoint
    proof: xxhash.xxh3_64


def messages_start(data: Content) -> int:
    """The place of the first message in a file, or in the beginning of one; -1 if it is not there."""
    place = _find(data, _MESSAGES)
    return place if place < 0 else place + len(_MESSAGES)


def decode_grown(grown: Grown, *, zone: tzinfo | None = None) -> Session | None:
    """Decode what grew; None where that is no whole of its own, so that all must be decoded."""
    tail = grown.tail
    whole = tail[1:] if bytes(tail[:1]) == b"," else tail
    refuse_dense(whole)
    try:
        head = grown.head[: -len(_MESSAGES)]
        header = _headers.decode(head.rstrip(b", \n") + b"}")
        messages = _tails.decode(b'{"messages":[' + whole)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    for name in _Header.__struct_fields__:
        if (value := getattr(messages, name)) is not msgspec.UNSET:
            setattr(header, name, value)
    session = _session(header, converse(messages.messages, zone=zone), zone)
    if "bad_request" in session.skipped:
        return None
    session.resumed = resume = grown.resume
    session.opening = None
    if resume.compacted:
        for call in session.calls:
            call.compacted = True
    session.checkpoint = _checkpoint(tail, 0, messages.messages, grown) or resume
    return session


def _whole(data: Content) -> bytes | mmap.mmap:
    """What can be searched: a view is one of the start of a reused buffer."""
    return data if isinstance(data, bytes) else data.obj  # type: ignore[return-value]


def _find(data: Content, pattern: bytes, start: int = 0) -> int:
    return _whole(data).find(pattern, start, len(data))


def _prove(data: Content, start: int, resume: Checkpoint) -> Grown | None:
    """The grown snapshot, if its settled bytes are the very ones that were read before."""
    end = start + resume.offset
    if end >= len(data):
        return None
    proof = xxhash.xxh3_64(memoryview(data)[start:end])
    if proof.intdigest() != resume.digest:
        return None
    return Grown(bytes(data[:start]), bytes(data[end:]), resume, proof)


def _checkpoint(
    data: Content, read: int, messages: list[Message], grown: Grown | None = None
) -> Checkpoint | None:
    """The end of the last message that Hermes will not rewrite any more.

    A message without `_db_persisted` gets that key with the next writing.

    Args:
        data: Holds the messages, from the place `read` on.
        read: Where they begin.
        messages: What was decoded of them.
        grown: What settled before them.
    """
    last = len(messages) - 1
    while last >= 0 and messages[last].persisted is not True:
        last -= 1
    if last < 0 or (last + 1 < len(messages) and messages[last + 1].role == "tool"):
        return None
    settled = messages[: last + 1]
    if _awaits_results(settled):
        return None
    mark = _whole(data).rfind(_PERSISTED, read, max(read, _find(data, _MESSAGES_END, read)))
    end = _find(data, _MESSAGE_END, mark)
    if mark < read or end < 0:
        return None
    end += len(_MESSAGE_END)
    proof = xxhash.xxh3_64() if grown is None else grown.proof
    proof.update(memoryview(data)[read:end])
    before = Checkpoint(0, 0, 0, 0, compacted=False) if grown is None else grown.resume
    return Checkpoint(
        offset=before.offset + end - read,
        digest=proof.intdigest(),
        chain=0,
        calls=before.calls + sum(len(m.tool_calls or ()) for m in settled if m.role == "assistant"),
        compacted=before.compacted or any(m.summary for m in settled),
    )


def _awaits_results(messages: list[Message]) -> bool:
    """Whether results may still follow that belong to a request among these messages."""
    results = 0
    for message in reversed(messages):
        if message.role != "tool":
            return len(message.tool_calls or ()) > results
        results += 1
    return results > 0


def _session(header: _Header, conversation: Conversation, zone: tzinfo | None) -> Session:
    session_id = text(header.session_id)
    if not session_id:
        raise SessionError("wrong_type", "$.session_id", "expected a session id, found nothing")
    return Session(
        source="snapshot",
        session_id=session_id,
        model=text(header.model) or None,
        platform=text(header.platform) or None,
        started_at=moment(header.session_start, zone),
        updated_at=moment(header.last_updated, zone),
        naive=is_naive(header.last_updated),
        start_key=text(header.session_start) or None,
        turns=conversation.turns,
        opening=opening(conversation),
        calls=conversation.calls,
        skipped=conversation.skipped,
    )


def opening(conversation: Conversation) -> int | None:
    """A hash of the first turn with calls, its words, requests, results and their times, once it ended.

    By it the copy that `/branch` makes is recognised where ids repeat. Without times it could be
    the same work done twice, and is counted.
    """
    calls = conversation.calls[: conversation.opening]
    if not calls or any(call.at is None for call in calls):
        return None
    parts = [_gist(words) for words in conversation.opening_words]
    for call in calls:
        parts += (
            call.call_id,
            call.tool,
            _gist(call.arguments),
            _gist(call.content),
            repr(call.at),
        )
    return hash_text("\0".join(parts))


def _gist(value: Any) -> str:
    words = as_json(value)
    return f"{len(words)}:{words[:_GIST]}"
