"""PURE: what each part of a published document must look like; one wrong field refuses all of it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NoReturn

from .keys import is_house, is_name, is_number, spec, value_in_bounds

BREAKER_STATES = ("closed", "open", "half_open")
LONGEST_TEXT = 400
_LARGEST_COUNT = 1e15
_LARGEST_EVIDENCE = 1e300
_LONGEST_WAIT_S = 86_400.0


class PolicyError(ValueError):
    """A document that may not be used. `code` is a stable word for counting, `words` tells people."""

    def __init__(self, code: str, words: str) -> None:
        self.code = code
        self.words = words
        super().__init__(f"{code}: {words}")


def at_from_iso(text: object) -> float:
    """Unix seconds of an ISO 8601 time with an offset; ValueError for anything else."""
    at = datetime.fromisoformat(text if isinstance(text, str) else "")
    if at.tzinfo is None:
        raise ValueError
    return at.timestamp()


def refuse(code: str, words: str) -> NoReturn:
    """Raise `PolicyError`."""
    raise PolicyError(code, words)


def _require(
    item: object,
    place: str,
    checks: Mapping[str, Callable[[Any], bool]],
    *,
    optional: tuple[str, ...] = (),
) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        refuse("shape", f"{place}: expected an object")
    for name, check in checks.items():
        value = item.get(name)
        if value is None and name in optional:
            continue
        if not check(value):
            refuse("shape", f"{place}.{name}: not what was expected")
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


def choices(
    table: Mapping[str, Any], place: str, *, what: str, rate: str, choice: Callable[[object], bool]
) -> Mapping[str, Mapping[str, Any]]:
    """Check `models` or `routes`: each entry names a `what` and its `rate`."""
    for name, item in table.items():
        if not is_name(name):
            refuse("shape", f"$.{place}: a name is not fit to be shown")
        checks = {what: choice, rate: _rate, "low": _rate, "samples": _count}
        _require(item, f"$.{place}[…]", checks, optional=("low",))
        for part in ("weights", "best"):
            shares = item.get(part, {})
            if not isinstance(shares, Mapping) or not all(
                choice(arm) and _rate(share) for arm, share in shares.items()
            ):
                refuse("shape", f"$.{place}[…].{part}: expected shares by name")
    return table


def own_choices(table: Mapping[str, Any]) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Check `own`: by house the `models` and `routes` that bind it in place of the general ones."""
    for house, kinds in table.items():
        if not is_house(house) or not isinstance(kinds, Mapping):
            refuse("shape", "$.own: expected an object a house")
        for kind in ("models", "routes"):
            if not isinstance(kinds.get(kind, {}), Mapping):
                refuse("shape", f"$.own.{house}.{kind}: expected an object")
        choices(
            kinds.get("models", {}), "own[…].models", what="model", rate="success", choice=is_name
        )
        choices(
            kinds.get("routes", {}), "own[…].routes", what="house", rate="confidence",
            choice=is_house,
        )  # fmt: skip
    return table


def rule(rule: Mapping[str, Any]) -> Mapping[str, float]:
    """Check `breaker_rule`: sane positive numbers."""
    checks: dict[str, Callable[[Any], bool]] = {
        "open_at": lambda value: is_number(value, 1.0, 1e12),
        "wait_s": _seconds,
        "wait_max_s": _seconds,
        "probe_every_s": _seconds,
    }
    return _require(rule, "$.breaker_rule", checks, optional=tuple(checks))


def breaker(item: object, number: int) -> Mapping[str, Any]:
    """Of a tool in a house, or with `tool` null of a model in it."""
    guards = item.get("tool") or item.get("model") if isinstance(item, Mapping) else None
    if guards is None:
        refuse("shape", f"$.breakers[{number}]: expected a tool or a model")
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


def trial(item: object, number: int) -> Mapping[str, Any]:
    """Check one of `trials`: both arms lie within the hard bounds."""
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
            refuse("out_of_bounds", f"$.trials[{number}].{arm}: outside its hard bounds")
    return trial


def notice(item: object, number: int) -> Mapping[str, Any]:
    """Check one of `notices`: what fell or recovered, from, to, and since when."""
    checks: dict[str, Callable[[Any], bool]] = {
        "house": is_house,
        "kind": ("fell", "recovered").__contains__,
        "tool": is_name,
        "shape": is_name,
        "model": is_name,
        "from": _rate,
        "to": _rate,
        "since": _moment,
        "evidence": lambda value: is_number(value, 0.0, _LARGEST_EVIDENCE),
    }
    return _require(
        item, f"$.notices[{number}]", checks, optional=("kind", "tool", "shape", "model")
    )


_FIGURES: Mapping[str, Callable[[Any], bool]] = {
    "success": _rate,
    "low": _rate,
    "high": _rate,
    "samples": _count,
}


def predictions(table: Mapping[str, Any]) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Check `predictions`: figures by house, tool, shape and signature of the arguments."""
    for house, tools in table.items():
        if not is_house(house) or not isinstance(tools, Mapping):
            refuse("shape", "$.predictions: expected an object a house")
        place = f"$.predictions.{house}[…]"
        for item in _figures(tools, place):
            for like in _figures(item.get("shapes", {}), f"{place}.shapes[…]"):
                _figures(like.get("arguments", {}), f"{place}.shapes[…].arguments[…]")
    return table


def _figures(table: object, place: str) -> Iterable[Mapping[str, Any]]:
    """Check figures by name, each perhaps with those of the last two days; returns them."""
    if not isinstance(table, Mapping):
        refuse("shape", f"{place}: expected an object")
    for name, entry in table.items():
        if not is_name(name):
            refuse("shape", f"{place}: a name is not fit to be shown")
        _require(entry, place, _FIGURES)
        if entry.get("recent") is not None:
            _require(entry["recent"], f"{place}.recent", _FIGURES)
    return table.values()


def why(table: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Check `why`: sentences that are fit to be shown."""
    for key, item in table.items():
        if not is_name(key):
            refuse("shape", "$.why: a key is not fit to be shown")
        _require(
            item, "$.why[…]", {"reason": _sentence, "since": _moment}, optional=("reason", "since")
        )
    return table


def names(value: Mapping[str, Any]) -> Mapping[str, Mapping[str, str]]:
    """Check `names`: uid, claimed house, house."""
    for uid, table in value.items():
        if not uid.isdigit() or not isinstance(table, Mapping):
            refuse("shape", "$.names: expected an object a uid")
        if not all(is_house(house) for pair in table.items() for house in pair):
            refuse("shape", f"$.names.{uid}: expected houses")
    return MappingProxyType(dict(value))
