"""The nouns of timmyd, with the units in their names. `at` is Unix seconds UTC everywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from timmyd.core.ownership import UNKNOWN

Source = Literal["telemetry", "state_db", "snapshot", "session"]

SOURCE_NAMES: tuple[Source, ...] = ("telemetry", "state_db", "snapshot", "session")
"""Best first: where two sources show one call, the earlier one's facts stand (CONTRACT §1)."""


class Facts(NamedTuple):
    """What is stored of a call instead of what it said.

    Attributes:
        tool: Its tool's name, made safe.
        signature: First 16 hex digits of the hash of its arguments.
        shape: Short, safe, human-readable form of it.
        task_type: What kind of work it is.
        key: Hash of its tool and its arguments, by which sources meet.
    """

    tool: str
    signature: str
    shape: str
    task_type: str
    key: int


class Call(msgspec.Struct, gc=False):
    """One requested call as a document-like source shows it, raw: nothing in it is stored.

    Attributes:
        call_id: The provider's id, `""` where it sent none. Not unique, not to be trusted.
        tool: The tool's name as the agent asked for it.
        arguments: The arguments, normally as JSON text.
        content: The stored result, None while there is none.
        disposition: Hermes' `effect_disposition` of the result.
        at: When the result was written, Unix seconds, if the source says so.
        compacted: A summary of dropped messages stands before the call.
        verdict: What the source itself says of the outcome, `error` or `ok`, if it does.
        latency_ms: How long the call took, in milliseconds, if the source says so.
        facts: What is stored of it, once that was worked out.
        aliases: Other ids by which its result, or another source, may name it.
    """

    call_id: str
    tool: str
    arguments: Any
    content: Any = None
    disposition: str | None = None
    at: float | None = None
    compacted: bool = False
    verdict: str | None = None
    latency_ms: float | None = None
    facts: Facts | None = None
    aliases: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids by which it may be met, its own first; none where it has none."""
        return (self.call_id, *self.aliases) if self.call_id else self.aliases


class Checkpoint(msgspec.Struct, frozen=True, gc=False):
    """How far a rewritten file was proven unchanged, so that only its tail is decoded again.

    Attributes:
        offset: Bytes from the start of the messages to the end of the last settled one.
        digest: xxh3_64 of those bytes.
        chain: The identity chain (`core.register.link`) after the calls within them.
        calls: How many calls they hold.
        compacted: A summary of dropped messages stands within them.
    """

    offset: int
    digest: int
    chain: int
    calls: int
    compacted: bool


class Session(msgspec.Struct, kw_only=True):
    """What one file of a document-like source shows of one Hermes session.

    Attributes:
        session_id: As the file says; opaque, hostile.
        named: The file says it; else its name stands for it.
        started_at: Unix seconds; construction of the agent, not of the session.
        updated_at: Unix seconds of the last write, as the file says.
        naive: It says so without a zone, so that it may be wrong by hours.
        start_key: The start as the file writes it; two ids that share it to the microsecond
            are one process (a rotation), so one lineage.
        turns: How many user messages it shows.
        opening: Hash of the first turn with calls, its words, requests and results, once it ended.
        calls: The calls shown after `resumed`, in order.
        resumed: The checkpoint that the decoding started from, None if it read all.
        checkpoint: Where the next decoding may start, None where that is not worth it.
        skipped: How many of its elements could not be used, by reason.
    """

    source: Source
    session_id: str
    named: bool = True
    model: str | None = None
    platform: str | None = None
    started_at: float | None = None
    updated_at: float | None = None
    naive: bool = False
    start_key: str | None = None
    turns: int = 0
    opening: int | None = None
    calls: list[Call]
    resumed: Checkpoint | None = None
    checkpoint: Checkpoint | None = None
    skipped: dict[str, int] = {}


class Execution(msgspec.Struct, kw_only=True, gc=False):
    """One requested call, counted once. Unknown numbers are None, never 0 (law 2).

    Attributes:
        id: Row id in the database; grows in the order of first sight.
        at: When it ran, Unix seconds UTC; `at_approximate` where that was inferred.
        session: Database id of the lineage that it belongs to.
        owner: Whose house it is; what binds and who pools is decided by owner (law 8).
        signature: First 16 hex digits of the hash of its arguments.
        shape: Short, safe, human-readable form of the call.
        outcome: One of the seven words of CONTRACT §1, with the `rule` that said so.
        policy: Revision of the policy in force when it ran.
        followed: Whether it used a published choice; None where there was none.
        inner: Made inside `execute_code`, in no transcript.
    """

    id: int
    at: float
    at_approximate: bool = False
    session: int = 0
    house: str
    owner: str = UNKNOWN
    tool: str
    signature: str
    shape: str
    model: str | None = None
    task_type: str = "other"
    outcome: str
    rule: str = ""
    error_type: str | None = None
    source: Source = "telemetry"
    latency_ms: float | None = None
    confidence: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
    policy: int | None = None
    followed: bool | None = None
    inner: bool = False


def iso(at: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC with a `Z`, the form of every published time."""
    if at is None:
        return None
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


class _Plain:
    """The original's nouns are dataclasses, made by position or by name."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as a plain dict, in the order of their definition."""
        return {one.name: getattr(self, one.name) for one in fields(self)}  # type: ignore[arg-type]


@dataclass
class ExecutionPattern(_Plain):
    """What is known of one exact call: a tool with these arguments, in a house, with a model."""

    tool: str
    param_signature: str
    house: str
    model: str | None
    success_rate: float | None
    avg_latency_ms: float | None
    avg_confidence: float | None
    sample_count: int
    last_executed: str | None


@dataclass
class ModelPerformance(_Plain):
    """How a model does at a type of task, over all houses."""

    model: str
    task_type: str
    total_calls: int
    success_count: int
    success_rate: float | None
    avg_latency_ms: float | None
    avg_tokens: float | None
    cost_per_call: float | None
    last_used: str | None


@dataclass
class AdaptationEvent(_Plain):
    """A change of a policy, with all that is needed to explain it and to take it back."""

    timestamp: str
    trigger: str
    change_type: str
    old_value: Any
    new_value: Any
    reason: str
    expected_improvement: float | None = None
    id: int = 0
    kind: str = "adapted"
    evidence: Mapping[str, Any] = field(default_factory=dict)
