"""Which rows of Hermes' message table are requests, and which are copies of requests known before.

Hermes inserts rows again when it compacts a conversation, continues it under another id, branches
it or rewrites it. A row is known again by, in this order: Hermes' own id of the message; the very
time that it carries; the ids of its calls, where the provider makes ids that do not repeat; and
else by its place: copies come in one go, microseconds apart (a real request waits for the model),
in the order of their originals, and at the start of a session that continues another. All of that
is remembered by lineage, so it does not matter in which pieces, or how often, the rows are read.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from timmyd.core.register import ANSWERED, INNER, Known, Register, hash_text, never_repeats, rank

STATE_DB: Final = rank("state_db")
_TELEMETRY: Final = rank("telemetry")
_BIT: Final = 1 << STATE_DB

_BULK_S: Final = 5e-6
_COPY_GAP_S: Final = 0.05
_COPY_RUN_GAP_S: Final = 2.0
_CLOCK_SLACK_S: Final = 0.25
_LINE_SLACK_S: Final = 1.0
_MOST_LATE: Final = 64
_TRUNCATED: Final = "...[truncated]"


class Asked(NamedTuple):
    """One call of an assistant's row.

    Attributes:
        call_id: As the provider sent it.
        key: Hash of it (`core.register.key_of`).
        facts: Hash of tool and arguments.
        arguments: As the row has them.
    """

    call_id: str
    key: int
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

    def close_block(self) -> None:
        """Another message stands after the request: what has no result yet may get one late."""
        if self.open:
            self.late = [*self.late, *(call for call in self.open if not call.copy)][-_MOST_LATE:]
            self.open = []
        self.asked_at = None

    def wait_for(self, calls: Iterable[tuple[str, str, int, bool]]) -> None:
        """Expect the results of (call id, tool, execution, whether it is a copy)."""
        self.open = [
            Open(hash_text(call_id) if call_id else 0, hash_text(tool), execution, copy)
            for call_id, tool, execution, copy in calls
        ]

    def claim(self, call_id: str, tool: str) -> Open | None:
        """The call that a result answers; without an id, the next of its tool."""
        if not call_id:
            tools = hash_text(tool)
            for place, call in enumerate(self.open):
                if not tool or call.tool == tools:
                    return self.open.pop(place)
            return self.open.pop(0) if self.open else None
        wanted = hash_text(call_id)
        for waiting in (self.open, self.late):
            for place, call in enumerate(waiting):
                if call.call_id == wanted:
                    return waiting.pop(place)
        return None


class Arrival(NamedTuple):
    """How a row with requests came.

    Attributes:
        at: Its time.
        session: Hash of the id of its session.
        uid: Hermes' own id of the message, which a copy keeps; None where there is none.
        continues_at: When its session began, if that continues another one.
        ended_at: When the last result of the row came, if that is known.
    """

    at: float
    session: int
    uid: str | None
    continues_at: float | None
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


class RowMemory:
    """What is remembered of the rows of one lineage, in its register."""

    def __init__(self, register: Register) -> None:
        self.register = register
        rows = register.rows
        self._asks: dict[int, Any] = rows.setdefault("asks", {})
        self._uids: dict[int, int] = rows.setdefault("uids", {})
        self._threads: dict[int, Any] = rows.setdefault("threads", {})
        self._marks: dict[str, bool] = rows.setdefault("marks", {})
        self._order: list[int] | None = None
        self._index: dict[int, int] | None = None

    # ------------------------------------------------------------------ threads
    def thread(self, session: int) -> Thread:
        """How far a session was followed."""
        stored = self._threads.get(session)
        return Thread() if stored is None else msgspec.convert(stored, Thread)

    def keep(self, session: int, thread: Thread) -> None:
        """Remember how far a session was followed."""
        self._threads[session] = msgspec.to_builtins(thread)

    def known(self, execution: int) -> Known | None:
        """What the register has of a call."""
        index = self._index_of(execution)
        return None if index is None else self.register.known[index]

    def _index_of(self, execution: int) -> int | None:
        if self._index is None or len(self._index) != len(self.register.known):
            self._index = {known.execution: n for n, known in enumerate(self.register.known)}
        return self._index.get(execution)

    # ----------------------------------------------------------------- requests
    def resolve(
        self,
        thread: Thread,
        calls: Sequence[Asked],
        arrival: Arrival,
        new_execution: Callable[[], int],
    ) -> Resolved:
        """Decide what a row with requests is, and remember it."""
        shape = hash_text("\0".join(f"{call.call_id}\1{call.tool}" for call in calls))
        identity = hash_text(f"{arrival.at!r}\0{shape:x}")
        known = self._same_row(identity, shape, arrival.uid)
        bulk = _is_bulk(thread, arrival)
        if known is not None:
            self._remember(identity, known, arrival, copy=True)
            return Resolved(known.executions, [], [], copy=True, inserted_in_bulk=bulk)
        found = self._copied(thread, calls, shape, arrival, bulk=bulk)
        new: list[int] = []
        met: list[int] = []
        executions: list[int] = []
        copied = bulk or self._at_start(thread, arrival)
        for place, call in enumerate(calls):
            execution = found[place]
            if execution is None:
                index = self._meet(call, arrival, copied=copied)
                if index is None:
                    execution = new_execution()
                    self.register.add(
                        call.key, call.facts, execution, rank=STATE_DB, seen_at=arrival.at
                    )
                    new.append(place)
                else:
                    self.register.known[index].shown_by |= _BIT
                    execution = self.register.known[index].execution
                    met.append(place)
            executions.append(execution)
        copy = not new and not met
        thread.genuine = thread.genuine or (bool(new or met) and not bulk)
        ask = Ask(arrival.at, shape, executions, copy, arrival.session)
        self._remember(identity, ask, arrival, copy=copy)
        return Resolved(executions, new, met, copy=copy, inserted_in_bulk=bulk)

    def _same_row(self, identity: int, shape: int, uid: str | None) -> Ask | None:
        if uid is not None:
            original = self._uids.get(hash_text(uid))
            ask = None if original is None else self._ask(original)
            if ask is not None and ask.shape == shape:
                return ask
        return self._ask(identity)

    def _ask(self, identity: int) -> Ask | None:
        stored = self._asks.get(identity)
        return None if stored is None else Ask(*stored)

    def _remember(self, identity: int, ask: Ask, arrival: Arrival, *, copy: bool) -> None:
        if arrival.uid is not None:
            self._uids.setdefault(hash_text(arrival.uid), identity)
        if identity in self._asks:
            return
        self._asks[identity] = [arrival.at, ask.shape, ask.executions, copy, arrival.session]
        if self._order is not None and not copy:
            self._order.append(identity)

    def _copied(
        self, thread: Thread, calls: Sequence[Asked], shape: int, arrival: Arrival, *, bulk: bool
    ) -> list[int | None]:
        """For each call of a row the call that it is a copy of, if it is one."""
        unique = [never_repeats(call.call_id) for call in calls]
        if len({call.call_id for call in calls}) < len(calls):
            self._marks["repeats"] = True
        if all(unique) and not self._marks.get("repeats"):
            found = [self._same_id(call) for call in calls]
            if any(index is not None for index in found):
                if not self._is_repeat(thread, found, arrival, bulk=bulk):
                    return [None if i is None else self.register.known[i].execution for i in found]
                self._marks["repeats"] = True
            else:
                return [None] * len(calls)
        ask = self._aligned(thread, calls, shape, arrival, bulk=bulk)
        return [None] * len(calls) if ask is None else list(ask.executions)

    def _same_id(self, call: Asked) -> int | None:
        for index in self.register.with_key(call.key):
            known = self.register.known[index]
            if known.shown_by & _BIT and not known.flags & INNER and self._same(call, known):
                return index
        return None

    @staticmethod
    def _same(call: Asked, known: Known) -> bool:
        if known.key != call.key:
            return False
        return known.facts == call.facts or _TRUNCATED in call.arguments or call.arguments == "{}"

    def _is_repeat(
        self, thread: Thread, found: Sequence[int | None], arrival: Arrival, *, bulk: bool
    ) -> bool:
        """Whether a provider sends one id for all calls, however random that id looks.

        Then the row came after a wait for the model, in the session of the call that it equals.
        """
        if bulk or arrival.uid is not None or arrival.continues_at is not None:
            return False
        if not thread.last_at or arrival.at - thread.last_at < _COPY_GAP_S:
            return False
        same = {self.register.known[i].execution for i in found if i is not None}
        return any(
            ask.session == arrival.session and not same.isdisjoint(ask.executions)
            for _, ask in self._genuine()
        )

    def _aligned(
        self, thread: Thread, calls: Sequence[Asked], shape: int, arrival: Arrival, *, bulk: bool
    ) -> Ask | None:
        """The row that this one copies, where ids say nothing: by the order of the originals."""
        start = self._at_start(thread, arrival)
        if not bulk and not start:
            return None
        gap = arrival.at - thread.last_at if thread.last_at else 0.0
        if gap > _COPY_RUN_GAP_S or (gap > _COPY_GAP_S and not start):
            thread.pointer = 0
        rows = list(self._genuine())
        first = next((n for n, (i, _) in enumerate(rows, 1) if i == thread.pointer), 0)
        for place in (*range(first, len(rows)), *(range(first) if bulk else ())):
            identity, ask = rows[place]
            if ask.shape != shape or not self._same_calls(calls, ask):
                continue
            if not bulk and not _may_copy(ask, arrival, gap, next_in_line=place == first):
                return None
            thread.pointer = identity
            return ask
        return None

    def _same_calls(self, calls: Sequence[Asked], ask: Ask) -> bool:
        for call, execution in zip(calls, ask.executions, strict=True):
            known = self.known(execution)
            if known is None or not self._same(call, known):
                return False
        return True

    @staticmethod
    def _at_start(thread: Thread, arrival: Arrival) -> bool:
        return arrival.continues_at is not None and not thread.genuine

    def _genuine(self) -> Iterator[tuple[int, Ask]]:
        """The requests that were no copies, in the order of first sight."""
        if self._order is None:
            self._order = [identity for identity, stored in self._asks.items() if not stored[3]]
        for identity in self._order:
            ask = self._ask(identity)
            if ask is not None:
                yield identity, ask

    def _meet(self, call: Asked, arrival: Arrival, *, copied: bool) -> int | None:
        """The call that only other sources have shown and that this request is, if there is one.

        What was over before the request, and what telemetry saw run after its result, is another.
        """
        by_id = never_repeats(call.call_id) and not self._marks.get("repeats")
        same = self.register.with_key(call.key)
        loose = None
        for index in same:
            known = self.register.known[index]
            if known.shown_by & _BIT or known.flags & INNER:
                continue
            if not by_id and not copied and _is_elsewhen(known, arrival):
                continue
            if known.facts == call.facts:
                return index
            loose = index
        return loose if call.key and len(same) == 1 else None


def _is_bulk(thread: Thread, arrival: Arrival) -> bool:
    """Whether the row was inserted together with the one before it.

    Hermes steps the times of such rows by a microsecond. With ids of messages (0.22) new rows are
    inserted so as well, and copies are known by those ids.
    """
    return arrival.uid is None and 0 < arrival.at - thread.last_at <= _BULK_S


def _may_copy(ask: Ask, arrival: Arrival, gap: float, *, next_in_line: bool) -> bool:
    began = arrival.continues_at
    if began is None or ask.at > began + _CLOCK_SLACK_S or ask.session == arrival.session:
        return False
    return gap <= (_COPY_RUN_GAP_S if next_in_line else _COPY_GAP_S)


def _is_elsewhen(known: Known, arrival: Arrival) -> bool:
    if known.flags & ANSWERED and known.seen_at < arrival.at - _CLOCK_SLACK_S:
        return True
    ended_at = arrival.ended_at
    return (
        known.best == _TELEMETRY
        and ended_at is not None
        and known.seen_at > ended_at + _LINE_SLACK_S
    )
