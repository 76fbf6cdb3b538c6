"""The JSON Schema of the published policy."""

from collections.abc import Iterable, Mapping
from typing import Any

from timmyd.house.policy import LONGEST_TEXT, MODES, SCHEMA


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the published document."""
    rate = {"type": "number", "minimum": 0, "maximum": 1}
    count = {"type": "number", "minimum": 0}
    time = {"type": "string", "format": "date-time"}
    name = {"type": "string", "minLength": 1, "maxLength": 128}
    house = {"type": "string", "pattern": "^[a-z0-9_-]{1,32}$"}
    text = {"type": "string", "maxLength": LONGEST_TEXT}

    def table(values: object, names: object = name) -> dict[str, Any]:
        return {"type": "object", "propertyNames": names, "additionalProperties": values}

    def entry(required: Iterable[str], **properties: object) -> dict[str, Any]:
        return {"type": "object", "required": list(required), "properties": properties}

    def maybe(kind: Mapping[str, Any]) -> dict[str, Any]:
        return {"anyOf": [kind, {"type": "null"}]}

    figures: dict[str, Any] = {"success": rate, "low": rate, "high": rate, "samples": count}
    told = tuple(figures)
    beside = {**figures, "recent": entry(told, **figures)}
    weights = table(rate)
    properties = {
        "schema": {"type": "string", "pattern": r"^timmy\.policy/1(\.[0-9]+)?$"},
        "revision": {"type": "integer", "minimum": 0, "maximum": 2**53},
        "published_at": time,
        "data_through": maybe(time),
        "expires_at": time,
        "mode": {"enum": list(MODES)},
        "policies": table(table({"type": "number"}), house),
        "models": table(
            entry(("model", "success", "samples"), model=name, success=rate, low=maybe(rate), samples=count, weights=weights)
        ),
        "routes": table(
            entry(("house", "confidence", "samples"), house=house, confidence=rate, samples=count, weights=weights)
        ),
        "breaker_rule": entry((), open_at=count, wait_s=count, wait_max_s=count, probe_every_s=count),
        "breakers": {
            "type": "array",
            "items": entry(
                ("house", "state"), house=house, tool=maybe(name), model=maybe(name),
                state={"enum": ["closed", "open", "half_open"]}, limit=maybe(rate), evidence=maybe(count),
                since=maybe(time), probe_at=maybe(time), reason=maybe(text),
            ),
        },
        "trials": {
            "type": "array",
            "items": entry(
                ("policy", "old", "new", "arm"), policy=name, old={"type": "number"}, new={"type": "number"},
                arm={"enum": ["old", "new"]}, since=maybe(time), until=maybe(time),
            ),
        },
        "predictions": table(
            table(
                entry(
                    told, **beside,
                    shapes=table(entry(told, **beside, arguments=table(entry(told, **figures)))),
                )
            ),
            house,
        ),
        "why": table({"type": "object", "properties": {"reason": maybe(text), "since": maybe(time)}}),
        "digest": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
    }  # fmt: skip
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        **entry((key for key in properties if key != "data_through"), **properties),
    }
