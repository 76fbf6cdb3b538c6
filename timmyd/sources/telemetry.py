"""`timmy/*.jsonl`: what the house kit recorded (CONTRACT §2), one JSON object a line."""

from collections.abc import Mapping
from typing import Any

import msgspec

from timmyd.errors import SessionError
from timmyd.house.outcome import OUTCOMES
from timmyd.sources.telemetry_schema import (
    CODE,
    HEX16,
    LONGEST_NAME,
    MAJOR,
    SCHEMA,
    SHAPE,
    schema,
)
from timmyd.sources.times import duration_ms, moment, number

__all__ = ["LONGEST_LINE", "MAJOR", "SCHEMA", "Head", "Line", "Telemetry", "decode", "schema"]

LONGEST_LINE = 64 * 1024
"""Bytes; the kit writes lines under 4 KiB, so a longer one is not the kit's."""

HEADS_MOST = 1_000
"""Runs of one file that are remembered; a process that writes is one."""

_MOST_REVISIONS = (1 << 53) - 1
_MOST_RETRIES = 10_000
_MOST_TOKENS = (1 << 32) - 1


class Line(msgspec.Struct):
    """A checked line of one of the three kinds; a field that its kind lacks is None."""

    run: str
    n: int
    at: float
    kind: str
    session_id: str = ""
    tool: str = ""
    call_id: str = ""
    inner: bool = False
    model: str | None = None
    signature: str = ""
    shape: str = ""
    outcome: str = "unknown"
    rule: str = ""
    error_type: str | None = None
    latency_ms: float | None = None
    confidence: float | None = None
    policy: int | None = None
    followed: bool | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    completed: bool = False
    interrupted: bool = False
    reason: str | None = None
    platform: str | None = None
    cron: str | None = None
    skill: str | None = None
    provider: str | None = None
    error_class: str | None = None
    fallback_from: str | None = None
    tokens_cached: int | None = None
    tokens_reasoning: int | None = None
    retry: int | None = None


class Head(msgspec.Struct):
    """The header line of a run: whose session the lines belong to, and the writer's claims.

    Attributes:
        seam: How the kit takes part in tool calls (`timmyd.house.seam`).
        policy: The revision that the run's last call ran under: also that of the turn it ends.
    """

    session_id: str
    house: str | None = None
    kit: str | None = None
    hermes: str | None = None
    parent: str | None = None
    policy: int | None = None
    platform: str | None = None
    cron: str | None = None
    seam: str | None = None


class Telemetry(msgspec.Struct):
    """What a part of a file held.

    Attributes:
        lines: The lines that can be counted, in file order.
        heads: The headers met so far in the file, by run.
        size: Bytes up to the end of the last whole line.
        refused: How many lines could not be used, by code.
        first_refused: Number and code of the first of them, for the operator.
    """

    lines: list[Line]
    heads: dict[str, Head]
    size: int
    refused: dict[str, int]
    first_refused: tuple[int, str] | None = None


class _Raw(msgspec.Struct):
    run: str = ""
    schema: str | None = None
    n: Any = None
    at: Any = None
    kind: Any = None
    session_id: Any = None
    house: Any = None
    kit: Any = None
    hermes: Any = None
    parent: Any = None
    tool: Any = None
    call_id: Any = None
    inner: Any = None
    model: Any = None
    signature: Any = None
    shape: Any = None
    outcome: Any = None
    rule: Any = None
    error_type: Any = None
    latency_ms: Any = None
    confidence: Any = None
    policy: Any = None
    followed: Any = None
    tokens_in: Any = None
    tokens_out: Any = None
    completed: Any = None
    interrupted: Any = None
    reason: Any = None
    platform: Any = None
    cron: Any = None
    skill: Any = None
    seam: Any = None
    provider: Any = None
    error_class: Any = None
    fallback_from: Any = None
    tokens_cached: Any = None
    tokens_reasoning: Any = None
    retry: Any = None


_lines = msgspec.json.Decoder(_Raw)


def decode(data: bytes, heads: Mapping[str, Head], *, is_cut: bool = False) -> Telemetry:
    """Decode the whole lines of `data`; a line that is torn or foreign costs only itself.

    Args:
        data: A part of the file that begins at the start of a line.
        heads: The headers met before this part; of many the newest are kept.
        is_cut: The file goes on behind `data`: what it ends in is no line that is being written.

    Raises:
        SessionError: The file is of a newer major schema: nothing of it is used.
    """
    found = Telemetry([], dict(heads), 0, {})
    whole = data.rfind(b"\n") + 1
    found.size = whole
    if is_cut and not whole:
        found.size, found.refused = len(data), {"line_too_long": 1}
    for place, line in enumerate(data[:whole].split(b"\n")[:-1], start=1):
        if line.strip():
            code = _take(line, found)
            if code is not None:
                found.refused[code] = found.refused.get(code, 0) + 1
                found.first_refused = found.first_refused or (place, code)
    for run in list(found.heads)[: -HEADS_MOST or None]:
        del found.heads[run]
    return found


def _take(line: bytes, found: Telemetry) -> str | None:
    """Take one line; a code says why it cannot be used."""
    if len(line) > LONGEST_LINE:
        return "line_too_long"
    try:
        raw = _lines.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "not_json"
    if not HEX16.fullmatch(raw.run):
        return "bad_run"
    if raw.schema is not None:
        return _take_head(raw, found)
    head = found.heads.get(raw.run)
    if head is None:
        return "no_header"
    checked = _check(raw, head)
    if isinstance(checked, str):
        return checked
    if checked.kind == "end" and checked.policy is None:
        checked.policy = head.policy
    if checked.policy is not None:
        head.policy = checked.policy
    found.lines.append(checked)
    return None


def _take_head(raw: _Raw, found: Telemetry) -> str | None:
    schema = raw.schema or ""
    if not schema.startswith(SCHEMA):
        return "foreign_schema"
    if schema[len(SCHEMA) :].partition(".")[0] != MAJOR:
        raise SessionError(
            "newer_schema", "$.schema", f"expected {SCHEMA}{MAJOR}, found another version"
        )
    session_id = _name(raw.session_id)
    if not session_id:
        return "no_session"
    found.heads[raw.run] = Head(
        session_id, _name(raw.house), _name(raw.kit), _name(raw.hermes), _name(raw.parent),
        platform=_name(raw.platform), cron=_name(raw.cron), seam=_code(raw.seam),
    )  # fmt: skip
    return None


def _check(raw: _Raw, head: Head) -> Line | str:
    at = moment(raw.at)
    if not isinstance(raw.n, int) or isinstance(raw.n, bool) or raw.n < 0 or raw.n >> 62:
        return "bad_number"
    if at is None:
        return "bad_time"
    line = Line(
        run=raw.run,
        n=raw.n,
        at=at,
        kind=raw.kind if isinstance(raw.kind, str) else "",
        session_id=head.session_id,
        model=_name(raw.model),
        latency_ms=duration_ms(raw.latency_ms),
        policy=_count(raw.policy, _MOST_REVISIONS),
        outcome=raw.outcome if isinstance(raw.outcome, str) else "unknown",
        platform=_name(raw.platform) or head.platform,
        cron=_name(raw.cron) or head.cron,
        skill=_name(raw.skill),
    )
    if line.kind == "tool":
        return _check_tool(raw, line)
    if line.kind == "model":
        line.tokens_in = _count(raw.tokens_in, _MOST_TOKENS)
        line.tokens_out = _count(raw.tokens_out, _MOST_TOKENS)
        line.tokens_cached = _count(raw.tokens_cached, _MOST_TOKENS)
        line.tokens_reasoning = _count(raw.tokens_reasoning, _MOST_TOKENS)
        line.provider, line.fallback_from = _name(raw.provider), _name(raw.fallback_from)
        line.error_class, line.retry = _code(raw.error_class), _count(raw.retry, _MOST_RETRIES)
    elif line.kind == "end":
        line.completed, line.interrupted = raw.completed is True, raw.interrupted is True
        line.reason = _code(raw.reason)
    else:
        return "unknown_kind"
    return line


def _check_tool(raw: _Raw, line: Line) -> Line | str:
    tool = _name(raw.tool)
    if tool is None:
        return "no_tool"
    if line.outcome not in OUTCOMES:
        return "bad_outcome"
    if not isinstance(raw.signature, str) or not HEX16.fullmatch(raw.signature):
        return "bad_signature"
    shape = raw.shape if isinstance(raw.shape, str) else ""
    if not SHAPE.fullmatch(shape):
        return "bad_shape"
    line.tool, line.signature, line.shape = tool, raw.signature, shape
    line.call_id = raw.call_id if isinstance(raw.call_id, str) else ""
    line.inner = raw.inner is True
    line.rule = _code(raw.rule) or "given"
    line.error_type = _code(raw.error_type)
    confidence = number(raw.confidence)
    line.confidence = confidence if confidence is not None and 0 <= confidence <= 1 else None
    line.followed = raw.followed if isinstance(raw.followed, bool) else None
    return line


def _name(value: Any) -> str | None:
    if not isinstance(value, str) or not value or len(value) > LONGEST_NAME:
        return None
    return value


def _code(value: Any) -> str | None:
    return value if isinstance(value, str) and CODE.fullmatch(value) else None


def _count(value: Any, most: int) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        return None
    return value
