"""The published document as types: one definition gives its JSON, its JSON Schema and its checks (CONTRACT §3).

Every name in it (tool, shape, model, house) came from a session, so from a model: hostile text
that a house may show or put in a prompt. A name with control or format characters, a lone
surrogate, spaces at its ends or more than 128 characters is left out together with its entry;
it is never shortened, because a shortened name would match another tool. Our own sentences
(`reason`) are made printable and cut at 400 characters.

What is additive in 0.2 is `UNSET` where there is none of it, and then not written at all.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from timmyd.house.policy import LONGEST_NAME, LONGEST_TEXT, SCHEMA

NAME: Final = "name"
FAILURE: Final = "failure"
HOUSE: Final = "house"
TIME: Final = "time"
SENTENCE: Final = "sentence"

Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME, extra={"kind": NAME})]
FailureName = Annotated[str, Meta(min_length=1, max_length=320, extra={"kind": FAILURE})]
HouseName = Annotated[str, Meta(pattern="^[a-z0-9_-]{1,32}$", extra={"kind": HOUSE})]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, extra={"kind": TIME})]
Sentence = Annotated[str, Meta(max_length=LONGEST_TEXT, extra={"kind": SENTENCE})]
Rate = Annotated[float, Meta(ge=0, le=1)] | Annotated[int, Meta(ge=0, le=1)]
Count = Annotated[float, Meta(ge=0, le=1e15)] | Annotated[int, Meta(ge=0, le=10**15)]
Evidence = Annotated[float, Meta(ge=0, le=1e300)] | Annotated[int, Meta(ge=0)]
Number = float | int
Weights = dict[Name, Rate]


class PublishedFigures(msgspec.Struct, kw_only=True):
    """How likely calls of one kind succeed: the rate, its 95 % interval, and from how many calls."""

    success: Rate
    low: Rate
    high: Rate
    samples: Count


class ShapeFigures(PublishedFigures, kw_only=True):
    """Of the calls of one shape.

    Attributes:
        recent: Of the last two days alone, where they disagree.
        arguments: By signature, where the interval leaves that of the shape.
    """

    recent: PublishedFigures | UnsetType = UNSET
    arguments: dict[Name, PublishedFigures] | UnsetType = UNSET


class ToolFigures(PublishedFigures, kw_only=True):
    """Of the calls of one tool in one house, and by shape; `recent` as above."""

    shapes: dict[Name, ShapeFigures] = {}
    recent: PublishedFigures | UnsetType = UNSET


class PublishedModel(msgspec.Struct, kw_only=True):
    """The best model for a type of task; `weights` are the shares to draw, `best` the chances to be the best."""

    model: Name
    success: Rate
    low: Rate | UnsetType | None = UNSET
    samples: Count
    weights: Weights | UnsetType = UNSET
    best: Weights | UnsetType = UNSET


class PublishedRoute(msgspec.Struct, kw_only=True):
    """The best house for a tool; `weights` and `best` as with models."""

    house: HouseName
    confidence: Rate
    samples: Count
    weights: dict[HouseName, Rate] | UnsetType = UNSET
    best: dict[HouseName, Rate] | UnsetType = UNSET


class OwnChoices(msgspec.Struct, kw_only=True):
    """The choices that bind one house where they are not the general ones."""

    models: dict[Name, PublishedModel] | UnsetType = UNSET
    routes: dict[Name, PublishedRoute] | UnsetType = UNSET


class PublishedRule(msgspec.Struct, kw_only=True):
    """By which rule breakers open; evidence, and seconds."""

    open_at: Count | UnsetType = UNSET
    wait_s: Count | UnsetType = UNSET
    wait_max_s: Count | UnsetType = UNSET
    probe_every_s: Count | UnsetType = UNSET


class PublishedBreaker(msgspec.Struct, kw_only=True):
    """A breaker of a tool in a house, or with `tool` null of a model in it."""

    house: HouseName
    tool: Name | UnsetType | None = UNSET
    model: Name | UnsetType | None = UNSET
    state: Literal["closed", "open", "half_open"]
    limit: Rate | UnsetType | None = UNSET
    evidence: Evidence | UnsetType | None = UNSET
    since: Time | UnsetType | None = UNSET
    probe_at: Time | UnsetType | None = UNSET
    reason: Sentence | UnsetType | None = UNSET


class PublishedTrial(msgspec.Struct, kw_only=True):
    """A trial that runs, and the arm that is in force now."""

    policy: Name
    old: Number
    new: Number
    arm: Literal["old", "new"]
    since: Time | UnsetType | None = UNSET
    until: Time | UnsetType | None = UNSET


class PublishedReason(msgspec.Struct, kw_only=True):
    """Why a policy has its value."""

    default: Number | UnsetType | None = UNSET
    since: Time | UnsetType | None = UNSET
    event: int | UnsetType | None = UNSET
    rule: Sentence | UnsetType | None = UNSET
    reason: Sentence | UnsetType | None = UNSET
    pinned: bool | UnsetType = UNSET


class PublishedNotice(msgspec.Struct, kw_only=True):
    """What fell or recovered: a success rate, from and to; of a tool, a shape of it, a model, or all tools."""

    kind: Literal["fell", "recovered"] | UnsetType = UNSET
    house: HouseName
    tool: Name | UnsetType | None = UNSET
    shape: Name | UnsetType | None = UNSET
    model: Name | UnsetType | None = UNSET
    before: Rate = msgspec.field(name="from")
    now: Rate = msgspec.field(name="to")
    since: Time
    evidence: Evidence


class PublishedRetries(msgspec.Struct, kw_only=True):
    """P(success) after one, two, … failures of the same call in a turn, and after how many it is refused."""

    after: list[Rate]
    limit: Count
    samples: list[Count] | UnsetType = UNSET
    low: list[Rate] | UnsetType = UNSET
    high: list[Rate] | UnsetType = UNSET
    shapes: dict[Name, "RetryCurve"] | UnsetType = UNSET


class RetryCurve(msgspec.Struct, kw_only=True):
    """The same of one shape."""

    after: list[Rate]
    samples: list[Count]
    low: list[Rate] | UnsetType = UNSET
    high: list[Rate] | UnsetType = UNSET


class PublishedRemedy(msgspec.Struct, kw_only=True):
    """A shape of call that helped after a failure; `lift` is the gain over doing without."""

    tool: Name
    shape: Name
    success: Rate
    low: Rate | UnsetType = UNSET
    high: Rate | UnsetType = UNSET
    samples: Count
    lift: Number


class PublishedProvider(msgspec.Struct, kw_only=True):
    """In what state a provider at one address is: the class of its error, and until when."""

    state: Name
    error_class: Name | UnsetType | None = msgspec.field(default=UNSET, name="class")
    until: Time | UnsetType | None = UNSET


class PublishedBudget(msgspec.Struct, kw_only=True):
    """The caps of a house by name, and by model what a million tokens cost, read and written."""

    caps: dict[Name, Count] | UnsetType = UNSET
    prices: dict[Name, dict[Name, Count]] | UnsetType = UNSET
    warn: Rate | UnsetType = UNSET
    on_trouble: Literal["go", "stop"] | UnsetType = UNSET
    zone: Name | UnsetType = UNSET


class PolicyDocument(msgspec.Struct, kw_only=True):
    """The document, without its digest, which is put on its bytes.

    Attributes:
        schema: `timmy.policy/1`.
        revision: Grows with every publish.
        data_through: Event time of the newest evidence in it; None while there is none.
        policies: The values in force, by owner (a house or `routing`) and key.
        models: By type of task.
        routes: By tool.
        predictions: By house and tool.
        why: By full key.
        retries: By house and tool.
        remedies: By house and failure (tool, shape and error with `|` between), at most three each.
        providers: By provider and the hash of its base URL.
        own: By house.
        names: By uid: the house that a home claims to be, and the one that it is.
    """

    schema: Annotated[str, Meta(pattern=r"^timmy\.policy/1(\.[0-9]+)?$")]
    revision: Annotated[int, Meta(ge=0, le=2**53)]
    published_at: Time
    data_through: Time | None = None
    expires_at: Time
    mode: Literal["enforce", "observe"]
    policies: dict[HouseName, dict[str, Number]]
    models: dict[Name, PublishedModel]
    routes: dict[Name, PublishedRoute]
    breaker_rule: PublishedRule
    breakers: list[PublishedBreaker]
    trials: list[PublishedTrial]
    predictions: dict[HouseName, dict[Name, ToolFigures]]
    why: dict[Name, PublishedReason]
    notices: list[PublishedNotice] | UnsetType = UNSET
    retries: dict[HouseName, dict[Name, PublishedRetries]] | UnsetType = UNSET
    remedies: (
        dict[HouseName, dict[FailureName, Annotated[list[PublishedRemedy], Meta(max_length=3)]]]
        | UnsetType
    ) = UNSET
    providers: dict[Name, PublishedProvider] | UnsetType = UNSET
    budgets: dict[HouseName, PublishedBudget] | UnsetType = UNSET
    own: dict[HouseName, OwnChoices] | UnsetType = UNSET
    names: dict[str, dict[HouseName, HouseName]] | UnsetType = UNSET


def as_json(document: PolicyDocument) -> dict[str, Any]:
    """The document as plain JSON values, in the order in which it is written."""
    found: dict[str, Any] = msgspec.to_builtins(document)
    return found


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the published document."""
    found = msgspec.json.schema(PolicyDocument)
    kinds: dict[str, Any] = found["$defs"]
    root = kinds.pop(PolicyDocument.__name__)
    root["properties"]["digest"] = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
    root["required"].append("digest")
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **root, "title": SCHEMA, "$defs": kinds}
