"""Marks by which a document with a new session id is known to continue a lineage."""

from collections.abc import Sequence

from timmyd.core.counting.identity import hash_text, never_repeats, unique_ids
from timmyd.core.model import Call, Session


def marks(home: str, shown: Session, calls: Sequence[Call]) -> list[int]:
    """Hashes by which a document with a new id is known to continue a lineage, surest first."""
    found = []
    if shown.start_key:
        found.append(hash_text(f"start\0{home}\0{shown.start_key}"))
    found.extend(id_mark(home, one) for call in calls for one in unique_ids(call.ids))
    return found


def opening_marks(home: str, shown: Session, *, gone_on: bool) -> list[int]:
    """The mark of its first turn, alone or with another turn after it.

    A branch repeats the first turn of its original and goes on. Of two documents with the same
    first turn one must have gone on; otherwise the same work was merely done twice.
    """
    if shown.opening is None or shown.platform == "cron":
        return []
    return [hash_text(f"opening\0{home}\0{shown.opening}\0{gone_on}")]


def repeating_marks(home: str, shown: Session) -> list[int]:
    """The marks of ids that look random and yet repeat: some servers send one id for all calls."""
    seen: set[str] = set()
    repeated: set[str] = set()
    for call in shown.calls:
        (repeated if call.call_id in seen else seen).add(call.call_id)
    return [id_mark(home, call_id) for call_id in repeated if never_repeats(call_id)]


def id_mark(home: str, call_id: str) -> int:
    """The mark of a call whose id is not made twice."""
    return hash_text(f"id\0{home}\0{call_id}")
