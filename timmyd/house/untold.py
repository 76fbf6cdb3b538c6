"""Untold: requests to models that were answered, and of which no hook has told.

Hermes 0.21 skips a hook whose callback still runs in another session, so in a process of many sessions a part of
what models used would neither be recorded nor count towards a cap. The middleware around requests has no such latch.
"""

import threading
from collections.abc import Mapping
from typing import Any, Final

_MOST: Final = 4096
_TOLD_BY_HOOKS: Final = ("api_request_id", "model", "provider", "base_url", "platform")
_USAGE: Final = {
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}
"""What clients call it (chat completions, messages, responses), and what Hermes' hooks do."""

Told = Mapping[str, Any]
"""What `post_api_request` would have told of one request."""


class Untold:
    """Keeps what each answered request would have been told of, until a hook tells it or somebody takes it."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, bool], dict[str, Told]] = {}
        self._taken: dict[tuple[str, str], None] = {}
        self._lock = threading.Lock()

    def answered(
        self,
        session: str,
        given: Mapping[str, Any],
        response: object,
        *,
        beside: bool,
        seconds: float,
    ) -> None:
        """A request was answered; its hook comes next, if it comes.

        Args:
            session: Whose request.
            given: What Hermes told the middleware of it.
            response: What it got.
            beside: It is Hermes' own work beside the session.
            seconds: How long it took.
        """
        request = given.get("api_request_id")
        if not isinstance(request, str) or not request:
            return
        told = {name: given[name] for name in _TOLD_BY_HOOKS if name in given}
        with self._lock:
            self._taken.pop((session, request), None)
            waiting = self._waiting.setdefault((session, beside), {})
            waiting[request] = {**told, "usage": _usage(response), "api_duration": seconds}
            _bound(waiting)
            _bound(self._waiting)

    def is_news(self, session: str, request: object) -> bool:
        """A hook tells of a request; False: it was taken as untold already."""
        with self._lock:
            for beside in (False, True):
                self._waiting.get((session, beside), {}).pop(str(request), None)
            return (session, str(request)) not in self._taken

    def take(self, session: str, *, beside: bool) -> list[Told]:
        """What no hook has told: of the same session, and the same work, whose next request or end has come."""
        with self._lock:
            found = self._waiting.pop((session, beside), {})
            self._taken.update(dict.fromkeys((session, request) for request in found))
            _bound(self._taken)
        return list(found.values())


def _usage(response: object) -> dict[str, Any] | None:
    """What a response says that it used, in the words of Hermes' hooks; None where it does not say."""
    usage = getattr(response, "usage", None)
    told = {ours: getattr(usage, theirs, None) for theirs, ours in _USAGE.items()}
    known = {name: value for name, value in told.items() if isinstance(value, int)}
    cached = getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None)
    if (
        "prompt_tokens" in known
        and isinstance(cached, int)
        and 0 < cached <= known["prompt_tokens"]
    ):
        known["input_tokens"] = known["prompt_tokens"] - cached
        known["cache_read_tokens"] = cached
    return known or None


def _bound(table: dict[Any, Any]) -> None:
    while len(table) > _MOST:
        del table[next(iter(table))]
