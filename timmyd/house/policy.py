"""PURE: the published document as a reader may trust it: taken whole, or not at all."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NoReturn

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
    "FALLBACK_HOUSE", "HOUSE_KEYS", "KEYS", "LARGEST_BYTES", "LONGEST_NAME", "ROUTING", "SCHEMA",
    "KeySpec", "Policy", "PolicyError", "at_from_iso", "canonical", "defaults", "digest", "is_house",
    "is_name", "is_number", "iso_from_at", "parse", "spec", "value_in_bounds",
]  # fmt: skip

SCHEMA = "timmy.policy/1"
LARGEST_BYTES = 256 * 1024
MODES = ("enforce", "observe")
BREAKER_STATES = ("closed", "open", "half_open")
LONGEST_TEXT = 400

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SCHEMA = re.compile(r"timmy\.policy/1(\.[0-9]{1,4})?")
_LARGEST_REVISION = 2**53
_LARGEST_COUNT = 1e15
_LARGEST_EVIDENCE = 1e300
_LONGEST_WAIT_S = 86_400.0


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


def at_from_iso(text: object) -> float:
    """Unix seconds of an ISO 8601 time with an offset; ValueError for anything else."""
    at = datetime.fromisoformat(text if isinstance(text, str) else "")
    if at.tzinfo is None:
        raise ValueError
    return at.timestamp()


def iso_from_at(at: float) -> str:
    """A time as the policy writes it: UTC, milliseconds only where there are any, `Z` at the end."""
    moment = datetime.fromtimestamp(round(at, 3), tz=UTC)
    unit = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=unit).removesuffix("+00:00") + "Z"


class PolicyError(ValueError):
    """A document that may not be used. `code` is a stable word for counting, `words` tells people."""

    def __init__(self, code: str, words: str) -> None:
        self.code = code
        self.words = words
        super().__init__(f"{code}: {words}")


@dataclass(frozen=True, slots=True)
class Policy:
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
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    routes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    breaker_rule: Mapping[str, float] = field(default_factory=dict)
    breakers: tuple[Mapping[str, Any], ...] = ()
    trials: tuple[Mapping[str, Any], ...] = ()
    predictions: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    why: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    digest: str = ""


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
        _refuse("schema", f"$.schema: expected {SCHEMA}")
    claimed = data.get("digest")
    if (
        not isinstance(claimed, str)
        or not _DIGEST.fullmatch(claimed)
        or claimed != _digest_of(data)
    ):
        _refuse("digest", "$.digest: is not the digest of this document")
    policy = _checked(data)
    if now >= policy.expires_at:
        _refuse("expired", "$.expires_at: has passed")
    if previous is not None and now < previous.expires_at and policy.revision < previous.revision:
        _refuse("older", f"$.revision: {policy.revision} is older than {previous.revision}")
    return policy


def _refuse(code: str, words: str) -> NoReturn:
    raise PolicyError(code, words)


def _decoded(document: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(document, bytes):
        if len(document) > LARGEST_BYTES:
            _refuse("too_large", f"expected at most {LARGEST_BYTES} bytes, got {len(document)}")
        try:
            document = json.loads(document, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            _refuse("not_json", "is no JSON document")
    if not isinstance(document, Mapping):
        _refuse("not_json", "expected a JSON object")
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
        _refuse("shape", "$.revision: expected an integer")
    if not 0 <= revision <= _LARGEST_REVISION:
        _refuse("shape", "$.revision: out of range")
    published_at, expires_at = _time(data, "published_at"), _time(data, "expires_at")
    if expires_at <= published_at:
        _refuse("shape", "$.expires_at: is not after $.published_at")
    if data.get("mode") not in MODES:
        _refuse("shape", "$.mode: expected enforce or observe")
    return Policy(
        revision=revision,
        published_at=published_at,
        data_through=None if data.get("data_through") is None else _time(data, "data_through"),
        expires_at=expires_at,
        mode=data["mode"],
        values=_values(_object(data, "policies")),
        models=_choices(
            _object(data, "models"), "models", what="model", rate="success", choice=is_name
        ),
        routes=_choices(
            _object(data, "routes"), "routes", what="house", rate="confidence", choice=is_house
        ),
        breaker_rule=_rule(_object(data, "breaker_rule")),
        breakers=tuple(_breaker(item, n) for n, item in enumerate(_list(data, "breakers"))),
        trials=tuple(_trial(item, n) for n, item in enumerate(_list(data, "trials"))),
        predictions=_predictions(_object(data, "predictions")),
        why=_why(_object(data, "why")),
        digest=data["digest"],
    )


def _time(data: Mapping[str, Any], key: str) -> float:
    try:
        return at_from_iso(data.get(key))
    except (ValueError, OverflowError):
        _refuse("shape", f"$.{key}: expected an ISO 8601 time with an offset")


def _object(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    return value if isinstance(value, Mapping) else _refuse("shape", f"$.{key}: expected an object")


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    value = data.get(key, [])
    return value if isinstance(value, list) else _refuse("shape", f"$.{key}: expected a list")


def _values(policies: Mapping[str, Any]) -> Mapping[str, float]:
    values = defaults()
    for owner, keys in policies.items():
        if not is_house(owner) or not isinstance(keys, Mapping):
            _refuse("shape", "$.policies: expected an object a house")
        for name, value in keys.items():
            key = f"{owner}.{name}"
            if spec(key) is None:
                continue
            if not value_in_bounds(key, value):
                _refuse("out_of_bounds", f"$.policies.{key}: outside its hard bounds")
            values[key] = float(value)
    return MappingProxyType(values)


def _require(
    item: object,
    place: str,
    checks: Mapping[str, Callable[[Any], bool]],
    *,
    optional: tuple[str, ...] = (),
) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        _refuse("shape", f"{place}: expected an object")
    for name, check in checks.items():
        value = item.get(name)
        if value is None and name in optional:
            continue
        if not check(value):
            _refuse("shape", f"{place}.{name}: not what was expected")
    return item


def _rate(value: object) -> bool:
    return is_number(value, 0.0, 1.0)


def _count(value: object) -> bool:
    return is_number(value, 0.0, _LARGEST_COUNT)


def _seconds(value: object) -> bool:
    return is_number(value, 0.001, _LONGEST_WAIT_S)


def _moment(value: object) -> bool:
    try:
        at_from_iso(value)
    except (ValueError, OverflowError):
        return False
    return True


def _sentence(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and value.isprintable()


def _choices(
    table: Mapping[str, Any], place: str, *, what: str, rate: str, choice: Callable[[object], bool]
) -> Mapping[str, Mapping[str, Any]]:
    for name, item in table.items():
        if not is_name(name):
            _refuse("shape", f"$.{place}: a name is not fit to be shown")
        checks = {what: choice, rate: _rate, "low": _rate, "samples": _count}
        _require(item, f"$.{place}[…]", checks, optional=("low",))
        weights = item.get("weights", {})
        if not isinstance(weights, Mapping) or not all(
            choice(arm) and _rate(weight) for arm, weight in weights.items()
        ):
            _refuse("shape", f"$.{place}[…].weights: expected shares by name")
    return table


def _rule(rule: Mapping[str, Any]) -> Mapping[str, float]:
    checks: dict[str, Callable[[Any], bool]] = {
        "open_at": lambda value: is_number(value, 1.0, 1e12),
        "wait_s": _seconds,
        "wait_max_s": _seconds,
        "probe_every_s": _seconds,
    }
    return _require(rule, "$.breaker_rule", checks, optional=tuple(checks))


def _breaker(item: object, number: int) -> Mapping[str, Any]:
    """Of a tool in a house, or with `tool` null of a model in it."""
    guards = item.get("tool") or item.get("model") if isinstance(item, Mapping) else None
    if guards is None:
        _refuse("shape", f"$.breakers[{number}]: expected a tool or a model")
    return _require(
        item,
        f"$.breakers[{number}]",
        {
            "house": is_house,
            "tool": is_name,
            "model": is_name,
            "state": BREAKER_STATES.__contains__,
            "limit": _rate,
            "evidence": lambda value: is_number(value, 0.0, _LARGEST_EVIDENCE),
            "since": _moment,
            "probe_at": _moment,
            "reason": _sentence,
        },
        optional=("tool", "model", "limit", "evidence", "since", "probe_at", "reason"),
    )


def _trial(item: object, number: int) -> Mapping[str, Any]:
    trial = _require(
        item,
        f"$.trials[{number}]",
        {"policy": is_name, "arm": ("old", "new").__contains__, "since": _moment, "until": _moment},
        optional=("since", "until"),
    )
    for arm in ("old", "new"):
        if spec(trial["policy"]) is not None and not value_in_bounds(
            trial["policy"], trial.get(arm)
        ):
            _refuse("out_of_bounds", f"$.trials[{number}].{arm}: outside its hard bounds")
    return trial


def _predictions(table: Mapping[str, Any]) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    checks = {"success": _rate, "low": _rate, "high": _rate, "samples": _count}
    for house, tools in table.items():
        if not is_house(house) or not isinstance(tools, Mapping):
            _refuse("shape", "$.predictions: expected an object a house")
        for tool, item in tools.items():
            if not is_name(tool):
                _refuse("shape", "$.predictions: a tool's name is not fit to be shown")
            _require(item, f"$.predictions.{house}[…]", checks)
            shapes = item.get("shapes", {})
            if not isinstance(shapes, Mapping):
                _refuse("shape", f"$.predictions.{house}[…].shapes: expected an object")
            for shape, entry in shapes.items():
                if not is_name(shape):
                    _refuse(
                        "shape", f"$.predictions.{house}[…].shapes: a shape is not fit to be shown"
                    )
                _require(entry, f"$.predictions.{house}[…].shapes[…]", checks)
    return table


def _why(table: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    for key, item in table.items():
        if not is_name(key):
            _refuse("shape", "$.why: a key is not fit to be shown")
        _require(
            item, "$.why[…]", {"reason": _sentence, "since": _moment}, optional=("reason", "since")
        )
    return table
