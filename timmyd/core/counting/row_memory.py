"""Which rows of Hermes' message table are requests, and which are copies of requests known before.

Hermes inserts rows again when it compacts a conversation, continues it under another id, branches
it or rewrites it. A row is known again by, in this order: Hermes' own id of the message; the very
time that it carries; the ids of its calls, where the provider makes ids that do not repeat; and
else by its place: copies come in one go, microseconds apart (a real request waits for the model),
in the order of their originals, and at the start of a session that continues another; or a flush
writes the whole conversation again from its first message. All of that is remembered by lineage, so it does not matter in which pieces, or how often, the rows are read.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from timmyd.core.counting.identity import (
    CLOCK_SLACK_S,
    INNER,
    STATE_DB,
    Known,
    hash_text,
    is_cut,
    keys_of,
    unique_ids,
)
from timmyd.core.counting.register import Register
from timmyd.core.counting.row_thread import Arrival, Ask, Asked, Resolved, Thread

_BIT: Final = 1 << STATE_DB

_BULK_S: Final = 5e-6
_COPY_GAP_S: Final = 0.05
_COPY_RUN_GAP_S: Final = 2.0


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
        self._chains: dict[tuple[int, int], int] | None = None

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

    def _enter(self, call: Asked, execution: int, at: float) -> None:
        index = self.register.add(call.keys, call.facts, execution, rank=STATE_DB, seen_at=at)
        if self._index is not None:
            self._index[execution] = index

    # ----------------------------------------------------------------- requests
    def resolve(
        self,
        thread: Thread,
        calls: Sequence[Asked],
        arrival: Arrival,
        new_execution: Callable[[], int],
    ) -> Resolved:
        """Decide what a row with requests is, and remember it."""
        shape = hash_text(
            "\0".join(f"{call.ids[0] if call.ids else ''}\1{call.tool}" for call in calls)
        )
        identity = hash_text(f"{arrival.at!r}\0{shape:x}")
        said = hash_text(f"{shape:x}{[call.facts for call in calls]}")
        thread.hear(said, arrival.at, arrival.row)
        known = self._same_row(identity, shape, arrival.uid)
        bulk = _is_bulk(thread, arrival)
        if known is None:
            known = self._written_again(thread, arrival)
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
                    self._enter(call, execution, arrival.at)
                    new.append(place)
                else:
                    self.register.known[index].shown_by |= _BIT
                    execution = self.register.known[index].execution
                    met.append(place)
            executions.append(execution)
        copy = not new and not met
        thread.genuine = thread.genuine or (bool(new or met) and not bulk)
        ask = Ask(arrival.at, shape, executions, copy, arrival.session, thread.chain)
        if not copy:
            thread.tip = 0
            self._chains_of()[arrival.session, thread.chain] = identity
        self._remember(identity, ask, arrival, copy=copy)
        return Resolved(executions, new, met, copy=copy, inserted_in_bulk=bulk)

    def _same_row(self, identity: int, shape: int, uid: str | None) -> Ask | None:
        if uid is not None:
            original = self._uids.get(hash_text(uid))
            ask = None if original is None else self._ask(original)
            if ask is not None and ask.shape == shape:
                return ask
        return self._ask(identity)

    def _written_again(self, thread: Thread, arrival: Arrival) -> Ask | None:
        """The original of a request, where a flush writes the whole conversation once more.

        Such rows come faster than a model can answer, and say the same from the first one on.
        """
        if arrival.uid is not None:
            return None
        for run in thread.runs:
            chain = run[0]
            identity = self._chains_of().get((arrival.session, chain))
            if identity is not None and (ask := self._ask(identity)) is not None:
                thread.begins_again(run)
                return Ask(arrival.at, ask.shape, ask.executions, True, arrival.session, chain)  # noqa: FBT003 - array-like
        return None

    def _chains_of(self) -> dict[tuple[int, int], int]:
        if self._chains is None:
            asks = ((identity, Ask(*stored)) for identity, stored in self._asks.items())
            self._chains = {
                (ask.session, ask.chain): identity
                for identity, ask in asks
                if ask.chain and not ask.copy
            }
        return self._chains

    def _ask(self, identity: int) -> Ask | None:
        stored: list[Any] | None = self._asks.get(identity)
        return None if stored is None else Ask(*stored)

    def _remember(self, identity: int, ask: Ask, arrival: Arrival, *, copy: bool) -> None:
        if arrival.uid is not None:
            self._uids.setdefault(hash_text(arrival.uid), identity)
        if identity in self._asks:
            return
        self._asks[identity] = [
            arrival.at,
            ask.shape,
            ask.executions,
            copy,
            arrival.session,
            ask.chain,
        ]
        if self._order is not None and not copy:
            self._order.append(identity)

    def _copied(
        self, thread: Thread, calls: Sequence[Asked], shape: int, arrival: Arrival, *, bulk: bool
    ) -> list[int | None]:
        """For each call of a row the call that it is a copy of, if it is one."""
        unique = [bool(unique_ids(call.ids)) for call in calls]
        if len({call.ids[:1] for call in calls}) < len(calls):
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
        ids = unique_ids(call.ids)
        for index in self.register.with_keys(keys_of(ids)):
            known = self.register.known[index]
            if known.shown_by & _BIT and not known.flags & INNER and _same_facts(call, known):
                return index
        return None

    @staticmethod
    def _same(call: Asked, known: Known) -> bool:
        return (not call.keys or known.key in call.keys) and _same_facts(call, known)

    def _is_repeat(
        self, thread: Thread, found: Sequence[int | None], arrival: Arrival, *, bulk: bool
    ) -> bool:
        """Whether a provider sends one id for all calls, however random that id looks.

        Then the row came after a wait for the model, in the session of the call that it equals.
        """
        if bulk or arrival.uid is not None or arrival.continues_at is not None:
            return False
        waited = thread.last_at and arrival.at - thread.last_at >= _COPY_GAP_S
        if not waited and not thread.is_whole:
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
        rows: list[tuple[int, Ask]] = list(self._genuine())
        first: int = next((n for n, (i, _) in enumerate(rows, 1) if i == thread.pointer), 0)
        places: list[int] = [*range(first, len(rows)), *range(first if bulk else 0)]
        for place in places:
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
        """The call that only other sources have shown and that this request is, if there is one."""
        unique = unique_ids(call.ids)
        by_id = bool(unique) and not self._marks.get("repeats")
        return self.register.meet(
            call.keys,
            call.facts,
            rank=STATE_DB,
            began_at=None if by_id or copied else arrival.at,
            ended_by=arrival.ended_at,
        )


def _same_facts(call: Asked, known: Known) -> bool:
    return known.facts == call.facts or is_cut(call.arguments)


def _is_bulk(thread: Thread, arrival: Arrival) -> bool:
    """Whether the row was inserted together with the one before it.

    Hermes steps the times of such rows by a microsecond. With ids of messages (0.22) new rows are
    inserted so as well, and copies are known by those ids.
    """
    return arrival.uid is None and 0 < arrival.at - thread.last_at <= _BULK_S


def _may_copy(ask: Ask, arrival: Arrival, gap: float, *, next_in_line: bool) -> bool:
    began = arrival.continues_at
    if began is None or ask.at > began + CLOCK_SLACK_S or ask.session == arrival.session:
        return False
    return gap <= (_COPY_RUN_GAP_S if next_in_line and arrival.branched else _COPY_GAP_S)
