"""One reading of a document against the register of its lineage.

A hash of the path that was not seen is a new call, unless Hermes moved the call: compaction,
rotation and branching drop what stood before it, or copy it to another file (see `copies`).
"""

from collections.abc import Callable

import msgspec

from timmyd.core.counting.copies import Copies
from timmyd.core.counting.identity import (
    ANSWERED,
    DAMAGED,
    RANKS,
    UNSURE,
    Known,
    is_damaged,
    keys_of,
    link,
)
from timmyd.core.counting.register import Register
from timmyd.core.model import Call, Checkpoint, Session


class Placement(msgspec.Struct, gc=False):
    """What to do about one call of a document.

    Attributes:
        position: Its place among the calls that the document shows.
        index: Its place in the register.
        new: It was counted for the first time.
        answers: It was known without a result, and this document has the result.
        better: It was known from a worse source only.
    """

    call: Call
    position: int
    index: int
    new: bool = False
    answers: bool = False
    better: bool = False


class Placed(msgspec.Struct, frozen=True):
    """What `place` decided.

    Attributes:
        placements: The calls that need work, in order; calls that are settled are left out.
        checkpoint: The session's own with its identity chain filled in.
    """

    placements: list[Placement]
    checkpoint: Checkpoint | None


def place(
    register: Register,
    session: Session,
    *,
    file: int,
    facts: Callable[[Call], int],
    new_execution: Callable[[], int],
    seen_at: float,
    sure: bool = True,
) -> Placed:
    """Decide for every call of a document whether it is new, known, or known without a result.

    Args:
        register: What is known of the lineage; learns what the document shows.
        session: What the document shows.
        file: Hash of the document's session id: where its path starts.
        facts: Hash of a call's tool and arguments, canonical; asked only where needed.
        new_execution: Gives the row id of a call that is counted now.
        seen_at: When this version was written, Unix seconds.
        sure: That is known; else it may be wrong by hours, and parts nothing.
    """
    walk = Walk(
        register, session, file=file, facts=facts, new_execution=new_execution, seen_at=seen_at
    )
    walk.sure = sure
    checkpoint = session.checkpoint
    settled = -1 if checkpoint is None else checkpoint.calls
    chain = walk.chain if settled == len(walk.path) else None
    positions = range(len(session.calls))
    if checkpoint is None and not register.known:
        register.notice_repeats(session.calls)
        walk.enter_all()
        positions = range(0)
    for position in positions:
        walk.step(position)
        if len(walk.path) == settled:
            chain = walk.chain
    register.show(file, walk.path)
    if checkpoint is None or chain is None:
        return Placed(walk.placements, None)
    return Placed(walk.placements, msgspec.structs.replace(checkpoint, chain=chain))


class Walk:
    """The walk along a document's calls, from its start or from its checkpoint."""

    def __init__(
        self,
        register: Register,
        session: Session,
        *,
        file: int,
        facts: Callable[[Call], int],
        new_execution: Callable[[], int],
        seen_at: float,
    ) -> None:
        start = session.resumed
        self.register = register
        self.calls = session.calls
        self.facts = facts
        self.new_execution = new_execution
        self.seen_at = seen_at
        self.rank = RANKS[session.source]
        self.sure = True
        self.chain = file if start is None else start.chain
        before = register.path(file)
        self.path = before[: start.calls] if start is not None else []
        self.placements: list[Placement] = []
        self._before = before
        self._compacted = start is not None and start.compacted
        self._copies: list[int] | None = None
        self._foreign: bool | None = None

    def step(self, position: int) -> None:
        """Take the call at `position`; call it for each position in order."""
        call = self.calls[position]
        self.chain = link(self.chain, call)
        index = self.register.at_link(self.chain)
        if index is None:
            if self._copies is None:
                copies = Copies(
                    self.register,
                    self.facts,
                    self.path,
                    before=self._before,
                    compacted=self._compacted,
                    seen_at=self.seen_at,
                )
                self._copies = copies.of(self.calls, position)
                self._copies.reverse()
            index = self._copies.pop() if self._copies else -1
            if index < 0:
                index = self._first_sight(call)
            self.register.bind(self.chain, index)
        self.path.append(index)
        self._compacted = call.compacted
        self._settle(call, position, index)

    def enter_all(self) -> None:
        """Take all calls of the first document of a lineage: nothing can be known, nothing moved."""
        self.register.forget_order()
        known, bind = self.register.known, self.register.bind
        bit = 1 << self.rank
        chain = self.chain
        for position, call in enumerate(self.calls):
            chain = link(chain, call)
            answered = call.content is not None or call.verdict is not None
            flags = (ANSWERED | (0 if self.sure else UNSURE)) if answered else 0
            if is_damaged(call):
                flags |= DAMAGED
            keys = keys_of(call.ids)
            index = len(known)
            known.append(
                Known(
                    keys[0] if keys else 0,
                    self.facts(call),
                    self.new_execution(),
                    flags,
                    bit,
                    self.rank,
                    self.seen_at,
                )
            )
            if len(keys) > 1:
                self.register.name(index, keys)
            bind(chain, index)
            self.path.append(index)
            self.placements.append(Placement(call, position, index, new=True, answers=answered))
        self.chain = chain

    def _settle(self, call: Call, position: int, index: int) -> None:
        known = self.register.known[index]
        fresh = known.shown_by == 0
        known.shown_by |= 1 << self.rank
        answered = call.content is not None or call.verdict is not None
        answers = answered and not known.flags & ANSWERED
        better = answered and self.rank < known.best
        if answers:
            known.flags |= ANSWERED | (0 if self.sure else UNSURE)
            known.seen_at = self.seen_at
        if better:
            known.best = self.rank
        if fresh or answers or better:
            self.placements.append(
                Placement(call, position, index, new=fresh, answers=answers, better=better)
            )

    def _first_sight(self, call: Call) -> int:
        register = self.register
        keys = keys_of(call.ids)
        facts, damaged = self.facts(call), is_damaged(call)
        if self._has_foreign():
            index = register.meet(
                keys,
                facts,
                rank=self.rank,
                ended_by=self.seen_at if self.sure else None,
                damaged=damaged,
            )
            if index is not None:
                return index
        flags = DAMAGED if damaged else 0
        index = register.add(
            keys, facts, self.new_execution(), rank=self.rank, seen_at=self.seen_at, flags=flags
        )
        register.known[index].shown_by = 0
        return index

    def _has_foreign(self) -> bool:
        """Whether there are calls that this kind of source has not shown yet."""
        if self._foreign is None:
            bit = 1 << self.rank
            self._foreign = any(not known.shown_by & bit for known in self.register.known)
        return self._foreign
