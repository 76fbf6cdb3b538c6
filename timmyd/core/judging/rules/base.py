"""The nouns of a rule: what it watches, which policy it may move, and what one call looks like to it."""

from typing import Literal

import msgspec

Side = Literal["below", "above", "fallen"]
Direction = Literal["lower", "raise"]
RuleMode = Literal["observe", "enforce"]

FLEET = "routing"
"""The owner of the keys that belong to no single house."""

WILDCARD = "*"
"""As the owner in `RuleSpec.policy`: every house that has the key and no rule of its own for it."""


class RuleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[rules]]` table: move `policy` one step when `signal` is shown to be on the wrong side of `limit`.

    Attributes:
        name: Unique; it is what `explain` and the history call the rule.
        policy: `<house>.<key>`, `routing.<key>`, or `*.<key>` for every house without an own rule.
        signal: A name of `signals.SIGNALS`.
        house: Whose calls count; None: the house that owns the policy, for `routing.*` every house.
        task: Only calls of this task type (read, build, test, judge, other); None: all.
        tool: Only calls of this tool; None: all.
        limit: The worst value that can be borne: a share in [0, 1], for `latency_*` milliseconds;
            for `fallen` how far the signal may fall below its own level of the past.
        side: On which side of the limit the trouble lies; `fallen`: below its own level by more.
        direction: Which way the policy moves when there is trouble.
        guard: Signals that must not get worse while the change is on trial.
        cooldown: Seconds of rest after a kept change; a refused one rests fourteen times as long.
        mode: `observe` says what it would do and changes nothing.
    """

    name: str
    policy: str
    signal: str
    limit: float
    direction: Direction
    side: Side = "below"
    house: str | None = None
    task: str | None = None
    tool: str | None = None
    guard: str | tuple[str, ...] | None = None
    cooldown: float = 43_200.0
    mode: RuleMode = "enforce"

    @property
    def owner(self) -> str:
        """The house that owns the policy, `routing`, or `*`."""
        return self.policy.partition(".")[0]

    @property
    def guards(self) -> tuple[str, ...]:
        """The guard signals, however they were written."""
        if self.guard is None:
            return ()
        return (self.guard,) if isinstance(self.guard, str) else self.guard

    @property
    def scope(self) -> str | None:
        """The house whose calls count; None: every house."""
        if self.house is not None:
            return self.house
        return None if self.owner in {FLEET, WILDCARD} else self.owner


class PolicySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[policies."<house>.<key>"]` table: where a value starts, how far and in what steps it may go."""

    default: float
    least: float
    most: float
    step: float
    pin: float | None = None


class Observation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One call or one turn as the rules see it.

    Attributes:
        at: Event time, Unix seconds UTC.
        session: Opaque; calls with the same value are correlated and form one cluster.
        house: Who ran it.
        kind: `tool` for a call, `turn` for the end of a turn.
        tool: Its tool; empty for a turn.
        task: Its task type; None when unknown.
        outcome: One of the seven outcomes; None for a turn.
        latency_ms: None when unknown.
        confidence: In [0, 1]; None when unknown.
        policy: The revision of the policy it ran under; None when the source cannot tell.
        followed: Whether it used a published choice; None where there was none.
        held_back: True when the evidence threshold held the call back; None when unknown.
        fell_back: True when the call went to timmy for want of a good house; None when unknown.
        wasted: True when it hopelessly repeated what had failed twice; None for what was not rated.
        completed: For a turn: whether it came to its end.
    """

    at: float
    session: str | int
    house: str
    kind: Literal["tool", "turn"] = "tool"
    tool: str = ""
    task: str | None = None
    outcome: str | None = None
    latency_ms: float | None = None
    confidence: float | None = None
    policy: int | None = None
    followed: bool | None = None
    held_back: bool | None = None
    fell_back: bool | None = None
    completed: bool | None = None
    wasted: bool | None = None
