"""What goes into taking a file in, and what comes out; shared by every flow."""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import xxhash

from timmyd.core.clock_trust import EARLIEST_CALL, Skew
from timmyd.core.model import Checkpoint, Execution, Session, Source
from timmyd.house.units import DAY_S
from timmyd.sources import telemetry
from timmyd.sources.state_db_rows import Row

HORIZON_S: Final = 400 * DAY_S
"""What is older is not taken in: what is remembered of lineages goes after this time."""

_ZONE_STEP_S: Final = 900.0
_WIDEST_ZONE_S: Final = 26 * 3600.0
_WRITING_S: Final = 5.0


class Origin(NamedTuple):
    """Where a file comes from, and how it looked when it was opened.

    Attributes:
        home: The Hermes home or directory; session ids are unique within it.
        house: Whose work it is.
        source: Which source reads it.
        name: The file's name without folder and ending.
        written_at: The file's time of change, Unix seconds.
        now: Unix seconds, as they are believed; nothing is recorded later than this.
        owner: Uid of the owner of the home, None where it is not known.
        imported: An operator handed it over: it may be a copy that lies with somebody else.
        skew: How wrong the clocks are held to be that wrote it.
    """

    home: str
    house: str
    source: Source
    name: str
    written_at: float
    now: float
    owner: int | None = None
    imported: bool = False
    skew: Skew = Skew()

    def dated(self, at: float) -> tuple[float, bool]:
        """When something happened that claims `at`, and whether that is only about right."""
        if at < EARLIEST_CALL and not self.skew.ahead_s:
            return min(max(self.written_at, EARLIEST_CALL), self.now), True
        return self.skew.dated(at, self.now)

    @property
    def oldest(self) -> float:
        """What happened before is not taken in, Unix seconds.

        While the clock is doubted nothing is too old: the cursor goes on, so it would be lost.
        """
        return -math.inf if self.skew.ahead_s else self.now - HORIZON_S


class Cursor(msgspec.Struct, kw_only=True):
    """How far a file was read, kept with the ledger's row of it.

    Attributes:
        checkpoint: Of a snapshot.
        offset: Of a telemetry file: bytes up to the end of the last whole line.
        proof: xxh3_64 of the `proof_bytes` before `offset`; tells that the file is still the same.
        heads: The headers of a telemetry file, by run.
        skipped: Elements of a document that could not be used, by reason: counted once a file.
        unfinished: The first look at a document has not come to its end.
    """

    checkpoint: Checkpoint | None = None
    offset: int = 0
    proof: int = xxhash.xxh3_64_intdigest(b"")
    proof_bytes: int = 0
    heads: dict[str, telemetry.Head] = msgspec.field(default_factory=dict)
    skipped: dict[str, int] = msgspec.field(default_factory=dict)
    unfinished: bool = False


class Taken(NamedTuple):
    """What came of a file.

    Attributes:
        executions: Counted for the first time.
        duplicates: Shown, but counted before.
        amended: Answered now, or known better now.
        skipped: Elements that could not be used, by reason: lines, messages, requests, results.
        cursor: Where the next reading may start; None if the file is not ours.
        more: There is more in the file: it was a slice of it.
    """

    executions: int
    duplicates: int
    amended: int
    skipped: Mapping[str, int]
    cursor: Cursor | None
    more: bool = False


def settle_times(shown: Session, origin: Origin) -> bool:
    """Mend the times of a document that says them without a zone; whether they can be relied on.

    Hermes writes local times. Where the file's own time says that they are off by whole quarters
    of an hour, they were another zone's, or the hour that the end of summer time repeats.
    """
    updated_at = shown.updated_at
    if updated_at is None or not shown.naive:
        return True
    off = origin.written_at - updated_at
    shift = round(off / _ZONE_STEP_S) * _ZONE_STEP_S
    if abs(off - shift) > _WRITING_S or abs(shift) > _WIDEST_ZONE_S:
        return False
    shown.updated_at = updated_at + shift
    if shown.started_at is not None:
        shown.started_at += shift
    return True


def keep_known(found: Execution, before: Execution) -> Execution:
    """What the better sighting does not know stays as the other source had it."""
    gaps = {
        name: getattr(before, name)
        for name in (
            "latency_ms",
            "confidence",
            "tokens_in",
            "tokens_out",
            "cost",
            "policy",
            "followed",
            "model",
        )
        if getattr(found, name) is None
    }
    if not found.shape:
        gaps["shape"] = before.shape
    return msgspec.structs.replace(found, **gaps) if gaps else found


def dated_rows(rows: Sequence[Row], origin: Origin) -> tuple[list[Row], set[int]]:
    """Rows with the times that are believed, and the ids of those that were written at another."""
    believed: list[Row] = []
    redated: set[int] = set()
    for row in rows:
        at, is_approximate = (0.0, False) if row.at is None else origin.dated(row.at)
        believed.append(msgspec.structs.replace(row, at=at) if is_approximate else row)
        if is_approximate:
            redated.add(row.id)
    return believed, redated
