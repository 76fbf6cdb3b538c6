"""PolicyDocument: what the daemon publishes, built from plain inputs; to bytes; its JSON Schema.

Every name in it (tool, shape, model, house) came from a session, so from a model: hostile text
that a house may show or put in a prompt. A name with control or format characters, a lone
surrogate, spaces at its ends or more than 128 characters is left out together with its entry;
it is never shortened, because a shortened name would match another tool. Our own sentences
(`reason`) are made printable and cut at 400 characters.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from timmyd.core.document_schema import schema
from timmyd.house.policy import (
    LARGEST_BYTES,
    LONGEST_TEXT,
    MODES,
    SCHEMA,
    digest,
    is_house,
    is_name,
    iso_from_at,
    spec,
)

__all__ = [
    "DocumentTooLargeError", "PolicyDocument", "build", "content_digest_without_times", "encode", "schema",
]  # fmt: skip

PolicyDocument = dict[str, Any]
"""The document of CONTRACT §3 as a plain dict, without `digest`, which `encode` adds."""

_TIMES = frozenset({"revision", "published_at", "data_through", "expires_at", "digest"})
_DIGEST_BYTES = len(',"digest":"sha256:"') + 64 + len("\n")
_DIGITS = 4


class DocumentTooLargeError(ValueError):
    """What may never be left out (values, open breakers, trials) alone passes the size limit."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(
            f"the policy needs {size_bytes} bytes, at most {LARGEST_BYTES} are allowed"
        )


def build(
    *,
    revision: int,
    published_at: float,
    data_through: float | None,
    life_s: float,
    mode: str,
    policies: Mapping[str, float] | Mapping[str, Mapping[str, float]],
    models: Mapping[str, Mapping[str, Any]],
    routes: Mapping[str, Mapping[str, Any]],
    breaker_rule: Mapping[str, float],
    breakers: Iterable[Mapping[str, Any]],
    trials: Iterable[Mapping[str, Any]],
    predictions: Mapping[str, Mapping[str, Mapping[str, Any]]],
    why: Mapping[str, Mapping[str, Any]],
) -> PolicyDocument:
    """Put a document together: safe names, rounded numbers, ISO times, within the size limit.

    Args:
        revision: Grows with every publish.
        published_at: Unix seconds.
        data_through: Event time of the newest evidence in it; None while there is none.
        life_s: Seconds after which a reader stops using it.
        mode: `enforce` or `observe`.
        policies: By full key (`ezra.evidence_threshold`) or nested by owner; unknown keys are dropped.
        models: By task type: model, success, low, samples, weights.
        routes: By tool: house, confidence, samples, weights.
        breaker_rule: open_at, wait_s, wait_max_s, probe_every_s.
        breakers: house, tool, model, state, limit, evidence, since, probe_at, reason.
        trials: policy, old, new, arm, since, until.
        predictions: By house and tool: success, low, high, samples, shapes.
        why: By full key: default, since, event, rule, reason, pinned.

    Times within the entries are Unix seconds, None, or ISO text already.

    Raises:
        ValueError: A value that a reader would refuse; publishing it would switch the fleet off.
        DocumentTooLargeError: It does not fit even after everything that may go is gone.
    """
    if mode not in MODES:
        raise ValueError(mode)
    document: PolicyDocument = {
        "schema": SCHEMA,
        "revision": revision,
        "published_at": iso_from_at(published_at),
        "data_through": None if data_through is None else iso_from_at(data_through),
        "expires_at": iso_from_at(published_at + life_s),
        "mode": mode,
        "policies": _nested(policies),
        "models": {
            k: _choice(v, is_name) for k, v in models.items() if is_name(k) and is_name(v["model"])
        },
        "routes": {
            k: _choice(v, is_house)
            for k, v in routes.items()
            if is_name(k) and is_house(v["house"])
        },
        "breaker_rule": {key: _rounded(value) for key, value in breaker_rule.items()},
        "breakers": [_entry(item) for item in breakers if _fit(item)],
        "trials": [_entry(item) for item in trials if is_name(item["policy"])],
        "predictions": {
            house: {tool: _prediction(item) for tool, item in tools.items() if is_name(tool)}
            for house, tools in predictions.items()
            if is_house(house)
        },
        "why": {key: _entry(item) for key, item in why.items() if is_name(key)},
    }
    return _trimmed(document)


def encode(document: PolicyDocument) -> bytes:
    """The file's bytes, with the digest; `build` made sure that they fit.

    Raises:
        DocumentTooLargeError: The document was not made by `build`.
    """
    data = _plain({**document, "digest": digest(document)}) + b"\n"
    if len(data) > LARGEST_BYTES:
        raise DocumentTooLargeError(len(data))
    return data


def content_digest_without_times(document: Mapping[str, Any]) -> str:
    """Equal for two documents that tell a house the same; for publishing only what changed."""
    return digest({key: value for key, value in document.items() if key not in _TIMES})


def _plain(value: object) -> bytes:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def _rounded(value: Any) -> Any:
    return round(value, _DIGITS) if isinstance(value, float) else value


def _nested(policies: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    flat: dict[str, float] = {}
    for key, value in policies.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{name}": number for name, number in value.items()})
        else:
            flat[key] = value
    nested: dict[str, dict[str, float]] = {}
    for key, value in flat.items():
        known = spec(key)
        if known is None:
            continue
        if not known.hard_least <= value <= known.hard_most:
            raise ValueError(key)
        owner, _, name = key.partition(".")
        nested.setdefault(owner, {})[name] = round(float(value), _DIGITS)
    return nested


def _fit(breaker: Mapping[str, Any]) -> bool:
    """Whether its names may be published: a tool in a house, or with `tool` None a model in it."""
    names = [name for name in (breaker.get("tool"), breaker.get("model")) if name is not None]
    return is_house(breaker["house"]) and bool(names) and all(map(is_name, names))


def _entry(item: Mapping[str, Any]) -> dict[str, Any]:
    """An entry with its times as ISO text and its sentence fit to be shown."""
    entry = {key: _rounded(value) for key, value in item.items()}
    for key in ("since", "until", "probe_at"):
        if isinstance(entry.get(key), (int, float)):
            entry[key] = iso_from_at(entry[key])
    if entry.get("reason") is not None:
        words = "".join(c if c.isprintable() else "?" for c in str(entry["reason"]))
        entry["reason"] = words[:LONGEST_TEXT]
    return entry


def _choice(item: Mapping[str, Any], is_fit: Any) -> dict[str, Any]:
    entry = _entry(item)
    weights = entry.get("weights")
    if isinstance(weights, Mapping):
        entry["weights"] = {arm: _rounded(share) for arm, share in weights.items() if is_fit(arm)}
    return entry


def _prediction(item: Mapping[str, Any]) -> dict[str, Any]:
    entry = _entry(item)
    shapes = entry.get("shapes") or {}
    entry["shapes"] = {
        shape: _figures(figures) for shape, figures in shapes.items() if is_name(shape)
    }
    return entry


def _figures(item: Mapping[str, Any]) -> dict[str, Any]:
    entry = _entry(item)
    if "arguments" in entry:
        exact = entry["arguments"]
        entry["arguments"] = {name: _entry(one) for name, one in exact.items() if is_name(name)}
    return entry


def _trimmed(document: PolicyDocument) -> PolicyDocument:
    """Leave out, least used first, until it fits: arguments, shapes, tools, routes, closed breakers."""
    over = len(_plain(document)) + _DIGEST_BYTES - LARGEST_BYTES
    if over <= 0:
        return document
    predictions = document["predictions"]
    arguments = [
        (one["samples"], _size(name, one), entry["arguments"], name)
        for tools in predictions.values()
        for item in tools.values()
        for entry in item["shapes"].values()
        for name, one in entry.get("arguments", {}).items()
    ]
    over = _drop(arguments, over)
    shapes = [
        (entry["samples"], _size(shape, entry), item["shapes"], shape)
        for tools in predictions.values()
        for item in tools.values()
        for shape, entry in item["shapes"].items()
    ]
    over = _drop(shapes, over)
    tools_ = [
        (item["samples"], _size(tool, item), tools, tool)
        for tools in predictions.values()
        for tool, item in tools.items()
    ]
    over = _drop(tools_, over)
    routes = document["routes"]
    over = _drop([(r["samples"], _size(tool, r), routes, tool) for tool, r in routes.items()], over)
    if over > 0:
        kept = dict(enumerate(document["breakers"]))
        closed = [
            (item.get("evidence") or 0.0, _size("", item), kept, number)
            for number, item in kept.items()
            if item["state"] == "closed"
        ]
        over = _drop(closed, over)
        document["breakers"] = list(kept.values())
    if over > 0:
        raise DocumentTooLargeError(LARGEST_BYTES + over)
    return document


def _size(name: str, entry: object) -> int:
    """Bytes that leaving `name: entry` out saves, at least."""
    return len(_plain(name)) + len(_plain(entry)) + len(":")


def _drop(items: Sequence[tuple[float, int, dict[Any, Any], Any]], over: int) -> int:
    """Delete items, least used first and by name among equals, until `over` bytes are saved."""
    for _, size, holder, key in sorted(items, key=lambda item: (item[0], str(item[3]))):
        if over <= 0:
            break
        del holder[key]
        over -= size
    return over
