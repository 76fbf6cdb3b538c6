"""From what the engine knows to the document that is published, and to its bytes."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import msgspec
import msgspec.inspect as kinds

from timmyd.core.fair_share import DocumentTooLargeError, within
from timmyd.core.policy import FAILURE, HOUSE, NAME, SENTENCE, TIME, PolicyDocument
from timmyd.house.policy import (
    LARGEST_BYTES,
    LONGEST_TEXT,
    SCHEMA,
    digest,
    is_house,
    is_name,
    iso_from_at,
    spec,
)

__all__ = ["DocumentTooLargeError", "build", "content_digest_without_times", "encode"]

_TIMES: Final = frozenset({"revision", "published_at", "data_through", "expires_at", "digest"})
_DIGEST_BYTES: Final = len(',"digest":"sha256:"') + 64 + len("\n")
_DIGITS: Final = 4
_LONGEST_FAILURE: Final = 320

_Fit = Callable[[Any], Any]


class _UnfitError(Exception):
    """A name that may not be published; the entry that bears it is left out."""


def build(
    *,
    revision: int,
    published_at: float,
    data_through: float | None,
    life_s: float,
    mode: str,
    policies: Mapping[str, float] | Mapping[str, Mapping[str, float]],
    owner_of: Callable[[str], str] = lambda _house: "",
    **parts: Any,
) -> PolicyDocument:
    """Put a document together: safe names, rounded numbers, ISO times, within the size limit.

    Args:
        revision: Grows with every publish.
        published_at: Unix seconds.
        data_through: Event time of the newest evidence in it; None while there is none.
        life_s: Seconds after which a reader stops using it.
        mode: `enforce` or `observe`.
        policies: By full key (`ezra.evidence_threshold`) or nested by owner; unknown keys are dropped.
        owner_of: Whose a house is; owners have equal shares of the room.
        parts: The other fields of `PolicyDocument`, each as plain dicts and lists. Times within
            them are Unix seconds, None, or ISO text already.

    Raises:
        ValueError: A value that a reader would refuse; publishing it would switch the fleet off.
        DocumentTooLargeError: It does not fit even after everything that may go is gone.
    """
    found = {
        "schema": SCHEMA,
        "revision": revision,
        "published_at": published_at,
        "data_through": data_through,
        "expires_at": published_at + life_s,
        "mode": mode,
        "policies": _nested(policies),
        **parts,
    }
    found["breakers"] = [b for b in found.get("breakers", ()) if b.get("tool") or b.get("model")]
    try:
        document = msgspec.convert(_fitter_of_all()(found), PolicyDocument)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    return within(document, LARGEST_BYTES - _DIGEST_BYTES, owner_of)


def encode(document: Mapping[str, Any]) -> bytes:
    """The file's bytes, with the digest, of the plain form of a document; `build` made sure that they fit.

    Raises:
        DocumentTooLargeError: The document was not made by `build`.
    """
    whole = {**document, "digest": digest(document)}
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    data = text.encode() + b"\n"
    if len(data) > LARGEST_BYTES:
        raise DocumentTooLargeError(len(data))
    return data


def content_digest_without_times(document: Mapping[str, Any]) -> str:
    """Equal for two documents that tell a house the same; for publishing only what changed."""
    return digest({key: value for key, value in document.items() if key not in _TIMES})


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


# ------------------------------------------------ what a value of a type may look like


@cache
def _fitter_of_all() -> _Fit:
    return _fitter(kinds.type_info(PolicyDocument))


def _fitter(kind: kinds.Type) -> _Fit:
    """What makes a value of this type fit to be published, or raises `_UnfitError`."""
    if isinstance(kind, kinds.Metadata):
        return _TEXTS[str((kind.extra or {}).get("kind"))]
    if isinstance(kind, kinds.DictType):
        return _table(_fitter(kind.key_type), _fitter(kind.value_type))
    if isinstance(kind, kinds.ListType):
        return _list(_fitter(kind.item_type))
    if isinstance(kind, kinds.StructType):
        return _entry(kind.cls.__name__, {f.encode_name: _fitter(f.type) for f in kind.fields})
    if isinstance(kind, kinds.UnionType):
        some = next(one for one in kind.types if not isinstance(one, kinds.NoneType))
        return _optional(_fitter(some))
    return _rounded


def _table(key: _Fit, value: _Fit) -> _Fit:
    def fit(table: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for name, item in table.items():
            try:
                found[key(name)] = value(item)
            except _UnfitError:
                continue
        return found

    return fit


def _list(item: _Fit) -> _Fit:
    def fit(items: list[Any]) -> list[Any]:
        found = []
        for one in items:
            try:
                found.append(item(one))
            except _UnfitError:
                continue
        return found

    return fit


def _entry(name: str, fields: Mapping[str, _Fit]) -> _Fit:
    def fit(entry: Mapping[str, Any]) -> dict[str, Any]:
        if strangers := [key for key in entry if key not in fields]:
            problem = f"{name} has no field {strangers[0]}"
            raise ValueError(problem)
        return {key: fields[key](value) for key, value in entry.items()}

    return fit


def _optional(some: _Fit) -> _Fit:
    return lambda value: None if value is None else some(value)


def _rounded(value: Any) -> Any:
    return round(value, _DIGITS) if isinstance(value, float) else value


def _name(value: Any) -> Any:
    if not is_name(value):
        raise _UnfitError
    return value


def _failure(value: Any) -> Any:
    if not is_name(value, longest=_LONGEST_FAILURE):
        raise _UnfitError
    return value


def _house(value: Any) -> Any:
    if not is_house(value):
        raise _UnfitError
    return value


def _time(value: Any) -> Any:
    return iso_from_at(value) if isinstance(value, (int, float)) else value


def _sentence(value: Any) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(value))[:LONGEST_TEXT]


_TEXTS: Final[Mapping[str, _Fit]] = {
    NAME: _name,
    FAILURE: _failure,
    HOUSE: _house,
    TIME: _time,
    SENTENCE: _sentence,
}
