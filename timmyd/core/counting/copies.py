"""Which calls of a document are copies of known ones: compaction, rotation and branching make such.

They are recognised by their id where the provider makes ids that do not repeat, and otherwise by
their order: copies are unbroken runs of known calls, at the places where Hermes puts them.
"""

from collections.abc import Callable, Iterator, Sequence

from timmyd.core.counting.identity import (
    CLOCK_SLACK_S,
    DAMAGED,
    INNER,
    is_damaged,
    keys_of,
    unique_ids,
)
from timmyd.core.counting.overlap import Token, common_start, overlap
from timmyd.core.counting.register import Register
from timmyd.core.model import Call

_MOST_PATHS = 16


class Copies:
    """Finds them at the place where a document departs from every path seen so far.

    Attributes:
        register: What is known of the lineage.
        facts: Hash of a call's tool and arguments, canonical; asked only where needed.
        path: The calls of the document up to that place, as indices.
        before: The path that the last version of the document showed.
        compacted: A summary stands before that place.
        seen_at: When this version was written, Unix seconds.
    """

    def __init__(
        self,
        register: Register,
        facts: Callable[[Call], int],
        path: list[int],
        *,
        before: list[int],
        compacted: bool,
        seen_at: float,
    ) -> None:
        self.register = register
        self.facts = facts
        self.path = path
        self.before = before
        self.compacted = compacted
        self.seen_at = seen_at

    def of(self, document: Sequence[Call], position: int) -> list[int]:
        """For each call from `position` on, the known call that it is a copy of, or -1.

        There the document departs from every path seen so far.

        Args:
            document: All calls that it shows, as far as they are read now.
            position: Where it departs.
        """
        calls = document[position:]
        repeats = self.register.notice_repeats(document)
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
        if not self.before:
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
        if not self.before or (call.compacted and not self.compacted):
            return True
        newest = self.register.known[self.before[-1]].seen_at
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
        if self.before:
            yield self.before
            return
        yield from self.register.newest_paths(_MOST_PATHS)

    def _tokens_of(self, calls: Sequence[Call]) -> list[Token]:
        own = self.register.own_key
        return [(own(keys_of(c.ids)), None if is_damaged(c) else self.facts(c)) for c in calls]

    def _tokens(self, path: Sequence[int]) -> list[Token]:
        known = self.register.known
        calls = [known[index] for index in path]
        return [(call.key, None if call.flags & DAMAGED else call.facts) for call in calls]
