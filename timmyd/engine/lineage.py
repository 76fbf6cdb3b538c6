"""Which lineage a sighting belongs to: asked once, with all that the sighting tells.

A lineage is one conversation under whatever session ids and in whatever files: rotated, branched,
resumed, copied, moved. It is found by the id of the session (unique for an owner where Hermes makes
it, else within its home), by the links that Hermes itself keeps, by ids of calls that are made only
once, by the start of the process, and by what a session begins with. Where several lineages turn
out to be one, they become the oldest of them. Owners never share one.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from timmyd.core.counting.identity import hash_text, is_damaged, keys_of, unique_ids
from timmyd.core.model import Call, Session
from timmyd.engine.intake import Origin
from timmyd.sources.state_db_rows import SessionRow
from timmyd.store.batch import NO_LINEAGE, Batch

_LONGEST_CHAIN: Final = 1_000
_CONTINUED: Final = frozenset({"compression", "branched"})
_GIST: Final = 256
_MADE_BY_HERMES: Final = re.compile(
    r"(?:[A-Za-z0-9]+_){0,4}[12]\d{7}_\d{6}(?:_[0-9a-f]{6,8})?"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)

Seen = tuple[Sequence[str], int, bool]
"""Ids of a call, hash of its tool and arguments, and whether Hermes cut these."""


class Lineages:
    """Finds the lineage of a sighting, and leaves the marks by which later ones find it."""

    def __init__(self, batch: Batch, origin: Origin) -> None:
        """For sightings of one origin within one batch."""
        self.batch = batch
        self.origin = origin
        owner = origin.owner
        self._everywhere = origin.home if owner is None else f"owner {owner}"
        self._marks: dict[Sequence[str], list[int]] = {}

    # ------------------------------------------------------------------- sightings
    def of_document(self, shown: Session, key: Callable[[Call], int]) -> tuple[int, int]:
        """The lineage of a document, and the hash that its path starts from.

        Args:
            shown: What the document shows.
            key: Gives the hash of a call's tool and arguments.
        """
        batch = self.batch
        file = hash_text(shown.session_id)
        own = self._known(shown.session_id)
        unknown: Sequence[Call] = shown.calls
        if own is not None:
            with_keys = batch.register(own).with_keys
            unknown = [call for call in shown.calls if not with_keys(keys_of(call.ids))]
        found = self._by_calls((call.ids, key(call), is_damaged(call)) for call in unknown)
        if own is None or not batch.register(own).path(file):
            marks = [*self._starts(shown, former=True), *self._heads(shown)]
            found.update(batch.marked(marks).values())
        root = self._one(shown.session_id, own, found, shown.started_at)
        return root, file

    def of_line(self, session_id: str, ids: Sequence[str], facts: int) -> int:
        """The lineage of a line of telemetry; a child that was read before may show its call."""
        own = self._known(session_id)
        found: set[int] = set()
        if own is None or not self.batch.register(own).with_keys(keys_of(ids)):
            found = self._by_calls([(ids, facts, False)])
        return self._one(session_id, own, found, None)

    def of_rows(
        self, sessions: Mapping[str, SessionRow], session_id: str, calls: Iterable[Seen]
    ) -> int:
        """The lineage of rows of a session: that of the first one that it continues."""
        chain = [session_id]
        while len(chain) < _LONGEST_CHAIN:
            parent = continued(sessions, sessions.get(chain[-1]) or SessionRow(chain[-1]))
            if parent is None or parent in chain:
                break
            chain.append(parent)
        chain.reverse()
        known = [self._known(member) for member in chain]
        own = known[-1]
        root = next((lineage for lineage in known if lineage is not None), None)
        found = {lineage for lineage in known if lineage is not None}
        if own is not None:
            with_keys = self.batch.register(own).with_keys
            calls = [seen for seen in calls if not with_keys(keys_of(seen[0]))]
        found |= self._by_calls(calls)
        first = sessions.get(chain[0]) or SessionRow(chain[0])
        if root is None:
            found.update(self.batch.marked(self._row_heads(first)).values())
        root = self._one(chain[0], root, found, first.started_at)
        for member in chain[1:]:
            self._enter(member, root)
        self.batch.mark(self._row_heads(first), root)
        return root

    def session(self, session_id: str) -> int:
        """What names a session of an owner wherever it lies."""
        scope = self._everywhere if self._is_made(session_id) else self.origin.home
        return hash_text(f"{scope}\0{session_id}")

    def now(self, lineage: int) -> int:
        """Where a lineage is that may have become part of another within this batch."""
        return self.batch.now_in(lineage)

    # ----------------------------------------------------------------------- marks
    def leave(self, lineage: int, calls: Iterable[Sequence[str]]) -> None:
        """Let later sightings of these calls, by their ids, find the lineage."""
        self.batch.mark([mark for ids in calls for mark in self._marks_of(ids)], lineage)

    def leave_document(self, lineage: int, shown: Session, new: Iterable[Call]) -> None:
        """The same for a document, of which some calls are new, and for how it begins."""
        self.leave(lineage, [call.ids for call in new])
        self.batch.mark([*self._starts(shown), *self._heads(shown)], lineage)
        seen: set[str] = set()
        repeated: set[str] = set()
        for call in shown.calls:
            (repeated if call.call_id in seen else seen).add(call.call_id)
        marks = [id_mark(self._everywhere, one) for one in unique_ids([*repeated])]
        self.batch.mark(marks, NO_LINEAGE)

    def _starts(self, shown: Session, *, former: bool = False) -> list[int]:
        """What a document has in common with those that it continues: process, first turn."""
        scopes = [self._everywhere, *(self._former() if former else ())]
        found = []
        if shown.start_key:
            found += [hash_text(f"start\0{scope}\0{shown.start_key}") for scope in scopes]
        if shown.opening is not None and shown.platform != "cron":
            found.append(hash_text(f"opening\0{self._everywhere}\0{shown.opening}"))
        return found

    def _heads(self, shown: Session) -> list[int]:
        """By what a session is known again that lies somewhere else now, or has another name."""
        if not shown.calls or shown.resumed is not None or self._is_made(shown.session_id):
            return []
        times = (shown.started_at, shown.updated_at, shown.calls[-1].at)
        if shown.named:
            parts = [shown.session_id, repr(shown.started_at), _gist(shown.calls[0])]
        elif any(times):
            parts = [repr(times), *map(_gist, shown.calls)]
        else:
            parts = [repr(self.origin.written_at), *map(_gist, shown.calls)]
        return [hash_text("\0".join(("head", self._everywhere, *parts)))]

    def _row_heads(self, first: SessionRow) -> list[int]:
        if first.started_at is None or self._is_made(first.id):
            return []
        return [hash_text(f"rows\0{self._everywhere}\0{first.id}\0{first.started_at!r}")]

    # --------------------------------------------------------------------- parts
    def _is_made(self, session_id: str) -> bool:
        return self.origin.owner is not None and bool(_MADE_BY_HERMES.fullmatch(session_id))

    def _scope(self, session_id: str) -> int:
        made = self._is_made(session_id)
        return self.batch.name(self._everywhere if made else self.origin.home)

    def _former(self) -> list[str]:
        """The name under which an older version kept what it knew of this home."""
        home = self.origin.home
        return [home] if home != self._everywhere and self._has(home) else []

    def _has(self, home: str) -> bool:
        return self.batch.has_sessions(self.batch.name(home))

    def _known(self, session_id: str) -> int | None:
        sid, scope = hash_text(session_id), self._scope(session_id)
        found = self.batch.lineage_of(scope, sid)
        if found is not None:
            return found
        if self._former():
            found = self.batch.lineage_of(self.batch.name(self.origin.home), sid)
        if found is None and self.origin.imported and _MADE_BY_HERMES.fullmatch(session_id):
            found = self.batch.anywhere(sid)
        if found is not None:
            self._enter(session_id, found)
        return found

    def _by_calls(self, calls: Iterable[Seen]) -> set[int]:
        """The lineages that know one of these calls by an id that is not made twice."""
        former = self._former()
        marks: dict[int, Seen] = {}
        for seen in calls:
            for mark in self._marks_of(seen[0]):
                marks[mark] = seen
            for scope in former:
                marks.update((id_mark(scope, one), seen) for one in unique_ids(seen[0]))
        found: set[int] = set()
        for mark, lineage in (self.batch.marked(list(marks)) if marks else {}).items():
            ids, facts, damaged = marks[mark]
            if lineage in found:
                continue
            register = self.batch.register(lineage)
            same = [register.known[index] for index in register.with_keys(keys_of(ids))]
            if damaged or not same or any(known.may_have(facts) for known in same):
                found.add(lineage)
            else:  # it looked as if it were made once, and is not
                self.batch.mark([mark], NO_LINEAGE)
        return found

    def _marks_of(self, ids: Sequence[str]) -> list[int]:
        """The marks of a call's ids; they are looked for first, and left a little later."""
        marks = self._marks.get(ids)
        if marks is None:
            marks = [id_mark(self._everywhere, one) for one in unique_ids(ids)]
            self._marks[ids] = marks
        return marks

    def _one(
        self, session_id: str, own: int | None, found: set[int], started_at: float | None
    ) -> int:
        """Make one lineage of all that were found, and enter the session into it."""
        lineages = found if own is None else found | {own}
        if not lineages:
            origin = self.origin
            lineages = {self.batch.new_lineage(origin.house, started_at=started_at, now=origin.now)}
        root = min(lineages)
        for lineage in sorted(lineages - {root}):
            self.batch.merge(lineage, root, self.origin.now)
        if own is None:
            self._enter(session_id, root)
        keeper = self.batch.house_of(root)
        if keeper is not None and keeper != self.origin.house:
            self.batch.share(self.origin.house, keeper, at=self.origin.now)
        return root

    def _enter(self, session_id: str, lineage: int) -> None:
        sid, scope = hash_text(session_id), self._scope(session_id)
        there = self.batch.lineage_of(scope, sid)
        if there is None:
            self.batch.enter(scope, sid, lineage)
        elif there != lineage:
            self.batch.merge(there, lineage, self.origin.now)


def id_mark(scope: str, call_id: str) -> int:
    """The mark of a call whose id is not made twice."""
    return hash_text(f"id\0{scope}\0{call_id}")


def continued(sessions: Mapping[str, SessionRow], session: SessionRow) -> str | None:
    """The session that this one continues under another id; None for work of its own.

    A child without a mark belongs to its parent only if that ended to be continued: a delegated
    task, and a fresh start, are conversations of their own.
    """
    if session.parent is None or session.delegated or session.parent == session.id:
        return None
    parent = sessions.get(session.parent)
    ended = parent is not None and parent.end_reason in _CONTINUED
    return session.parent if session.branched or ended else None


def _gist(call: Call) -> str:
    content = call.content if isinstance(call.content, str) else repr(call.content)
    return "\1".join(
        (call.call_id, call.tool, str(call.arguments)[:_GIST], content[:_GIST], repr(call.at))
    )
