"""Policy documents for tests: a whole one, and changes to it."""

from typing import Any

from timmyd.core.policy import as_json
from timmyd.core.publishing import build
from timmyd.house.policy import canonical, defaults, digest

PUBLISHED_AT = 1_795_381_200.0
LIFE_S = 900.0


def figures(success: float, samples: float = 40) -> dict[str, Any]:
    """An entry of `predictions`."""
    return {
        "success": success,
        "low": max(0.0, success - 0.1),
        "high": min(1.0, success + 0.1),
        "samples": samples,
    }


def document(**changes: Any) -> dict[str, Any]:
    """A document as the daemon builds it, with these inputs of `build` changed."""
    inputs: dict[str, Any] = {
        "revision": 17,
        "published_at": PUBLISHED_AT,
        "data_through": PUBLISHED_AT - 1.0,
        "life_s": LIFE_S,
        "mode": "enforce",
        "policies": defaults(),
        "models": {},
        "routes": {},
        "breaker_rule": {"open_at": 300, "wait_s": 30, "wait_max_s": 240, "probe_every_s": 5},
        "breakers": [],
        "trials": [],
        "predictions": {},
        "why": {},
    }
    return as_json(build(**{**inputs, **changes}))


def signed(data: dict[str, Any]) -> bytes:
    """The bytes of any object with a right digest, whether a daemon would publish it or not."""
    return canonical({**data, "digest": digest(data)})


def open_breaker(tool: str | None = "web_search", **changes: Any) -> dict[str, Any]:
    """A published open breaker of timmy."""
    entry: dict[str, Any] = {
        "house": "timmy",
        "tool": tool,
        "model": None,
        "state": "open",
        "limit": 0.3,
        "evidence": 412.0,
        "since": PUBLISHED_AT - 60.0,
        "probe_at": PUBLISHED_AT + 600.0,
        "reason": "3 of 41 succeeded",
    }
    return {**entry, **changes}
