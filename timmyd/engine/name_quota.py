"""Names of one owner beyond its quota stand as `other` in what is learned; the executions keep their own.

So what is learned of an owner is bounded whatever its sessions invent, and it is the first names that keep
their place: who came before is not pushed out by who comes after.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import msgspec

from timmyd.config.quota import Quota
from timmyd.core.model import Execution
from timmyd.house.units import DAY_S

OTHER: Final = "other"
_KEPT_DAYS: Final = 30
"""A name that was not met for so long gives its place to a new one."""


class _Names(msgspec.Struct):
    """Names of one kind and the day on which each was met last; and when old ones were let go."""

    days: dict[str, int] = {}
    swept: int = 0


class _Sessions(msgspec.Struct):
    """The sessions of one day; those beyond the quota count as the one that came first of them."""

    day: int = 0
    met: set[int] = set()
    over: int = 0


class _Owner(msgspec.Struct):
    tools: _Names = msgspec.field(default_factory=_Names)
    shapes: _Names = msgspec.field(default_factory=_Names)
    models: _Names = msgspec.field(default_factory=_Names)
    sessions: _Sessions = msgspec.field(default_factory=_Sessions)


class NameQuota:
    """What each owner has named so far.

    Args:
        quota: How many names an owner may have.
        saved: What `dump` gave.
    """

    def __init__(self, quota: Quota, saved: bytes | None = None) -> None:
        self._quota = quota
        self._owners: dict[str, _Owner] = {}
        with suppress(msgspec.MsgspecError):  # names that are not known are met again
            self._owners = msgspec.msgpack.decode(saved or b"\x80", type=dict[str, _Owner])
        self.reached: dict[tuple[str, str], str] = {}
        """Owner and limit that it came to since the start, with the house that did last."""

    def dump(self) -> bytes:
        """All that a restart needs."""
        return msgspec.msgpack.encode(self._owners)

    def fold(self, executions: Iterable[Execution]) -> list[Execution]:
        """The same executions, with `other` for every name that is one too many of its owner."""
        return [self._folded(execution) for execution in executions]

    def _folded(self, e: Execution) -> Execution:
        owner = self._owners.get(e.owner)
        if owner is None:
            owner = self._owners[e.owner] = _Owner()
        day, quota, own = int(e.at // DAY_S), self._quota, e.session or -e.id
        session = _session(owner.sessions, own, day, quota.sessions)
        is_tool = _has_place(owner.tools, e.tool, day, quota.tools)
        is_shape = is_tool and _has_place(owner.shapes, f"{e.tool}\0{e.shape}", day, quota.shapes)
        is_model = e.model is None or _has_place(owner.models, e.model, day, quota.models)
        if is_shape and is_model and session == own:
            return e
        had_place = {
            "tools": is_tool,
            "shapes": is_shape or not is_tool,
            "models": is_model,
            "sessions": session == own,
        }
        for kind, has_place in had_place.items():
            if not has_place:
                self.reached[e.owner, kind] = e.house
        return msgspec.structs.replace(
            e,
            tool=e.tool if is_tool else OTHER,
            shape=e.shape if is_shape else OTHER,
            model=e.model if is_model else OTHER,
            session=e.session if session == own else session,
        )


def has_names(execution: Execution) -> bool:
    """Whether its tool and its model are names that can be chosen."""
    return OTHER not in {execution.tool, execution.model}


def _has_place(names: _Names, name: str, day: int, most: int) -> bool:
    met = names.days.get(name)
    if met is None:
        if len(names.days) >= most and day > names.swept:
            names.swept = day
            names.days = {one: at for one, at in names.days.items() if day - at <= _KEPT_DAYS}
        if len(names.days) >= most:
            return False
    if met is None or day > met:
        names.days[name] = day
    return True


def _session(sessions: _Sessions, session: int, day: int, most: int) -> int:
    """The session that this one counts as; a call of no session is one of its own, below 0."""
    if day > sessions.day:
        sessions.day, sessions.met, sessions.over = day, set(), 0
    if session in sessions.met:
        return session
    if len(sessions.met) < most:
        sessions.met.add(session)
        return session
    sessions.over = sessions.over or abs(session)
    return sessions.over
