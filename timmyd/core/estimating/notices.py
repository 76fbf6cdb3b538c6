"""PURE: what fell and what recovered: one cause, one notice.

Tools, shapes, models and houses are watched at once, and one trouble shows in several of them: a
backend that is down in all tools of a house, a model that fails in every house, one tool in the rate
of its house. So a wider signal counts each call against the level of its tool, remembers who gave its
evidence, and speaks only where no single part did; a narrower one waits while the rest of the wider
one is suspicious, too. Once told, a fall owns its calls: nobody else counts them until it is over.
"""

from typing import Any, Final

import msgspec

from timmyd.core.detect import clamp
from timmyd.core.estimating.falls import ALARM, BACK, WARM, FallDetector
from timmyd.core.estimating.notice import Kind, Notice, facts
from timmyd.core.estimating.signals import SHARED, WatchedSignal

NEWS_S: Final = 3 * 86_400.0
"""A fall that is older when it is found is no news: what it fell to is taken for usual."""
USUAL_AFTER_S: Final = 14 * 86_400.0
"""So long after a fall what it fell to is usual; its recovery would be no news."""
SHOWN_S: Final = 3 * 86_400.0
"""How long a recovery is shown."""

_LATE_S: Final = 3600.0
_MOST: Final = {"shape": 2_000, "tool": 1_000, "model": 200, "house": 300}
_SHOWN_MOST: Final = 100
_UNDOUBTED: Final = 6.0 * ALARM
_ORDER: Final = ("house", "model", "tool", "shape")
_SEVERAL: Final = 2
_ENOUGH: Final = 2.0 * ALARM

Key = tuple[str, ...]


class _SavedNotices(msgspec.Struct):
    signals: list[tuple[Key, WatchedSignal]]
    shown: list[Notice]
    houses: dict[str, str]


class Notices:
    """Watches the signals of all houses, call by call."""

    def __init__(self, saved: bytes | None = None) -> None:
        """Go on from what `dump` gave.

        Raises:
            msgspec.MsgspecError: The bytes are no such state; start afresh.
        """
        kept = None if saved is None else msgspec.msgpack.decode(saved, type=_SavedNotices)
        self._signals: dict[Key, WatchedSignal] = {} if kept is None else dict(kept.signals)
        self._shown: list[Notice] = [] if kept is None else kept.shown
        self._houses: dict[str, str] = {} if kept is None else kept.houses
        self._counts = dict.fromkeys(_MOST, 0)
        for key in self._signals:
            self._counts[key[0]] += 1
        self._hot: set[Key] = {k for k, s in self._signals.items() if self._is_of_interest(s)}

    def dump(self) -> bytes:
        """The whole state; going on from it gives the same bytes as not having stopped."""
        saved = _SavedNotices(list(self._signals.items()), self._shown, self._houses)
        return msgspec.msgpack.encode(saved)

    # ----------------------------------------------------------------------- learning
    def learn(
        self,
        house: str,
        tool: str,
        shape: str,
        model: str | None,
        session: str,
        *,
        ok: bool,
        at: float,
        now: float,
        owner: str,
    ) -> None:
        """Take in a rated call; what comes in late teaches only what is usual."""
        self._houses[house] = owner
        of_shape, of_tool = ("shape", house, tool, shape), ("tool", house, tool)
        of_model, of_house = ("model", owner, model or ""), ("house", house)
        narrow = self._signal(of_tool).detector
        if at < narrow.last_at - _LATE_S:
            self._teach(of_tool, ok=ok)
            self._teach(of_shape, ok=ok)
            return
        keys = [of_shape, of_tool, *([of_model] if model else []), of_house]
        fallen = [key for key in reversed(keys) if self._is_fallen(key)]
        is_known = narrow.level.seen >= WARM
        usual = narrow.level.limit()
        for key in fallen[:1] or keys:
            signal = self._signal(key)
            if key == of_shape:
                signal.update(session, at, _usual(signal), (), ok=ok)
            elif key == of_tool:
                signal.update(session, at, _usual(signal), (shape,), ok=ok)
            elif is_known:
                parts = (tool, house) if key == of_model else (tool, model or "")
                signal.update(session, at, usual, parts, ok=ok)
            else:
                continue
            if self._is_of_interest(signal):
                if now - at > NEWS_S:
                    self._accept(key)
                else:
                    self._hot.add(key)

    def _signal(self, key: Key) -> WatchedSignal:
        found = self._signals.get(key)
        if found is None:
            found = self._signals[key] = WatchedSignal()
            kind = key[0]
            self._counts[kind] += 1
            if self._counts[kind] > _MOST[kind]:
                of_kind = [k for k in self._signals if k[0] == kind and k != key]
                of_kind.sort(key=lambda k: (self._signals[k].detector.last_at, k))
                for old in of_kind[: _MOST[kind] // 10]:
                    del self._signals[old]
                    self._hot.discard(old)
                    self._counts[kind] -= 1
        return found

    def _is_fallen(self, key: Key) -> bool:
        signal = self._signals.get(key)
        return signal is not None and signal.detector.fallen is not None

    def _is_of_interest(self, signal: WatchedSignal) -> bool:
        return signal.detector.fallen is not None or signal.is_hot

    def _teach(self, key: Key, *, ok: bool) -> None:
        level = self._signal(key).detector.level
        if not self._is_fallen(key):
            level.seen += 1.0
            level.good += 1.0 if ok else 0.0

    def _accept(self, key: Key) -> None:
        """What a signal fell to is usual from now on, and what its parts do is learned anew."""
        signal = self._signals[key]
        if signal.detector.fallen is None:
            signal.detector.fall()
        signal.detector.accept()
        signal.parts = []
        houses = signal.used if key[0] == "model" else {key[1]}
        for other, part in self._signals.items():
            of_tool = key[0] != "tool" or other[2:3] == key[2:3]
            if _ORDER.index(other[0]) > _ORDER.index(key[0]) and other[1] in houses and of_tool:
                part.detector, part.parts = FallDetector(last_at=part.detector.last_at), []

    # ------------------------------------------------------------------------ deciding
    def tick(self, now: float) -> list[Notice]:
        """What fell and what recovered since the last tick, the widest first."""
        told: list[Notice] = []
        for key in sorted(self._hot, key=lambda k: (_ORDER.index(k[0]), k)):
            signal = self._signals[key]
            fallen = signal.detector.fallen
            if fallen is not None:
                if fallen.back.value >= BACK:
                    told.append(self._notice("recovered", key, signal, now))
                    signal.detector.recover()
                elif now - fallen.since > USUAL_AFTER_S:
                    self._accept(key)
            elif signal.is_hot and not self._is_explained(key):
                if self._is_covered(key):
                    signal.detector.calm()
                else:
                    signal.detector.fall()
                    told.append(self._notice("fell", key, signal, now))
                    signal.parts = []
        self._hot = {key for key in self._hot if self._is_of_interest(self._signals[key])}
        for notice in told:
            of_same = (notice.house, notice.subject)
            self._shown = [one for one in self._shown if (one.house, one.subject) != of_same]
            self._shown.append(notice)
        return told

    def shown(self, now: float) -> list[Notice]:
        """What is still down, and what recovered lately; newest first."""
        found = [
            one
            for one in self._shown
            if now - one.at <= (USUAL_AFTER_S if one.kind == "fell" else SHOWN_S)
        ]
        self._shown = found[-_SHOWN_MOST:]
        return self._shown[::-1]

    def published(self, now: float) -> list[dict[str, Any]]:
        """The same as it is published (CONTRACT §3)."""
        return [facts(notice) for notice in self.shown(now)]

    def _is_explained(self, key: Key) -> bool:
        """Whether the trouble is that of one part of a signal, or that of a wider one, or not clear yet."""
        kind, signal = key[0], self._signals[key]
        evidence = signal.detector.evidence
        if kind in ("house", "model"):
            several = len(signal.used) >= _SEVERAL
            if kind == "model" and not several and not self._has_other_models(key):
                return True  # its house then is all that is known of it
            if len(signal.called(0)) < _SEVERAL or signal.is_of_one(0) or signal.is_of_one(1):
                return True
            is_clear = not several or len(signal.called(1)) >= _SEVERAL
            return not is_clear and evidence < _UNDOUBTED
        if evidence >= _ENOUGH:
            return False
        house, tool = key[1], key[2]
        if kind == "tool" and signal.is_of_one(0):
            return True
        if kind == "shape" and self._rest(("tool", house, tool), 0, key[3]) >= SHARED:
            return True
        wider = [("house", house), *(k for k in self._signals if k[0] == "model")]
        return any(self._rest(one, 0, tool) >= SHARED for one in wider)

    def _rest(self, key: Key, sort: int, name: str) -> float:
        signal = self._signals.get(key)
        if signal is None or signal.detector.fallen is not None:
            return 0.0
        return signal.without(sort, name) if name in (signal.parts or [{}])[sort] else 0.0

    def _has_other_models(self, key: Key) -> bool:
        """Whether the houses that a model works for use others as well."""
        houses = [self._signals.get(("house", house)) for house in self._signals[key].used]
        return any(house is not None and house.used - {key[2]} for house in houses)

    def _is_covered(self, key: Key) -> bool:
        """Whether a wider fall was told that this is a part of."""
        kind = key[0]
        if kind in ("house", "model"):
            return False
        wider: list[Key] = [("house", key[1])]
        if kind == "shape":
            wider.append(("tool", key[1], key[2]))
        return any(self._is_fallen(one) for one in wider)

    def _notice(self, kind: Kind, key: Key, signal: WatchedSignal, now: float) -> Notice:
        fallen = signal.detector.fallen
        if fallen is None:
            raise AssertionError
        of, house = key[0], key[1]
        if of == "model":
            by_house = (signal.parts[1:] or [{}])[0]
            usual = [h for h, owner in sorted(self._houses.items()) if owner == key[1]]
            house = max(
                by_house, key=lambda h: by_house[h][1], default=usual[0] if usual else "timmy"
            )
        back = kind == "recovered"
        rate = fallen.back.good / max(1.0, fallen.back.calls)
        return Notice(
            kind=kind,
            house=house,
            tool=key[2] if of in ("tool", "shape") else None,
            shape=key[3] if of == "shape" else None,
            model=key[2] if of == "model" else None,
            before=round(clamp(fallen.now if back else fallen.before, 0.0, 1.0), 4),
            now=round(rate if back else fallen.now, 4),
            since=fallen.back.since if back else fallen.since,
            at=now,
            evidence=round(fallen.back.value if back else signal.detector.told, 2),
        )


def _usual(signal: WatchedSignal) -> float:
    """What a signal is judged by: less than its level while that is tested, the level itself after a fall."""
    detector = signal.detector
    return detector.level.limit()
