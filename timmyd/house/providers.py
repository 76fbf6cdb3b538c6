"""Providers: an outage that one session finds is known at once to all sessions of its user, in every home.

What tells of a credential (a rate limit, a bill, a key) is known within its home, since each has its own.
"""

import random
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from .outages import OF_CREDENTIALS, WAITS, FailedRequest, Outage, Outages, Upstream
from .shared_file import locked, read, replace, stamp

PROVIDERS_FILE: Final = "providers.json"
PROVIDER_DOWN: Final = "provider_down"
_LOCK_FILE: Final = "providers.lock"
_WORDS: Final = {
    "timeout": "it does not answer",
    "server_error": "it answers with errors of its own",
    "overloaded": "it says that it is overloaded",
    "rate_limit": "its rate limit is reached",
    "upstream_rate_limit": "the rate limit behind it is reached",
    "auth": "it does not accept the credential",
    "auth_permanent": "it does not accept the credential",
    "billing": "it asks for payment",
}


class Providers:
    """Asked before a request, told after it. A file that cannot be used holds nobody back.

    Args:
        folder: The user's own folder.
        home: Whose credentials are used.
        clock: Unix seconds.
        draw: A number in [0, 1), which spreads probes.
    """

    def __init__(
        self,
        folder: Path,
        home: str = "",
        *,
        clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._file = folder / PROVIDERS_FILE
        self._lock = folder / _LOCK_FILE
        self._home = home
        self._clock = clock
        self._draw = draw
        self._stamp: tuple[int, int, int] | None = None
        self._outages = Outages()

    def down(self, upstream: Upstream) -> Outage | None:
        """Why requests to this upstream are held back; None where they pass. Nothing is claimed by asking."""
        return self._down(self._current(), upstream, self._clock())

    def admit(self, upstream: Upstream, *, stands_aside: Callable[[], bool]) -> Outage | None:
        """May a request be sent? Where its upstream is down, one may at a time, as the probe.

        Args:
            upstream: Where it would go.
            stands_aside: Asked only where it is down: True lets the request pass all the same.

        Returns:
            Why not; None: it may.
        """
        outage = self.down(upstream)
        known = self._current().upstreams
        both = self._both(upstream)
        is_probe = outage is None and any(known[one].is_down for one in both if one in known)
        if (outage is None and not is_probe) or stands_aside():
            return None
        found = [outage]

        def ask(outages: Outages, now: float) -> bool:
            found[0] = self._down(outages, upstream, now)
            return found[0] is None and sum(outages.probe(one, now) for one in both) > 0

        if is_probe:
            self._change(ask)
        return found[0]

    def answered(self, upstream: Upstream) -> None:
        """A request there was answered."""
        known = self._current().upstreams
        both = [one for one in self._both(upstream) if one in known and known[one].failures]
        if both:
            self._change(lambda outages, now: sum(outages.answered(one, now) for one in both) > 0)

    def failed(self, upstream: Upstream, failure: FailedRequest) -> None:
        """A request there failed."""
        if failure.error_class in WAITS:
            own = failure.error_class in OF_CREDENTIALS
            whose = upstream.within(self._home) if own else upstream
            jitter = self._draw()
            self._change(lambda outages, now: outages.failed(whose, failure, now, jitter=jitter))

    def _both(self, upstream: Upstream) -> tuple[Upstream, Upstream]:
        return upstream, upstream.within(self._home)

    def _down(self, outages: Outages, upstream: Upstream, now: float) -> Outage | None:
        found = (outages.down(one, now) for one in self._both(upstream))
        return next((one for one in found if one is not None), None)

    def open(self) -> list[Outage]:
        """What is down now."""
        return [one for one in self._current().upstreams.values() if one.is_down]

    def _current(self) -> Outages:
        found = stamp(self._file)
        if found != self._stamp:
            self._outages = self._read()
            self._stamp = found
        return self._outages

    def _read(self) -> Outages:
        try:
            return Outages.load(read(self._file))
        except OSError:
            return Outages()

    def _change(self, change: Callable[[Outages, float], bool]) -> None:
        """Change what is in the file; where it cannot be had, this process goes by what it knows itself."""
        try:
            with locked(self._lock):
                outages = self._read()
                if change(outages, self._clock()):
                    replace(self._file, outages.dump())
                self._outages, self._stamp = outages, stamp(self._file)
        except OSError:
            change(self._outages, self._clock())


def in_words(outage: Outage, model: str) -> str:
    """`glm-5 has not answered since 12:04 (it says that it is overloaded, 9 times in a row)`."""
    since = datetime.fromtimestamp(outage.since).astimezone()
    times = "once" if outage.failures == 1 else f"{outage.failures} times in a row"
    return f"{model} has not answered since {since:%H:%M} ({_WORDS[outage.error_class]}, {times})"


def outage_answer(outage: Outage, model: str, now: float) -> str:
    """The answer of a turn whose provider is down."""
    wait_s = max(1, round(outage.until - now))
    return (
        f"I stopped here: the provider of {in_words(outage, model)}. Other sessions found it, so this one did not "
        f"try in vain; nothing of this turn is lost. It is tried again in {wait_s} s: say so then, or choose "
        f"another model. (timmy)"
    )
