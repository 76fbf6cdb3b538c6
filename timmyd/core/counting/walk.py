"""One reading of a document against the register of its lineage.

A hash of the path that was not seen is a new call, unless Hermes moved the call: compaction,
rotation and branching drop what stood before it, or copy it to another file. Such copies are
recognised by their id where the provider makes ids that do not repeat, and otherwise by their
order: copies are unbroken runs of known calls, at the places where Hermes puts them.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from timmyd.core.counting.identity import (
    ANSWERED,
    CLOCK_SLACK_S,
    DAMAGED,
    INNER,
    RANKS,
    UNSURE,
    Known,
    is_damaged,
    keys_of,
    link,
    unique_ids,
)
from timmyd.core.counting.overlap import Token, common_start, overlap
from timmyd.core.counting.register import Register
from timmyd.core.model import Call, Checkpoint, Session

_MOST_PATHS = 16


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
                self._copies = self._find_copies(position)
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
        facts = self.facts(call)
        if self._has_foreign():
            index = register.meet(
                keys, facts, rank=self.rank, ended_by=self.seen_at if self.sure else None
            )
            if index is not None:
                return index
        flags = DAMAGED if is_damaged(call) else 0
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

    # ------------------------------------------------------------------- copies
    def _find_copies(self, position: int) -> list[int]:
        """For each call from `position` on, the known call that it is a copy of, or -1.

        There the document departs from every path seen so far.
        """
        calls = self.calls[position:]
        repeats = self.register.notice_repeats(self.calls)
        if not self.register.known:
            return []
        if not repeats and any(self.register.with_keys(keys_of(call.ids)) for call in calls):
            used = set(self.path)
            result = [self._same_id(call, used) for call in calls]
            if any(index >= 0 for index in result):
                return result
        if not repeats and all(unique_ids(call.ids) for call in calls):
            return []
        moved = self._aligned(calls) if self._was_moved(calls[0]) else [-1] * len(calls)
        if not self._before:
            return moved
        taken = set(moved)
        later = self._shown_later(calls) or moved
        return [
            index if index >= 0 or other in taken else other
            for index, other in zip(moved, later, strict=True)
        ]

    def _was_moved(self, call: Call) -> bool:
        """Whether what stands from `call` on may have stood elsewhere before.

        So it is in a file that is new, right after a summary, and where the call is older than
        what the file showed last. After an undo none of these holds: such calls are new ones.
        """
        if not self._before or (call.compacted and not self._compacted):
            return True
        newest = self.register.known[self._before[-1]].seen_at
        return call.at is not None and call.at < newest - CLOCK_SLACK_S

    def _shown_later(self, calls: Sequence[Call]) -> list[int]:
        """Copies where a file grew before another one repeated it, and is read after that one.

        Only what the other file showed when this version stood already can be a copy of it.
        """
        tokens = self._tokens_of(calls)
        size = len(self.path)
        whole = [*self._tokens(self.path), *tokens]
        for path in self.register.newest_paths(_MOST_PATHS):
            known = self._tokens(path)
            if path[:size] == self.path:
                found = path[size : size + common_start(tokens, known[size:])]
                result = [*found, *[-1] * (len(calls) - len(found))]
            else:
                end = min(overlap(whole, known), len(calls))
                last = overlap(whole, known)
                found = path[last - end : last]
                result = [*[-1] * (len(calls) - end), *found]
            oldest = min((self.register.known[index].seen_at for index in found), default=0.0)
            if found and oldest >= self.seen_at - CLOCK_SLACK_S:
                return result
        return []

    def _same_id(self, call: Call, used: set[int]) -> int:
        ids = unique_ids(call.ids)
        if ids:
            damaged = is_damaged(call)
            for index in self.register.with_keys(keys_of(ids)):
                known = self.register.known[index]
                same = damaged or known.may_have(self.facts(call))
                if same and index not in used and not known.flags & INNER:
                    used.add(index)
                    return index
        return -1

    def _aligned(self, calls: Sequence[Call]) -> list[int]:
        """Copies where ids repeat: by the runs in which the calls and the known paths overlap.

        In front stand what was kept before a summary (the start of a path) and what was kept after
        it (the end of one); a branch begins with a whole path. At the end of a parent that is read
        after its child stands what the child begins with.
        """
        tokens = self._tokens_of(calls)
        kept = next((n for n, call in enumerate(calls) if call.compacted), len(calls))
        result = [-1] * len(calls)
        front = 0
        if kept:
            front = self._match(result, tokens[:kept], 0, ends_too=kept == len(calls))
        if kept < len(calls):
            found = self._match(result, tokens[kept:], kept, ends_too=True)
            front = kept + found if found else front
        self._match_end(result, tokens, front, compacted=kept == 0)
        return result

    def _match(
        self, result: list[int], tokens: Sequence[Token], place: int, *, ends_too: bool
    ) -> int:
        """Fill `result` from `place` on with the longest run that `tokens` begin with."""
        best: list[int] = []
        for path in self._paths():
            known = self._tokens(path)
            start = len(self.path) + place
            size = common_start(tokens, known[start:])
            more = overlap(known[start + size :], tokens[size:]) if ends_too and size else 0
            if size + more > len(best):
                best = [*path[start : start + size], *(path[-more:] if more else ())]
            size = overlap(known, tokens) if ends_too else 0
            if size > len(best):
                best = path[-size:]
        result[place : place + len(best)] = best
        return len(best)

    def _match_end(
        self, result: list[int], tokens: Sequence[Token], front: int, *, compacted: bool
    ) -> None:
        """Fill the end of `result` where the document goes on in a child that is known already."""
        best: list[int] = []
        for path in self._paths():
            known = self._tokens(path)
            skip = 0 if compacted else common_start(tokens, known)
            if not compacted and front > skip:
                continue
            size = overlap(tokens[front:], known[skip:])
            if size > len(best):
                best = path[skip : skip + size]
        if best:
            result[len(result) - len(best) :] = best

    def _paths(self) -> Iterator[list[int]]:
        """The paths that may hold originals, likeliest first."""
        if self._before:
            yield self._before
            return
        yield from self.register.newest_paths(_MOST_PATHS)

    def _tokens_of(self, calls: Sequence[Call]) -> list[Token]:
        own = self.register.own_key
        return [(own(keys_of(c.ids)), None if is_damaged(c) else self.facts(c)) for c in calls]

    def _tokens(self, path: Sequence[int]) -> list[Token]:
        known = self.register.known
        calls = [known[index] for index in path]
        return [(call.key, None if call.flags & DAMAGED else call.facts) for call in calls]
