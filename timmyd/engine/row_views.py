"""What a flow of rows keeps of each session, and what comes of it."""

from typing import NamedTuple

from timmyd.core.counting.identity import hash_text
from timmyd.core.counting.row_memory import RowMemory
from timmyd.core.counting.row_thread import Thread
from timmyd.core.model import Execution
from timmyd.house.outcome import Judged
from timmyd.sources.state_db_rows import SessionRow


class TakenRows(NamedTuple):
    """What came of rows.

    Attributes:
        executions: Counted for the first time.
        duplicates: Requests shown, but counted before.
        amended: Answered now, or known better now.
        skipped: Elements that could not be used, by reason; rows that are `too_old` among them.
    """

    executions: int
    duplicates: int
    amended: int
    skipped: dict[str, int]


class RowView:
    """One session in the course of one piece."""

    def __init__(
        self,
        row: SessionRow,
        lineage: int,
        house: str,
        memory: RowMemory,
        parent: SessionRow | None,
    ) -> None:
        """Follow a session from where it was left."""
        self.row = row
        self.lineage = lineage
        self.house = house
        self.memory = memory
        self.sid = hash_text(row.id)
        self.thread: Thread = memory.thread(self.sid)
        self.continues_at = None if parent is None else row.started_at or 0.0
        self.branched = row.branched or (parent is not None and parent.end_reason == "branched")


def says_less(verdict: Judged, before: Execution) -> bool:
    """Whether a worse source knew better: rows lose Hermes' mark of a call that was not carried out."""
    if verdict.outcome == "unknown":
        return before.outcome != "unknown"
    return verdict.rule == "json_error" and before.outcome in {"blocked", "cancelled", "rejected"}
