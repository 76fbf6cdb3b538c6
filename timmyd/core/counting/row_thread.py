"""How the rows of a session are followed: what was requested, and which results are still to come."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from timmyd.core.counting.identity import hash_text

_MOST_LATE: Final = 64
_COPYING_S: Final = 2.0


class Asked(NamedTuple):
    """One call of an assistant's row.

    Attributes:
        ids: All ids by which it may be met, its own first; none where it has none.
        keys: Hashes of them (`identity.keys_of`).
        facts: Hash of tool and arguments.
        arguments: As the row has them.
    """

    ids: tuple[str, ...]
    keys: tuple[int, ...]
    tool: str
    facts: int
    arguments: str


class Ask(msgspec.Struct, array_like=True, gc=False):
    """An assistant's row that requested calls, as it is remembered.

    Attributes:
        at: Its time, Unix seconds.
        shape: Hash of the ids and the tools of its calls.
        executions: The calls, by their rows in our database.
        copy: It is a copy of a row that was seen before.
        session: Hash of the id of its session.
    """

    at: float
    shape: int
    executions: list[int]
    copy: bool
    session: int


class Open(msgspec.Struct, array_like=True, gc=False):
    """A call that waits for its result."""

    call_id: int
    tool: int
    execution: int
    copy: bool
    aliases: list[int] = []


class Thread(msgspec.Struct, array_like=True, gc=False):
    """How far the rows of one session were followed.

    Attributes:
        last_at: Time of its last row.
        genuine: It has requested a call that was no copy.
        pointer: The row that the last copy was a copy of.
        open: Calls of its last request that wait for their results.
        late: Calls of earlier requests that still do.
        asked_at: Time of its last request, None if that was a copy.
        size: How many calls that request had.
    """

    last_at: float = 0.0
    genuine: bool = False
    pointer: int = 0
    open: list[Open] = msgspec.field(default_factory=list)
    late: list[Open] = msgspec.field(default_factory=list)
    asked_at: float | None = None
    size: int = 0

    def move_on(self, at: float) -> None:
        """The next row came at this time; after a wait, nothing is being copied any more."""
        if self.last_at and at - self.last_at > _COPYING_S:
            self.genuine = True
        self.last_at = at

    def close_block(self) -> None:
        """Another message stands after the request: what has no result yet may get one late."""
        if self.open:
            self.late = [*self.late, *(call for call in self.open if not call.copy)][-_MOST_LATE:]
            self.open = []
        self.asked_at = None

    def wait_for(self, calls: Iterable[tuple[Asked, int, bool]]) -> None:
        """Expect the results of (call, execution, whether it is a copy)."""
        self.open = [
            Open(
                hash_text(call.ids[0]) if call.ids else 0,
                hash_text(call.tool),
                execution,
                copy,
                [hash_text(alias) for alias in call.ids[1:]],
            )
            for call, execution, copy in calls
        ]

    def claim(self, call_ids: Sequence[str], tool: str) -> Open | None:
        """The call that a result answers; without an id, the next of its tool."""
        if not call_ids:
            tools = hash_text(tool)
            for place, call in enumerate(self.open):
                if not tool or call.tool == tools:
                    return self.open.pop(place)
            return self.open.pop(0) if self.open else None
        wanted = [hash_text(call_id) for call_id in call_ids]
        for waiting in (self.open, self.late):
            for one in wanted:
                for place, call in enumerate(waiting):
                    if call.call_id == one or one in call.aliases:
                        return waiting.pop(place)
        return None


class Arrival(NamedTuple):
    """How a row with requests came.

    Attributes:
        at: Its time.
        session: Hash of the id of its session.
        uid: Hermes' own id of the message, which a copy keeps; None where there is none.
        continues_at: When its session began, if that continues another one.
        branched: It continues the other one by a branch: all of it was copied, row by row.
        ended_at: When the last result of the row came, if that is known.
    """

    at: float
    session: int
    uid: str | None
    continues_at: float | None
    branched: bool
    ended_at: float | None


class Resolved(NamedTuple):
    """What a row with requests turned out to be.

    Attributes:
        executions: Its calls, known ones and new ones.
        new: Places of those that are counted now.
        met: Places of those that only other sources had shown.
        copy: It is a copy, or was read before.
        inserted_in_bulk: Its time is that of a copying, not of the request.
    """

    executions: list[int]
    new: list[int]
    met: list[int]
    copy: bool
    inserted_in_bulk: bool
