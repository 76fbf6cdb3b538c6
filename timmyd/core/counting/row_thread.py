"""How the rows of a session are followed: what was requested, and which results are still to come."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from timmyd.core.counting.identity import hash_text

_MOST_LATE: Final = 64
_COPYING_S: Final = 2.0

_FLUSH_GAP_S: Final = 0.02
"""Rows of one flush are less apart; between a request and what came before it, a model was asked."""


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
        chain: Hash of the conversation up to it; 0 where that was not kept.
    """

    at: float
    shape: int
    executions: list[int]
    copy: bool
    session: int
    chain: int = 0


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
        chain: Hash of the conversation so far; where it is written again, it begins again.
        runs: The same of the rows since the last wait, and since a row like the first one in them;
            with the conversation as it was before.
        first: What the first row said.
        tip: Where the conversation was before it was written again, until that is reached.
        heard: Time and id of the last row that was heard.
    """

    last_at: float = 0.0
    genuine: bool = False
    pointer: int = 0
    open: list[Open] = msgspec.field(default_factory=list)
    late: list[Open] = msgspec.field(default_factory=list)
    asked_at: float | None = None
    size: int = 0
    chain: int = 0
    runs: list[list[int]] = msgspec.field(default_factory=list)
    first: int = 0
    tip: int = 0
    heard: tuple[float, int] = (0.0, 0)

    def hear(self, said: int, at: float | None, row: int) -> None:
        """A row that said this came at this time: go on with the hashes of the conversation.

        What was heard before says nothing new; rows may be read again.
        """
        if at is not None:
            if (at, row) <= self.heard:
                return
            self.heard = (at, row)
        waited = at is not None and not 0 <= at - self.last_at <= _FLUSH_GAP_S
        if waited and self.tip:  # only a part was written again: the conversation goes on as it was
            self.chain, self.tip = self.tip, 0
        runs = [] if waited else [[_follow(run[0], said), run[1]] for run in self.runs]
        if not runs or said == self.first:
            runs = [*runs[:1], [_follow(0, said), self.chain]]
        self.first = self.first or said
        self.chain = _follow(self.chain, said)
        self.runs = runs
        if self.chain == self.tip:
            self.tip = 0

    def begins_again(self, run: list[int]) -> None:
        """A run of rows turned out to be the conversation, written once more."""
        if self.chain != run[0]:
            self.chain, self.tip = run[0], run[1]

    @property
    def is_whole(self) -> bool:
        """Whether all of the conversation was written in the run of rows that goes on now."""
        return any(run[0] == self.chain for run in self.runs)

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
        row: Its id, by which it is known that it is read again.
    """

    at: float
    session: int
    uid: str | None
    continues_at: float | None
    branched: bool
    ended_at: float | None
    row: int = 0


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


def _follow(chain: int, said: int) -> int:
    return hash_text(f"{chain:x}\0{said:x}")
