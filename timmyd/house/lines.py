"""PURE: a telemetry line as bytes, cut to its limits, and the file name of a session."""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

LONGEST_LINE_BYTES = 4095
_LONGEST = {
    "session_id": 256, "call_id": 256, "turn": 200, "tool": 128, "model": 128, "parent": 256,
}  # fmt: skip
_LONGEST_OTHER = 80
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_SHORT = 48
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_FILE_NAME = 96
_DIGEST_DIGITS = 12


def file_name(session_id: str) -> str:
    """The session id made safe for a file name; different ids never share a file."""
    safe = _UNSAFE.sub("_", session_id)[:_LONGEST_FILE_NAME]
    if safe != session_id or not safe:
        safe += (
            "_" + sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS]
        )
    return f"{safe}.jsonl"


def encoded(line: Mapping[str, Any]) -> bytes | None:
    """The line's bytes, its texts cut to their limits; None if it is too long even when cut short."""
    for most in (_LONGEST_OTHER, _SHORT):
        cut = {key: _cut(key, value, most) for key, value in line.items()}
        data = _encode(cut).encode("utf-8", "replace") + b"\n"
        if len(data) <= LONGEST_LINE_BYTES:
            return data
    return None


def _cut(key: str, value: Any, most: int) -> Any:
    if not isinstance(value, str):
        return value
    return value[: most if most == _SHORT else _LONGEST.get(key, most)]
