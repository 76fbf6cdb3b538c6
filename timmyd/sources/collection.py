"""PURE: a file of several sessions, however they were put together: a list, wrapped, one after the other, a transcript."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from timmyd.errors import SessionError

WRAPPERS: Final = ("sessions", "conversations", "exports", "items", "data", "results")
"""Members of an object that may hold the sessions."""

_META: Final = "session_meta"
_DEEPEST: Final = 4
_BEGINS: Final = re.compile(r"(?<=\n)[{\[]")


class Collected(NamedTuple):
    """One session of a collection, decoded.

    Attributes:
        form: `export` as `hermes sessions export` writes it, `session` as one writes it to a file of
            its own, `file` where the file is such a one.
        value: The object.
    """

    form: Literal["export", "session", "file"]
    value: dict[str, Any]


def decode(data: bytes, *, name: str, skipped: dict[str, int]) -> list[Collected]:
    """All sessions that a file holds; empty where it holds none.

    Args:
        data: The whole file.
        name: Of the file, without its ending: the id of the session of a transcript, which has none.
        skipped: Gets how much of it could not be used, by reason.

    Raises:
        SessionError: It is no JSON; with the place.
    """
    values = list(_values(data, skipped))
    found = [session for value in values for session in _sessions(value, 0)]
    if len(values) == len(found) == 1 and found[0] == Collected("session", values[0]):
        return [Collected("file", values[0])]
    messages = [value for value in values if isinstance(value, dict) and "role" in value]
    if not found and len(values) == 1 and isinstance(values[0], list):
        messages = [value for value in values[0] if isinstance(value, dict) and "role" in value]
    return found or ([_transcript(messages, name)] if messages else [])


def _values(data: bytes, skipped: dict[str, int]) -> Iterator[Any]:
    """JSON values one after the other, on a line each or not; what is broken costs only itself.

    Behind it they go on where a line begins with an object or a list, as nothing within one does.
    """
    text = data.decode("utf-8-sig", "surrogatepass" if b"\xed" in data else "replace")
    decoder = json.JSONDecoder()
    place, size = 0, len(text)
    read = False
    broken: tuple[int, Exception] | None = None
    while True:
        while place < size and text[place] in " \t\r\n\0,\x1e\ufeff":
            place += 1
        if place >= size:
            break
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            broken = broken or (place, error)
            skipped["not_json"] = skipped.get("not_json", 0) + 1
            begins = _BEGINS.search(text, place + 1)
            place = size if begins is None else begins.start()
            continue
        read = True
        yield value
    if broken is not None and not read:
        words = "expected JSON, found something else"
        raise SessionError("not_json", f"character {broken[0]}", words) from broken[1]


def _sessions(value: Any, depth: int) -> Iterator[Collected]:
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for item in value:
            yield from _sessions(item, depth + 1)
        return
    if not isinstance(value, dict) or "role" in value:
        return
    if isinstance(value.get("messages"), list) or isinstance(value.get("segments"), list):
        is_export = isinstance(value.get("id"), str) and "session_id" not in value
        yield Collected("export" if is_export else "session", value)
        return
    if value and all(isinstance(one, dict) and "messages" in one for one in value.values()):
        yield from _sessions(list(value.values()), depth + 1)
        return
    for name in WRAPPERS:
        inner = value.get(name)
        if isinstance(inner, dict):
            inner = list(inner.values()) if "messages" not in inner else [inner]
        if isinstance(inner, list):
            yield from _sessions(inner, depth + 1)


def _transcript(messages: list[dict[str, Any]], name: str) -> Collected:
    """What old gateways kept as `<session id>.jsonl`: a message a line."""
    meta = next((message for message in messages if message.get("role") == _META), {})
    times = [message["timestamp"] for message in messages if message.get("timestamp")]
    session = {
        "session_id": name,
        "model": meta.get("model"),
        "platform": meta.get("platform"),
        "session_start": times[0] if times else None,
        "last_updated": times[-1] if times else None,
        "messages": [message for message in messages if message.get("role") != _META],
    }
    return Collected("session", session)
