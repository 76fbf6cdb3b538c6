"""What the hooks tell of one request to a model, put into the words of the telemetry."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .outages import DEFINITE, NEEDED, FailedRequest

_WORD: Final = re.compile(r"([a-z][a-z0-9_]{0,39})(?:\(.*)?", re.DOTALL)
_BY_STATUS: Final = {
    401: "auth",
    402: "billing",
    403: "auth",
    408: "timeout",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
_FORBIDDEN: Final = 403
_SERVER_ERRORS: Final = range(500, 600)
_TIMEOUTS: Final = ("timeout", "timed out")

_LARGEST: Final = 1e300


class ModelRequest(NamedTuple):
    """A request to a model that was answered or failed; None where Hermes does not tell.

    Attributes:
        error_class: Why it failed: rate_limit, timeout, overloaded, server_error, billing, auth, …
        fallback_from: The model, or the provider of the same model, that Hermes fell back from.
        tokens_in: Without the cached ones.
        retry: Which repetition of the same request it was, from 1.
    """

    model: str | None
    provider: str | None
    outcome: str
    latency_ms: float | None = None
    error_class: str | None = None
    fallback_from: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    tokens_reasoning: int | None = None
    retry: int | None = None


class Route(NamedTuple):
    """Where a request went; another one under the same id is a fallback."""

    request: str
    model: str
    provider: str
    base_url: str

    def fallback_from(self, before: "Route | None") -> str | None:
        """What Hermes fell back from; None where this is no fallback."""
        if before is None or not self.request or self.request != before.request:
            return None
        if self.model != before.model:
            return before.model or None
        moved = (self.provider, self.base_url) != (before.provider, before.base_url)
        return (before.provider or before.model or None) if moved else None


def route(given: Mapping[str, Any]) -> Route:
    """Where the request of a hook's payload went."""
    return Route(*(text(given.get(key)) for key in ("api_request_id", "model", "provider", "base_url")))  # fmt: skip


def answered(
    given: Mapping[str, Any], model: str | None, fallback_from: str | None
) -> ModelRequest:
    """A request that was answered, from the payload of `post_api_request`."""
    found = given.get("usage")
    usage = found if isinstance(found, Mapping) else {}
    return ModelRequest(
        model,
        text(given.get("provider")) or None,
        "ok",
        latency_ms=_milliseconds(given.get("api_duration")),
        fallback_from=fallback_from,
        tokens_in=count(usage.get("input_tokens", usage.get("prompt_tokens"))),
        tokens_out=count(usage.get("output_tokens", usage.get("completion_tokens"))),
        tokens_cached=count(usage.get("cache_read_tokens")),
        tokens_reasoning=count(usage.get("reasoning_tokens")),
        retry=count(given.get("retry_count")) or None,
    )


def failed(given: Mapping[str, Any], model: str | None, fallback_from: str | None) -> ModelRequest:
    """A request that failed, from the payload of `api_request_error`; its words are looked at and dropped."""
    error_class = _error_class(given)
    return ModelRequest(
        model,
        text(given.get("provider")) or None,
        "timeout" if error_class == "timeout" else "error",
        latency_ms=_milliseconds(given.get("api_duration")),
        error_class=error_class,
        fallback_from=fallback_from,
        retry=count(given.get("retry_count")) or None,
    )


def failure_of(given: Mapping[str, Any], request: ModelRequest) -> FailedRequest:
    """What a request that failed says of its provider, from the payload of `api_request_error`.

    A 403 without more may be an answer to what was asked, so it counts as any other failure does.
    """
    retries = max(1, count(given.get("max_retries")) or NEEDED)
    last = (count(given.get("retry_count")) or 0) + 1 >= retries
    definite = request.error_class in DEFINITE and count(given.get("status_code")) != _FORBIDDEN
    return FailedRequest(
        request.error_class or "",
        gave_up=last or given.get("retryable") is False,
        needed=1 if definite else min(NEEDED, retries),
    )


def word(value: Any) -> str | None:
    """The word of a code such as `text_response(finish_reason=stop)`: what follows may quote the session."""
    found = _WORD.fullmatch(value.lower()) if isinstance(value, str) else None
    return found[1] if found else None


def text(value: Any) -> str:
    """A text, empty for anything else."""
    return value if isinstance(value, str) else ""


def figure(value: Any) -> float | None:
    """A number of at least 0; None for anything else."""
    sane = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    return float(value) if sane and value < _LARGEST else None


def count(value: Any) -> int | None:
    """A whole number of at least 0; None for anything else."""
    found = figure(value)
    return None if found is None else int(found)


def _milliseconds(seconds: Any) -> float | None:
    found = figure(seconds)
    return None if found is None else round(found * 1000.0, 1)


def _error_class(given: Mapping[str, Any]) -> str | None:
    reason = given.get("reason")
    said = word(getattr(reason, "value", reason))
    error = given.get("error")
    kind = error.get("type") if isinstance(error, Mapping) else None
    if said != "timeout" and any(mark in f"{reason} {kind}".lower() for mark in _TIMEOUTS):
        return "timeout"
    if said not in (None, "unknown"):
        return said
    status = count(given.get("status_code"))
    if status is None:
        return said
    return _BY_STATUS.get(status, "server_error" if status in _SERVER_ERRORS else said)
