"""Policies: the last good policy document, found, reloaded and expired by itself; it never raises."""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from .breaker import ALLOWED, CLOSED, BreakerRule, Breakers, Verdict
from .figures import NO_DATA, in_words, nearest
from .keys import HOUSE_KEYS, is_house
from .names import as_seen_by
from .policy import FALLBACK_HOUSE, Policy, PolicyError, defaults, parse
from .probes import ProbeClaims
from .regular import read_document
from .shape import shape

LOOK_EVERY_S = 1.0
MOST_AHEAD_S = 300.0
"""A document dated further ahead of this machine's clock is not obeyed: one of the two clocks is wrong."""
SERVICE_PLACE = "/var/lib/timmyd/policy.json"
Closed = tuple[str, float | None, float | None]


def places(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Where a policy may be, best first: `$TIMMY_POLICY` alone, or the user's, then the service's."""
    named = environment.get("TIMMY_POLICY")
    if named:
        return (named,)
    state = environment.get("XDG_STATE_HOME") or ""
    home = environment.get("HOME") or ""
    if not state.startswith("/") and home:
        state = f"{home}/.local/state"
    return (f"{state}/timmyd/policy.json", SERVICE_PLACE) if state else (SERVICE_PLACE,)


class _Place:
    """One place where a policy may be, and what was last found there."""

    __slots__ = ("path", "policy", "problem", "stamp")

    def __init__(self, path: str) -> None:
        self.path = path
        self.stamp: tuple[int, ...] | None = None
        self.policy: Policy | None = None
        self.problem = "missing"


class Policies:
    """What a house asks before, and tells after, every call.

    A document is taken whole or not at all. While none is usable (missing, broken, expired, or
    in `observe` mode) every answer is the compiled-in default and every breaker is closed. The
    file is looked at most once a second, by one thread at a time; nothing here waits or raises.

    Args:
        path: The one file to use; None finds it (`places`).
        own_only: Refuse a document from another machine: a link, or a network file system.
        house: What its reader calls itself; what another owner has under this name is not for it.
        clock: Unix seconds.
        monotonic: Seconds of a clock that never jumps.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        own_only: bool = False,
        house: str | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._own_only = own_only
        self._seen = partial(as_seen_by, uid=os.getuid(), house=house)
        found = places(os.environ) if path is None else (os.fspath(path),)
        self._places = [_Place(str(name)) for name in found]
        self._lock = threading.Lock()
        self._looked_at: float | None = None
        self._read: Policy | None = None
        self._policy: Policy | None = None
        self._breakers = Breakers(seed=f"{os.getpid()}-{os.urandom(4).hex()}")
        self._synced: tuple[str, ...] | None = None
        self._defaults = defaults()

    def claim_probes_in(self, folder: Path) -> None:
        """Share the probes of published-open breakers with the other processes of the house.

        Args:
            folder: In the house's own directory; the same for all of them.
        """
        self._breakers.claim = ProbeClaims(folder).take

    @property
    def document(self) -> Policy | None:
        """The document in force; None while there is none or it only observes."""
        policy = self._current()
        return policy if policy is not None and policy.mode == "enforce" else None

    @property
    def revision(self) -> int | None:
        """The revision of the document at hand, also of one that only observes."""
        policy = self._current()
        return None if policy is None else policy.revision

    def budget(self, house: str) -> Mapping[str, Any] | None:
        """Caps and prices of a house, `{}` for none; also of a document that only observes.

        Returns:
            None where no document is at hand: then the caps that were published last go on.
        """
        policy = self._current()
        return None if policy is None else policy.budgets.get(house, {})

    @property
    def fresh(self) -> bool:
        """Whether there is a whole document that has not expired."""
        return self._current() is not None

    @property
    def problem(self) -> str | None:
        """Why there is no document: a stable word such as `missing`, `digest`, `expired`."""
        if self._current() is not None:
            return None
        if any(place.policy and _is_ahead(place.policy, self._clock()) for place in self._places):
            return "ahead"
        return next(
            (place.problem for place in self._places if place.problem != "missing"), "missing"
        )

    def value(self, house: str, key: str) -> float | None:
        """The value of `<house>.<key>`; its default without a policy; None for no known key."""
        policy = self.document
        name = f"{house}.{key}"
        found = None if policy is None else policy.values.get(name)
        if found is None:
            found = self._defaults.get(name)
        known = None if key == "evidence_threshold" else HOUSE_KEYS.get(key)
        return known.default if found is None and known is not None and is_house(house) else found

    def predict_success(
        self, tool: str, house: str, params: Any = None
    ) -> tuple[float | None, str]:
        """The probability that a call succeeds, and why; (None, words) without enough evidence."""
        found = self._figures(tool, house, params)
        if found is None:
            return None, NO_DATA
        figures, group = found
        return float(figures["success"]), in_words(figures, group)

    def probability(self, tool: str, house: str, params: Any, short: str) -> float | None:
        """The same probability alone, for a call whose shape is known."""
        found = self._figures(tool, house, params, short)
        return None if found is None else float(found[0]["success"])

    def get_optimal_house(
        self, tool: str, *, asking: str | None = None
    ) -> tuple[str, float | None]:
        """The house for a tool and how sure that is; timmy where nothing better is known.

        A tool whose best house is predicted below `routing.fallback_to_timmy_threshold` goes to timmy.

        Args:
            tool: The tool.
            asking: The house that asks, which may be bound otherwise than all.
        """
        policy = self.document
        route = None if policy is None else policy.bound("routes", asking).get(tool)
        if route is None:
            return FALLBACK_HOUSE, None
        house, confidence = str(route["house"]), float(route["confidence"])
        success, _ = self.predict_success(tool, house)
        least = self.value("routing", "fallback_to_timmy_threshold")
        if least is not None and (confidence if success is None else success) < least:
            return FALLBACK_HOUSE, self.predict_success(tool, FALLBACK_HOUSE)[0]
        return house, confidence

    def get_best_model(self, task_type: str, *, asking: str | None = None) -> str | None:
        """The published model for a task type, None where none passed the minimum of evidence."""
        choice = self.choice(task_type, asking)
        return None if choice is None else str(choice["model"])

    def choice(self, task_type: str, asking: str | None = None) -> Mapping[str, Any] | None:
        """The published entry behind `get_best_model`: model, success, low, samples, weights, best."""
        policy = self.document
        return None if policy is None else policy.bound("models", asking).get(task_type)

    def allows(
        self, tool: str | None, *, house: str = FALLBACK_HOUSE, model: str | None = None
    ) -> Verdict:
        """May this call run? Ask once a call: in half-open the answer takes the probe.

        Args:
            tool: The tool; None to ask for `model` alone.
            house: Whose call it is.
            model: The model that is to be called, if that matters.
        """
        if self.document is None:
            return ALLOWED
        with suppress(Exception), self._lock:
            return self._breakers.allows(house, tool, self._clock(), model=model)
        return ALLOWED

    def record(
        self,
        tool: str | None,
        outcome: str,
        *,
        house: str = FALLBACK_HOUSE,
        session: str | None = None,
        model: str | None = None,
    ) -> None:
        """Count a finished call towards the house's own breakers, which open at once.

        With `tool` None it is a call of `model` itself.
        """
        self._current()
        with suppress(Exception), self._lock:
            self._breakers.record(house, tool, self._clock(), outcome, session=session, model=model)

    def closed_to(self, house: str, *, models: bool = False) -> list[Closed]:
        """The tools (or `models`) that a house may not use now: name, since when, when the next probe may go."""
        listed = () if self.document is None else self._breakers
        with suppress(Exception), self._lock:
            return [
                (name, breaker.since, breaker.probe_at)
                for key, breaker in listed
                if (name := key.model if models else key.tool) is not None and key.house == house
                if breaker.state != CLOSED
            ]
        return []

    def _figures(
        self, tool: str, house: str, params: Any, short: str | None = None
    ) -> tuple[Mapping[str, Any], str] | None:
        """What is published of a call, and of what group of calls that is."""
        policy = self.document
        item = None if policy is None else policy.predictions.get(house, {}).get(tool)
        if item is None:
            return None
        if short is None and params is not None:
            with suppress(Exception):
                short = shape(tool, params)
        with suppress(Exception):
            return nearest(item, short, params)
        return nearest(item, short, None)

    def _current(self) -> Policy | None:
        """The usable document, after a look at the files if the last look is a second old."""
        try:
            tick = self._monotonic()
            looked = self._looked_at
            if looked is None or not 0.0 <= tick - looked < LOOK_EVERY_S:
                self._look(tick)
            policy = self._policy
            return policy if policy is not None and _is_timely(policy, self._clock()) else None
        except Exception:  # noqa: BLE001 - a house must work on whatever breaks here
            return None

    def _look(self, tick: float) -> None:
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._looked_at = tick
            now = self._clock()
            for place in self._places:
                _look_at(place, now, own_only=self._own_only)
            found = (place.policy for place in self._places)
            policy = next((p for p in found if p is not None and _is_timely(p, now)), None)
            if policy is not self._read:
                self._read, self._policy = policy, None if policy is None else self._seen(policy)
            self._sync(now)
        finally:
            self._lock.release()

    def _sync(self, now: float) -> None:
        """Tell the breakers what is published, once a document; nothing while none is in force."""
        policy = self._policy
        if policy is not None and policy.mode != "enforce":
            policy = None
        mark = ("",) if policy is None else (policy.digest,)
        if mark == self._synced:
            return
        self._synced = mark
        rule = BreakerRule.from_dict({} if policy is None else dict(policy.breaker_rule))
        published: Sequence[Mapping[str, Any]] = () if policy is None else policy.breakers
        self._breakers.load(published, rule, now)
        for house, tools in ({} if policy is None else policy.predictions).items():
            for tool, figures in tools.items():
                self._breakers.expect(house, tool, figures["success"])


def _is_ahead(policy: Policy, now: float) -> bool:
    return policy.published_at - now > MOST_AHEAD_S


def _is_timely(policy: Policy, now: float) -> bool:
    return now < policy.expires_at and not _is_ahead(policy, now)


def _look_at(place: _Place, now: float, *, own_only: bool) -> None:
    """Read the file again if it changed; what cannot be used leaves the last good one."""
    try:
        info = Path(place.path).stat(follow_symlinks=not own_only)
        stamp = (info.st_ino, info.st_dev, info.st_size, info.st_mtime_ns, info.st_mode)
        if stamp == place.stamp:
            return
        place.stamp = stamp
        data = read_document(place.path, info, own_only=own_only)
        last = place.policy
        trusted = None if last is None or _is_ahead(last, now) else last
        place.policy = parse(data, now=now, previous=trusted)
        place.problem = ""
    except PolicyError as error:
        place.problem = error.code
        if error.code == "older":  # to be asked again: it may do once the newer one has expired
            place.stamp = None
    except FileNotFoundError:
        place.stamp, place.problem = None, "missing"
    except (OSError, ValueError):
        place.stamp, place.problem = None, "unreadable"
