"""PURE: the published document as a reader may trust it: taken whole, or not at all."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from .additions import budgets, by_house, remedies, retries
from .checks import (
    BREAKER_STATES,
    LONGEST_TEXT,
    PolicyError,
    at_from_iso,
    breaker,
    choices,
    names,
    notice,
    own_choices,
    predictions,
    refuse,
    rule,
    trial,
    why,
)
from .keys import (
    FALLBACK_HOUSE,
    HOUSE_KEYS,
    KEYS,
    LONGEST_NAME,
    ROUTING,
    KeySpec,
    defaults,
    is_house,
    is_name,
    is_number,
    spec,
    value_in_bounds,
)

__all__ = [
    "BREAKER_STATES", "FALLBACK_HOUSE", "HOUSE_KEYS", "KEYS", "LARGEST_BYTES", "LONGEST_NAME",
    "LONGEST_TEXT", "ROUTING", "SCHEMA",
    "KeySpec", "Policy", "PolicyError", "at_from_iso", "canonical", "defaults", "digest", "is_house",
    "is_name", "is_number", "iso_from_at", "parse", "spec", "value_in_bounds",
]  # fmt: skip

SCHEMA = "timmy.policy/1"
LARGEST_BYTES = 256 * 1024
MODES = ("enforce", "observe")

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SCHEMA = re.compile(r"timmy\.policy/1(\.[0-9]{1,4})?")
_LARGEST_REVISION = 2**53


def canonical(value: object) -> bytes:
    """The bytes that `signature` and `digest` are taken over; ValueError for NaN and Infinity."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8", "surrogatepass")


def digest(document: Mapping[str, Any]) -> str:
    """`sha256:` and the hex digest over the canonical JSON of everything but `digest` itself."""
    rest = {key: value for key, value in document.items() if key != "digest"}
    return "sha256:" + hashlib.sha256(canonical(rest)).hexdigest()


def iso_from_at(at: float) -> str:
    """A time as the policy writes it: UTC, milliseconds only where there are any, `Z` at the end."""
    moment = datetime.fromtimestamp(round(at, 3), tz=UTC)
    unit = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=unit).removesuffix("+00:00") + "Z"


_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Policy(NamedTuple):
    """One document, checked whole. Mappings hold the plain JSON values of CONTRACT §3.

    Attributes:
        values: By full key; what the document leaves out has its default. Unknown keys are dropped.
    """

    revision: int
    published_at: float
    data_through: float | None
    expires_at: float
    mode: str
    values: Mapping[str, float]
    models: Mapping[str, Mapping[str, Any]] = _NOTHING
    routes: Mapping[str, Mapping[str, Any]] = _NOTHING
    breaker_rule: Mapping[str, float] = _NOTHING
    breakers: tuple[Mapping[str, Any], ...] = ()
    trials: tuple[Mapping[str, Any], ...] = ()
    predictions: Mapping[str, Mapping[str, Mapping[str, Any]]] = _NOTHING
    why: Mapping[str, Mapping[str, Any]] = _NOTHING
    names: Mapping[str, Mapping[str, str]] = _NOTHING
    own: Mapping[str, Mapping[str, Mapping[str, Any]]] = _NOTHING
    retries: Mapping[str, Mapping[str, Any]] = _NOTHING
    remedies: Mapping[str, Mapping[str, Any]] = _NOTHING
    budgets: Mapping[str, Mapping[str, Any]] = _NOTHING
    notices: tuple[Mapping[str, Any], ...] = ()
    digest: str = ""

    def bound(self, kind: str, house: str | None) -> Mapping[str, Mapping[str, Any]]:
        """The `models` or `routes` that bind a house: its own ones before the general ones."""
        general = self.models if kind == "models" else self.routes
        own = self.own.get(house or "", _NOTHING).get(kind)
        return {**general, **own} if own else general


def parse(
    document: bytes | Mapping[str, Any], *, now: float, previous: Policy | None = None
) -> Policy:
    """Check a document whole and return it, or refuse it whole.

    Args:
        document: The bytes of the file, or the decoded object.
        now: Unix seconds; a document is used only before its own `expires_at`.
        previous: The one in use; while it has not expired nothing older replaces it.

    Raises:
        PolicyError: `too_large`, `not_json`, `schema`, `digest`, `shape`, `out_of_bounds`,
            `expired` or `older`.
    """
    data = _decoded(document)
    if not isinstance(data.get("schema"), str) or not _SCHEMA.fullmatch(data["schema"]):
        refuse("schema", f"$.schema: expected {SCHEMA}")
    claimed = data.get("digest")
    if (
        not isinstance(claimed, str)
        or not _DIGEST.fullmatch(claimed)
        or claimed != _digest_of(data)
    ):
        refuse("digest", "$.digest: is not the digest of this document")
    policy = _checked(data)
    if now >= policy.expires_at:
        refuse("expired", "$.expires_at: has passed")
    if previous is not None and now < previous.expires_at and policy.revision < previous.revision:
        refuse("older", f"$.revision: {policy.revision} is older than {previous.revision}")
    return policy


def _decoded(document: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(document, bytes):
        if len(document) > LARGEST_BYTES:
            refuse("too_large", f"expected at most {LARGEST_BYTES} bytes, got {len(document)}")
        try:
            document = json.loads(document, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            refuse("not_json", "is no JSON document")
    if not isinstance(document, Mapping):
        refuse("not_json", "expected a JSON object")
    return document


def _no_constant(_name: str) -> NoReturn:
    raise ValueError


def _digest_of(data: Mapping[str, Any]) -> str | None:
    try:
        return digest(data)
    except (ValueError, TypeError, RecursionError, OverflowError):
        return None


def _checked(data: Mapping[str, Any]) -> Policy:
    """Every field that this version knows, each checked; what it does not know is left alone."""
    revision = data.get("revision")
    if isinstance(revision, bool) or not isinstance(revision, int):
        refuse("shape", "$.revision: expected an integer")
    if not 0 <= revision <= _LARGEST_REVISION:
        refuse("shape", "$.revision: out of range")
    published_at, expires_at = _time(data, "published_at"), _time(data, "expires_at")
    if expires_at <= published_at:
        refuse("shape", "$.expires_at: is not after $.published_at")
    if data.get("mode") not in MODES:
        refuse("shape", "$.mode: expected enforce or observe")
    return Policy(
        revision=revision,
        published_at=published_at,
        data_through=None if data.get("data_through") is None else _time(data, "data_through"),
        expires_at=expires_at,
        mode=data["mode"],
        values=_values(_object(data, "policies")),
        models=choices(
            _object(data, "models"), "models", what="model", rate="success", choice=is_name
        ),
        routes=choices(
            _object(data, "routes"), "routes", what="house", rate="confidence", choice=is_house
        ),
        breaker_rule=rule(_object(data, "breaker_rule")),
        breakers=tuple(breaker(item, n) for n, item in enumerate(_list(data, "breakers"))),
        trials=tuple(trial(item, n) for n, item in enumerate(_list(data, "trials"))),
        predictions=predictions(_object(data, "predictions")),
        why=why(_object(data, "why")),
        names=names(_object(data, "names")),
        own=own_choices(_object(data, "own")),
        retries=by_house(data, "retries", retries),
        remedies=by_house(data, "remedies", remedies),
        budgets=by_house(data, "budgets", budgets),
        notices=tuple(notice(item, n) for n, item in enumerate(_list(data, "notices"))),
        digest=data["digest"],
    )


def _time(data: Mapping[str, Any], key: str) -> float:
    try:
        return at_from_iso(data.get(key))
    except (ValueError, OverflowError):
        refuse("shape", f"$.{key}: expected an ISO 8601 time with an offset")


def _object(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    return value if isinstance(value, Mapping) else refuse("shape", f"$.{key}: expected an object")


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    value = data.get(key, [])
    return value if isinstance(value, list) else refuse("shape", f"$.{key}: expected a list")


def _values(policies: Mapping[str, Any]) -> Mapping[str, float]:
    values = defaults()
    for owner, keys in policies.items():
        if not is_house(owner) or not isinstance(keys, Mapping):
            refuse("shape", "$.policies: expected an object a house")
        for name, value in keys.items():
            key = f"{owner}.{name}"
            if spec(key) is None:
                continue
            if not value_in_bounds(key, value):
                refuse("out_of_bounds", f"$.policies.{key}: outside its hard bounds")
            values[key] = float(value)
    return MappingProxyType(values)
