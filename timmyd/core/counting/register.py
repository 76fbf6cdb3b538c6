"""What is known of one lineage of sessions: every requested call once, whichever files show it.

A rewritten file is read as a path of calls from the start of the conversation. Each call gets the
hash of the path up to and including it (`link`), as a commit gets the hash of its history. A hash
that was seen before is a call that was counted before, so growth, re-reading, going back to an
older version and growing again are all the same simple look-up, in any order and after any crash.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from timmyd.core.counting.identity import (
    ANSWERED,
    CLOCK_SLACK_S,
    DAMAGED,
    INNER,
    STATE_DB,
    UNSURE,
    Known,
)
from timmyd.core.counting.spans import take
from timmyd.core.model import Call


class _State(msgspec.Struct, array_like=True, gc=False):
    known: list[Known]
    chain: dict[int, int]
    paths: dict[int, list[int]]
    repeats: bool
    runs: dict[str, list[list[int]]]
    rows: dict[str, dict[Any, Any]]
    aliases: dict[int, int] = {}


_AMBIGUOUS = 0


class Register:
    """The calls of one lineage. Loaded and saved whole, in the transaction that uses it.

    Attributes:
        known: The calls, in the order of first sight.
        runs: Telemetry runs and the spans of line numbers taken from each.
        rows: What the `state_db` source wants to remember of the lineage, as tables by name.
    """

    __slots__ = (
        "_aliases",
        "_by_facts",
        "_by_key",
        "_chain",
        "_passed",
        "_paths",
        "_repeats",
        "known",
        "rows",
        "runs",
    )

    def __init__(self, data: bytes | None = None) -> None:
        """Start empty, or from what `dump` gave.

        Raises:
            msgspec.MsgspecError: The bytes are no register.
        """
        state = _decoder.decode(data) if data is not None else _State([], {}, {}, False, {}, {})  # noqa: FBT003 - array-like
        self.known = state.known
        self.runs = state.runs
        self.rows = state.rows
        self._chain = state.chain
        self._paths = state.paths
        self._repeats = state.repeats
        self._aliases = state.aliases
        self._by_key: dict[int, list[int]] | None = None
        self._by_facts: dict[int, list[int]] | None = None
        self._passed: dict[tuple[int, int, bool], int] = {}

    def dump(self) -> bytes:
        """The register as bytes for the database."""
        return _encoder.encode(
            _State(
                self.known,
                self._chain,
                self._paths,
                self._repeats,
                self.runs,
                self.rows,
                self._aliases,
            )
        )

    # ---------------------------------------------------------------- documents
    def notice_repeats(self, calls: Sequence[Call]) -> bool:
        """Whether ids repeat in this lineage; once seen, it stands."""
        if not self._repeats:
            ids = [call.call_id for call in calls if call.call_id]
            self._repeats = len(set(ids)) < len(ids)
        return self._repeats

    def path(self, file: int) -> list[int]:
        """The calls that the last version of the document showed, as indices."""
        return self._paths.get(file, [])

    def show(self, file: int, path: list[int]) -> None:
        """Note what a version of the document showed; an older version takes nothing from the path."""
        before = self._paths.pop(file, [])
        self._paths[file] = before if before[: len(path)] == path else path

    def newest_paths(self, most: int) -> list[list[int]]:
        """The paths of the documents, that of the one read last first."""
        return [path for path in islice(reversed(self._paths.values()), most) if path]

    def at_link(self, chain: int) -> int | None:
        """The call whose path has this hash."""
        return self._chain.get(chain)

    def bind(self, chain: int, index: int) -> None:
        """Remember that the path with this hash ends in the call `index`."""
        self._chain[chain] = index

    def absorb(self, other: "Register") -> None:
        """Take over the calls of a lineage that turned out to continue this one."""
        shift = len(self.known)
        self.known.extend(other.known)
        self._chain.update({chain: index + shift for chain, index in other._chain.items()})  # noqa: SLF001 - the same class
        for file, path in other._paths.items():  # noqa: SLF001 - the same class
            self._paths.setdefault(file, [index + shift for index in path])
        for run, spans in other.runs.items():
            for first, last in spans:
                take(self.runs.setdefault(run, []), first, last)
        for name, part in other.rows.items():
            self.rows.setdefault(name, {}).update(part)
        for alias, key in other._aliases.items():  # noqa: SLF001 - the same class
            self._alias(alias, key)
        self._repeats = self._repeats or other._repeats  # noqa: SLF001 - the same class
        self.forget_order()

    def forget_order(self) -> None:
        """Let the look-up tables be made anew: `known` is changed by hand."""
        self._by_key = self._by_facts = None
        self._passed.clear()

    # ------------------------------------------------------------------- events
    def add(
        self,
        keys: Sequence[int],
        facts: int,
        execution: int,
        *,
        rank: int,
        seen_at: float,
        flags: int = 0,
    ) -> int:
        """Enter a call that is counted now; returns its index."""
        index = len(self.known)
        key = keys[0] if keys else 0
        self.known.append(Known(key, facts, execution, flags, 1 << rank, rank, seen_at))
        if self._by_key is not None:
            self._by_key.setdefault(key, []).append(index)
        if self._by_facts is not None:
            self._by_facts.setdefault(facts, []).append(index)
        if len(keys) > 1:
            self.name(index, keys)
        return index

    def name(self, index: int, keys: Sequence[int]) -> None:
        """Let a known call be met by all of these ids from now on."""
        known = self.known[index]
        if not known.key and keys:
            known.key = keys[0]
            if self._by_key is not None:
                self._by_key.setdefault(known.key, []).append(index)
        for alias in keys:
            if alias != known.key:
                self._alias(alias, known.key)

    def own_key(self, keys: Sequence[int]) -> int:
        """Under which of its ids a call is known, or would be; 0 for none."""
        if not keys or not self._aliases:
            return keys[0] if keys else 0
        found = self.with_keys(keys)
        return self.known[found[0]].key if found else keys[0]

    def _alias(self, alias: int, key: int) -> None:
        """What was the alias of one call and of another tells nothing any more."""
        if self._aliases.setdefault(alias, key) != key:
            self._aliases[alias] = _AMBIGUOUS

    def with_keys(self, keys: Sequence[int]) -> Sequence[int]:
        """The calls that have one of the ids with these hashes, in the order of first sight."""
        if self._by_key is None:
            self._by_key = {}
            for index, known in enumerate(self.known):
                self._by_key.setdefault(known.key, []).append(index)
        for key in keys:
            if (found := self._by_key.get(key)) is not None:
                return found
        for key in keys if self._aliases else ():
            own = self._aliases.get(key, _AMBIGUOUS)
            if own != _AMBIGUOUS:
                return self._by_key.get(own, ())
        return ()

    def _with_facts(self, facts: int) -> Sequence[int]:
        if self._by_facts is None:
            self._by_facts = {}
            for index, known in enumerate(self.known):
                self._by_facts.setdefault(known.facts, []).append(index)
        return self._by_facts.get(facts, ())

    def meet(
        self,
        keys: Sequence[int],
        facts: int,
        *,
        rank: int,
        began_at: float | None = None,
        ended_by: float | None = None,
        damaged: bool = False,
    ) -> int | None:
        """The known call that another source showed and that this sighting is, if there is one.

        Sources meet call by call: on any id, then on tool and arguments, in order, each call once.
        Where one of them shows no id, tool and arguments must do. What was over before the
        sighting's call began, and what ran after it had ended, is another.

        Args:
            keys: Hashes of its ids, empty for none.
            facts: Hash of tool and arguments.
            rank: The source that has the sighting.
            began_at: When the call began, Unix seconds, if that is known and its id may repeat.
            ended_by: When it was over at the latest, Unix seconds, if that is known.
            damaged: Its arguments were cut, so that they say nothing.
        """
        same = self.with_keys(keys) if keys else ()
        loose = None
        for index in self._left(same, rank, nameless=False):
            if self._may_be(index, rank, began_at, ended_by):
                if self.known[index].facts == facts:
                    self.name(index, keys)
                    return index
                if damaged or not self._repeats or self.known[index].flags & DAMAGED:
                    loose = index  # where ids repeat, the id alone tells nothing
        if same:
            return loose if len(same) == 1 else None
        for index in self._left(self._with_facts(facts), rank, nameless=bool(keys)):
            # either it has no id, or the sighting has none
            nameless = not self.known[index].key or not keys
            if nameless and self._may_be(index, rank, began_at, ended_by):
                self.name(index, keys)
                return index
        return None

    def _left(self, indices: Sequence[int], rank: int, *, nameless: bool) -> Sequence[int]:
        """Those of an index that may still be met by a source, not all those that never can any more.

        So a thousand equal calls take a thousand steps, not a million.
        """
        spot = (id(indices), rank, nameless)
        start = self._passed.get(spot, 0)
        while start < len(indices):
            known = self.known[indices[start]]
            if not (known.shown_by & 1 << rank or known.flags & INNER or (nameless and known.key)):
                break
            start += 1
        if start:
            self._passed[spot] = start
        return indices[start : start + _LOOKS_MOST]

    def _may_be(
        self, index: int, rank: int, began_at: float | None, ended_by: float | None
    ) -> bool:
        known = self.known[index]
        if known.shown_by & 1 << rank or known.flags & INNER:
            return False
        ran = known.seen_at if known.best <= STATE_DB else None
        if ran is not None and ended_by is not None and ran > ended_by + CLOCK_SLACK_S:
            return False
        over = known.flags & ANSWERED and not known.flags & UNSURE and began_at is not None
        return not over or known.seen_at >= (began_at or 0.0) - CLOCK_SLACK_S

    def take_line(self, run: str, number: int) -> bool:
        """Note line `number` of a telemetry run; False if it was taken before."""
        return take(self.runs.setdefault(run, []), number, number)


_LOOKS_MOST = 1_000

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_State)
