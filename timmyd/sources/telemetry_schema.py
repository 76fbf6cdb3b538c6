"""The form of `timmy.telemetry/1`: its words for the decoder, and as a JSON Schema for others."""

import re
from typing import Any

from timmyd.house.outcome import OUTCOMES
from timmyd.house.seam import Caps, Seam

SCHEMA = "timmy.telemetry/"
MAJOR = "1"
LONGEST_NAME = 256
HEX16 = re.compile(r"[0-9a-f]{16}")
CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
SHAPE = re.compile(r"[A-Za-z0-9 ._:/+-]{0,64}")


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one line of a telemetry file: a header, or a line of a kind."""
    name = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}
    run = {"type": "string", "pattern": f"^{HEX16.pattern}$"}
    maybe_name = {"type": ["string", "null"], "maxLength": LONGEST_NAME}
    count = {"type": ["integer", "null"], "minimum": 0}
    code = {"type": ["string", "null"], "pattern": f"^{CODE.pattern}$"}
    latency = {"type": ["number", "null"], "minimum": 0}
    # Said by a line only where its header does not say it.
    session = dict.fromkeys(("platform", "cron"), maybe_name)
    common = {
        "run": run,
        "n": {"type": "integer", "minimum": 0},
        "at": {"type": "number", "exclusiveMinimum": 0},
        **session,
        "caps": {"enum": [*Caps]},
    }
    header = {
        "schema": {"const": SCHEMA + MAJOR},
        "run": run,
        "session_id": name,
        **dict.fromkeys(("house", "parent", "kit", "hermes"), maybe_name),
        **session,
        "seam": {"enum": [*Seam]},
        "caps": {"enum": [*Caps]},
    }
    tool = common | {
        "kind": {"const": "tool"},
        "tool": name,
        "call_id": {"type": ["string", "null"]},
        "turn": {"type": ["string", "null"]},
        "inner": {"type": "boolean"},
        "model": maybe_name,
        "signature": {"type": "string", "pattern": f"^{HEX16.pattern}$"},
        "shape": {"type": "string", "pattern": f"^{SHAPE.pattern}$"},
        "outcome": {"enum": list(OUTCOMES)},
        "rule": {"type": "string", "pattern": f"^{CODE.pattern}$"},
        "error_type": code,
        "latency_ms": latency,
        "confidence": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "policy": count,
        "followed": {"type": ["boolean", "null"]},
        "skill": maybe_name,
    }
    model = common | {
        "kind": {"const": "model"},
        "model": maybe_name,
        "provider": maybe_name,
        "outcome": {"enum": list(OUTCOMES)},
        "latency_ms": latency,
        "tokens_in": count,
        "tokens_out": count,
        "tokens_cached": count,
        "tokens_reasoning": count,
        "error_class": code,
        "fallback_from": maybe_name,
        "retry": count,
        "skill": maybe_name,
    }
    end = common | {
        "kind": {"const": "end"},
        "completed": {"type": "boolean"},
        "interrupted": {"type": "boolean"},
        "reason": code,
    }
    shapes = (
        (header, ["schema", "run", "session_id"]),
        (tool, ["run", "n", "at", "kind", "tool", "signature", "shape", "outcome"]),
        (model, ["run", "n", "at", "kind", "outcome"]),
        (end, ["run", "n", "at", "kind", "completed", "interrupted"]),
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of timmy.telemetry/1",
        "oneOf": [
            {"type": "object", "properties": properties, "required": required}
            for properties, required in shapes
        ],
    }
