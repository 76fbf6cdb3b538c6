"""What makes two sightings of a call the same call: hashes of ids, paths, tools and arguments."""

import re
from collections.abc import Sequence

import msgspec
import xxhash

from timmyd.core.model import SOURCE_NAMES, Call

ANSWERED = 1
INNER = 2
UNSURE = 4
DAMAGED = 8

_MASK = (1 << 63) - 1
_MINTED = re.compile(r"(?:call|fc)_[0-9a-f]{12}")
_MINTED_MOST = len("call_") + 12
_SHORTEST_RANDOM_ID = 8
_LAST_PART = re.compile(rf"(?:.*[^A-Za-z0-9])?([A-Za-z0-9]{{{_SHORTEST_RANDOM_ID},}})", re.DOTALL)
_RANDOM_PART = re.compile(
    r"(?<![A-Za-z0-9])(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{12,}(?![A-Za-z0-9])"
)
_DIGIT = re.compile(r"[0-9]")
_TRUNCATED = "...[truncated]"
_CORRUPTED = "tool call arguments were corrupted"
_MARK_WITHIN = 200
"""Hermes leaves so many characters of an argument that it cuts, and says within so many that it cut."""

RANKS = {name: rank for rank, name in enumerate(SOURCE_NAMES)}
"""The place of each source in the order of CONTRACT §1; 0 is the best."""

TELEMETRY = RANKS["telemetry"]
STATE_DB = RANKS["state_db"]

CLOCK_SLACK_S = 0.25
"""Two sources may note the same moment so far apart, in seconds."""


def hash_text(text: str) -> int:
    """A 63-bit hash of `text` for identity, not for secrecy; any string, also a broken one."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = text.encode("utf-8", "surrogatepass")
    return xxhash.xxh3_64_intdigest(data) & _MASK


def link(chain: int, call: Call) -> int:
    """The identity of a call that follows the path `chain`: 63 bits over path, id, tool, arguments."""
    arguments = call.arguments
    text = arguments if isinstance(arguments, str) else repr(arguments)
    return hash_text(f"{chain:x}\0{call.call_id}\0{call.tool}\0{text}")


def key_of(call_id: str) -> int:
    """The hash of a call's id; 0 where the provider sent none, also if Hermes then minted one.

    Hermes mints an id from the call itself, in the transcript only: its hooks and results then have none.
    """
    return hash_text(call_id) if call_id and not is_minted(call_id) else 0


def keys_of(ids: Sequence[str]) -> tuple[int, ...]:
    """The hashes of all ids by which a call may be met, its own first; none where it has no id."""
    if len(ids) == 1:
        key = key_of(ids[0])
        return (key,) if key else ()
    return tuple(dict.fromkeys(key for one in ids if (key := key_of(one))))


def is_minted(call_id: str) -> bool:
    """Whether Hermes made the id itself: `call_<12 hex digits>`, or `fc_` and the same."""
    return len(call_id) <= _MINTED_MOST and _MINTED.fullmatch(call_id) is not None


def never_repeats(call_id: str) -> bool:
    """Whether the id looks as if its provider never makes it twice.

    Counters (`call_0`, `functions.terminal:3`) repeat by design, and Hermes mints
    `call_<12 hex digits>` from the call itself, so equal calls get equal ids. A random part
    with a counter behind it (`call_function_1f0c…_1`) is no counter.
    """
    if is_minted(call_id):
        return False
    if _RANDOM_PART.search(call_id):
        return True
    last = _LAST_PART.fullmatch(call_id)
    if last is None:
        return False
    return _DIGIT.search(last[1]) is not None or len(last[1]) > 2 * _SHORTEST_RANDOM_ID


def unique_ids(ids: Sequence[str]) -> list[str]:
    """Those of a call's ids that are not made twice."""
    return [one for one in ids if never_repeats(one)]


def is_cut(arguments: str) -> bool:
    """Whether Hermes cut or emptied the arguments after the call."""
    return _TRUNCATED in arguments or arguments == "{}"


def is_damaged(call: Call) -> bool:
    """Whether Hermes cut or replaced the arguments after the call, so that they say nothing."""
    arguments, content = call.arguments, call.content
    if type(arguments) is str and len(arguments) > _MARK_WITHIN and _TRUNCATED in arguments:
        return True
    return type(content) is str and _CORRUPTED in content[:_MARK_WITHIN]


class Known(msgspec.Struct, array_like=True, gc=False):
    """One call of the lineage.

    Attributes:
        key: Hash of its id; 0 where it has none.
        facts: Hash of its tool and arguments.
        execution: Its row in the database.
        flags: `ANSWERED` once its outcome stands, `INNER` if made inside `execute_code`,
            `UNSURE` where `seen_at` may be wrong by hours, `DAMAGED` where Hermes had cut the
            arguments before the call was first seen, so that `facts` say nothing.
        shown_by: Bit set of the sources (by rank) that have shown it.
        best: Rank of the best source whose facts stand in the database.
        seen_at: When a document first showed it answered, or when it ran, Unix seconds.
    """

    key: int
    facts: int
    execution: int
    flags: int
    shown_by: int
    best: int
    seen_at: float

    def may_have(self, facts: int) -> bool:
        """Whether a sighting of its id with these facts can be this call."""
        return self.facts == facts or bool(self.flags & DAMAGED)
