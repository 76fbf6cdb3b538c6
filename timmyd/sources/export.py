"""`hermes sessions export`: JSON Lines, a session a line with its messages, the same rows as `state.db`.

An export holds what Hermes would show of a conversation, so calls that were compacted or undone
are missing from it.
"""

from collections.abc import Iterator
from datetime import tzinfo
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from timmyd.errors import SessionError
from timmyd.sources.decoding import decode_lenient
from timmyd.sources.state_db_rows import Row, SessionRow, to_row, to_session

LONGEST_LINE: Final = 256 * 1024 * 1024


class ExportHead(msgspec.Struct):
    """An exported session without its messages."""

    id: Any = None
    parent_session_id: Any = None
    model: Any = None
    model_config: Any = None
    source: Any = None
    started_at: Any = None
    end_reason: Any = None


class Exported(NamedTuple):
    """One exported session, with the segments that it continues."""

    rows: list[Row]
    sessions: dict[str, SessionRow]


_lines = msgspec.json.Decoder(dict[str, Any])
_heads = msgspec.json.Decoder(ExportHead)


def is_export(line: bytes) -> bool:
    """Whether the first line of a file looks like that of an export."""
    try:
        value = _lines.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(value.get("id"), str) and isinstance(value.get("messages"), list)


def head(line: bytes) -> SessionRow | None:
    """The session of a line; None where the line is none."""
    try:
        return to_session(msgspec.structs.asdict(_heads.decode(line)), ())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def index(file: BinaryIO) -> tuple[list[tuple[float, int, int]], dict[str, SessionRow]]:
    """(start, offset, size) of every line, oldest first, and all sessions: parents may stand later."""
    lines: list[tuple[float, int, int]] = []
    sessions: dict[str, SessionRow] = {}
    offset = 0
    for line in file:
        if line.strip():
            session = head(line)
            if session is not None:
                sessions[session.id] = session
            started_at = None if session is None else session.started_at
            lines.append((started_at or 0.0, offset, len(line)))
        offset += len(line)
    return sorted(lines), sessions


def decode(line: bytes, zone: tzinfo | None = None) -> Exported:
    """One line of an export.

    Args:
        line: JSON.
        zone: In which times without one are meant; None for the machine's own.

    Raises:
        SessionError: It is none; with code and place, never content.
    """
    if len(line) > LONGEST_LINE:
        raise SessionError("line_too_long", f"byte {LONGEST_LINE}", "expected a shorter line")
    return decode_value(decode_lenient(line, _lines), zone)


def decode_value(value: dict[str, Any], zone: tzinfo | None = None) -> Exported:
    """The same of an exported session that is decoded already.

    Raises:
        SessionError: It is none.
    """
    segments = value.get("segments")
    parts = segments if isinstance(segments, list) and segments else [value]
    rows: list[Row] = []
    sessions: dict[str, SessionRow] = {}
    for part in parts:
        if not isinstance(part, dict):
            raise SessionError("wrong_type", "$.segments", "expected sessions")
        session = to_session(part, (), zone)
        messages = part.get("messages")
        if not session.id or not isinstance(messages, list):
            raise SessionError("wrong_type", "$", "expected a session with an id and messages")
        sessions[session.id] = session
        rows.extend(_rows(messages, session.id, zone))
    return Exported(rows, sessions)


def _rows(messages: list[Any], session_id: str, zone: tzinfo | None) -> Iterator[Row]:
    for place, message in enumerate(messages):
        if isinstance(message, dict):
            row = to_row(message, zone)
            row.session_id = session_id
            row.id = row.id or -1 - place
            yield row
