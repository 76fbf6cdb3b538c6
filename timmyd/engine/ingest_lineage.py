"""Which lineage a session of `state.db` belongs to, by the links that Hermes itself keeps."""

from collections.abc import Mapping
from typing import Final

from timmyd.core.counting.identity import hash_text
from timmyd.engine.intake import Origin
from timmyd.sources.state_db_rows import SessionRow
from timmyd.store.batch import Batch

_LONGEST_CHAIN: Final = 1_000
_CONTINUED: Final = frozenset({"compression", "branched"})


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


def join(batch: Batch, origin: Origin, sessions: Mapping[str, SessionRow], session_id: str) -> None:
    """Enter a session into the lineage of the first one that it continues.

    Where files without that link had made it a lineage of its own, the two become one.
    """
    home = batch.name(origin.home)
    chain = [session_id]
    while len(chain) < _LONGEST_CHAIN:
        parent = continued(sessions, sessions.get(chain[-1]) or SessionRow(chain[-1]))
        if parent is None or parent in chain:
            break
        chain.append(parent)
    sids = [hash_text(member) for member in reversed(chain)]
    lineages = [batch.lineage_of(home, sid) for sid in sids]
    root = next((lineage for lineage in lineages if lineage is not None), None)
    if root is None:
        first = sessions.get(chain[-1])
        started_at = None if first is None else first.started_at
        root = batch.new_lineage(origin.house, started_at=started_at, now=origin.now)
    for sid in sids:
        lineage = batch.lineage_of(home, sid)
        if lineage is None:
            batch.enter(home, sid, root)
        elif lineage != root:
            batch.merge(lineage, root, origin.now)
