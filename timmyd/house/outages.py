"""PURE: which providers are down, found by any session of a house, and when each is tried again.

An upstream is one model at one address. It is down once a request came to nothing there, all tries of it, and
nothing was answered in between. While it is down one request at a time is let through as a probe, at growing
intervals; the first answer brings it back.

A provider that fails now and then is not down. Each time it answers after failing, one more failure in a row
is asked for, for a minute: what Hermes' own retries get over is theirs.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

WAITS: Final = {
    "timeout": (5.0, 30.0),
    "server_error": (5.0, 30.0),
    "overloaded": (5.0, 30.0),
    "rate_limit": (15.0, 60.0),
    "upstream_rate_limit": (15.0, 60.0),
    "auth": (30.0, 60.0),
    "auth_permanent": (60.0, 60.0),
    "billing": (60.0, 60.0),
}
"""Seconds to the first probe and at most between two, by class of error; what is not here says nothing of a provider."""

DEFINITE: Final = frozenset({"auth", "auth_permanent", "billing"})
"""Classes of which one failure says all: another try with the same credential fails too."""

OF_CREDENTIALS: Final = DEFINITE | {"rate_limit"}
"""Classes that tell of one credential, and not of all who ask at the address."""

NEEDED: Final = 3
"""Failures in a row of other classes, unless Hermes itself gives up after fewer."""

_FORGET_S: Final = 600.0
_UNSTEADY_S: Final = 60.0
_MORE_NEEDED: Final = 2
_MOST_UPSTREAMS: Final = 64
_OTHERS_DOWN: Final = 2
_LATEST: Final = 1e11


class Upstream(NamedTuple):
    """A model at an address: hashes, since a file must not tell an address that may hold a name."""

    address: str
    model: str

    @classmethod
    def of(cls, provider: str, base_url: str, model: str) -> "Upstream":
        """Of a request; user, password and query of its address are left out."""
        return cls(address_hash(provider, base_url), _hash(model))

    def within(self, home: str) -> "Upstream":
        """The same for the credential of one home."""
        return self._replace(address=_hash(f"{self.address}\0{home}"))


class FailedRequest(NamedTuple):
    """A request that failed.

    Attributes:
        error_class: As Hermes names it.
        gave_up: Hermes does not try this request again.
        needed: After how many in a row the provider is down, this one included.
    """

    error_class: str
    gave_up: bool
    needed: int = NEEDED


class Outage(NamedTuple):
    """One upstream that fails, or did within the last minutes.

    Attributes:
        error_class: Of the last failure.
        failures: In a row.
        since: Of the first of them, Unix seconds.
        last: Of the last of them.
        wait_s: Between two probes; 0 while it is not down.
        until: When the next probe is due.
        answered: When it answered after a failure, lately.
    """

    error_class: str = ""
    failures: int = 0
    since: float = 0.0
    last: float = 0.0
    wait_s: float = 0.0
    until: float = 0.0
    answered: tuple[float, ...] = ()

    @property
    def is_down(self) -> bool:
        """Whether requests are held back."""
        return self.wait_s > 0.0


class Outages:
    """The upstreams of one house. Times are Unix seconds."""

    def __init__(self, upstreams: Mapping[Upstream, Outage] | None = None) -> None:
        self.upstreams: dict[Upstream, Outage] = dict(upstreams or {})

    def failed(
        self, upstream: Upstream, failure: FailedRequest, now: float, *, jitter: float
    ) -> bool:
        """A request failed; `jitter` in [0, 1) shortens the wait by up to a fifth.

        Returns:
            Whether this is to be remembered: classes that say nothing of a provider are not.
        """
        waits = WAITS.get(failure.error_class)
        if waits is None:
            return False
        known = self.upstreams.pop(upstream, Outage())
        if not (known.is_down or 0.0 <= now - known.last <= _FORGET_S):
            known = Outage(answered=known.answered)
        lately = tuple(at for at in known.answered if 0.0 <= now - at <= _UNSTEADY_S)
        failures = known.failures + 1
        needed = failure.needed + _MORE_NEEDED * len(lately)
        wait_s = min(known.wait_s, waits[1])
        if failure.gave_up and known.is_down:
            wait_s = min(known.wait_s * 2.0, waits[1])
        elif failure.gave_up and failures >= needed:
            wait_s = waits[0]
        self.upstreams[upstream] = Outage(
            failure.error_class,
            failures,
            known.since or now,
            now,
            wait_s,
            now + wait_s * (1.0 - 0.2 * jitter) if wait_s else 0.0,
            lately,
        )
        while len(self.upstreams) > _MOST_UPSTREAMS:
            del self.upstreams[next(iter(self.upstreams))]
        return True

    def answered(self, upstream: Upstream, now: float) -> bool:
        """A request was answered: the upstream is back.

        Returns:
            Whether this is to be remembered.
        """
        known = self.upstreams.get(upstream)
        if known is None or not known.failures:
            return False
        self.upstreams[upstream] = Outage(answered=(*known.answered, now)[-_MOST_UPSTREAMS:])
        return True

    def down(self, upstream: Upstream, now: float) -> Outage | None:
        """Why a request would be held back now; None where it would pass.

        A model that was not tried itself is held back where two others of its address are down.
        """
        own = self.upstreams.get(upstream)
        if own is not None:
            return own if own.is_down and 0.0 < own.until - now <= _longest(own) else None
        others = [one for other, one in self.upstreams.items() if other.address == upstream.address]
        if len(others) < _OTHERS_DOWN or not all(one.is_down for one in others):
            return None
        first = min(others, key=lambda one: one.until)
        return first if 0.0 < first.until - now <= _longest(first) else None

    def probe(self, upstream: Upstream, now: float) -> bool:
        """A request passes: where its upstream is down it is the probe, and others wait for what becomes of it.

        Returns:
            Whether this is to be remembered.
        """
        own = self.upstreams.get(upstream)
        if own is None or not own.is_down:
            return False
        self.upstreams[upstream] = own._replace(until=now + own.wait_s)
        return True

    def dump(self) -> bytes:
        """For a file."""
        return json.dumps(
            [[*upstream, *outage] for upstream, outage in self.upstreams.items()]
        ).encode()

    @classmethod
    def load(cls, data: bytes) -> "Outages":
        """From a file; what cannot be read there is not down."""
        try:
            rows = json.loads(data)
        except (ValueError, RecursionError):
            return cls()
        upstreams: dict[Upstream, Outage] = {}
        for row in rows[-_MOST_UPSTREAMS:] if isinstance(rows, list) else ():
            found = _row(row)
            if found is not None:
                upstreams[found[0]] = found[1]
        return cls(upstreams)


def address_hash(provider: str, base_url: str) -> str:
    """What an address is called where its name must not stand."""
    try:
        parts = urlsplit(base_url)
        place = f"{parts.scheme}://{parts.hostname}:{parts.port or ''}{parts.path.rstrip('/')}"
    except ValueError:
        place = base_url
    return _hash(f"{provider}\0{place}")


def _longest(outage: Outage) -> float:
    """Past this a wait comes from another clock than ours, and is over."""
    return WAITS[outage.error_class][1]


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


def _row(row: Any) -> tuple[Upstream, Outage] | None:
    try:
        address, model, error_class, failures, *times, answered = row
        since, last, wait_s, until = map(float, times)
        outage = Outage(
            error_class, int(failures), since, last, wait_s, until, tuple(map(float, answered))
        )
    except (TypeError, ValueError, OverflowError):
        return None
    if not all(isinstance(word, str) for word in (address, model, error_class)):
        return None
    if not all(abs(at) < _LATEST for at in (since, last, wait_s, until, *outage.answered)):
        return None
    if error_class not in WAITS and (outage.failures or outage.is_down):
        return None
    return Upstream(address, model), outage
