"""What `timmyd import` takes session by session: of an export, of a collection; and the report of it."""

import os
from collections import ChainMap
from itertools import islice
from typing import Final

from timmyd import __version__
from timmyd.core.counting.identity import hash_text
from timmyd.engine.ingest import Ingest
from timmyd.engine.ingest_rows import RowIngest
from timmyd.engine.intake import Origin
from timmyd.errors import SessionError
from timmyd.service.metrics import Metrics
from timmyd.service.outside import Outside
from timmyd.sources import collection, export, session as plain
from timmyd.sources.state_db_rows import SessionRow
from timmyd.store.batch import NO_HOME, Batch
from timmyd.store.database import PatternDatabase
from timmyd.tools.import_wanted import SESSIONS, ImportReport, Unread, Wanted

FIRST_ROWS: Final = 200
"""Rows by which the home of a database is looked for."""


class Knowns(Metrics):
    """Counts what was known already."""

    def __init__(self) -> None:
        super().__init__(__version__)
        self.known = 0

    def duplicates(self, source: str, count: int) -> None:  # noqa: ARG002 - the base's
        """So many were known already."""
        self.known += count


class Taking:
    """Takes sessions into a batch and counts what came of them."""

    def __init__(self, database: PatternDatabase, ingest: Ingest, outside: Outside) -> None:
        """Nothing was taken yet."""
        self.database = database
        self.ingest = ingest
        self.rows = RowIngest(ingest)
        self.outside = outside
        self.report = ImportReport()

    def session(
        self, batch: Batch, thing: Wanted, session: collection.Collected, status: os.stat_result
    ) -> None:
        """Take a session of a collection."""
        try:
            if session.form == "export":
                self.exported(
                    batch, thing, export.decode_value(session.value, self.ingest.zone), {}
                )
                return
            shown = plain.from_dict(
                session.value, zone=self.ingest.zone, fallback_id=thing.path.stem
            )
        except SessionError as error:
            self.report.unread.append(Unread(thing.path, error.code, error.detail))
            return
        if shown is None:
            return
        folder = thing.path.parent
        home = folder.parent if folder.name == SESSIONS else folder
        origin = Origin(
            home=str(home),
            house=thing.house,
            source="session",
            name=thing.path.stem,
            written_at=status.st_mtime,
            now=self.outside.clock(),
            owner=status.st_uid,
            imported=True,
            skew=self.outside.skew(),
        )
        taken = self.ingest.take_session(batch, origin, shown, None)
        batch.count("duplicates", taken.duplicates)
        batch.count("source.session", taken.executions)
        batch.skip(taken.skipped)
        self.report.duplicates += taken.duplicates
        self.report.too_old += taken.skipped.get("too_old", 0)
        self.count("session", taken.executions, taken.amended)

    def exported(
        self,
        batch: Batch,
        thing: Wanted,
        exported: export.Exported,
        sessions: dict[str, SessionRow],
    ) -> None:
        """Take an exported session; one that some home is known to have is that home's."""
        now = self.outside.clock()
        origin = Origin(
            home=self.home_of(batch, exported.sessions, NO_HOME),
            house=thing.house,
            source="state_db",
            name=thing.path.stem,
            written_at=now,
            now=now,
            imported=True,
            skew=self.outside.skew(),
        )
        linked = ChainMap(exported.sessions, sessions)
        taken = self.rows.take(batch, origin, exported.rows, linked, times_tell=False)
        batch.count("duplicates", taken.duplicates)
        batch.count("source.state_db", taken.executions)
        batch.skip(taken.skipped)
        self.report.duplicates += taken.duplicates
        self.report.too_old += taken.skipped.get("too_old", 0)
        self.count("export", taken.executions, taken.amended)

    def home_of(self, batch: Batch, sessions: dict[str, SessionRow], default: str) -> str:
        """The home that has these sessions already, else the one that they would be of."""
        homes = [home for home in self.database.homes() if home != default]
        sids = [hash_text(session) for session in islice(sessions, FIRST_ROWS)]
        if any(batch.lineage_of(batch.name(default), sid) for sid in sids):
            return default
        counts = {
            home: sum(batch.lineage_of(batch.name(home), sid) is not None for sid in sids)
            for home in homes
        }
        best = max(counts, key=lambda home: counts[home], default=default)
        return best if counts.get(best) else default

    def count(self, source: str, executions: int, amended: int) -> None:
        """Add what was taken to the report."""
        self.report.executions += executions
        self.report.amended += amended
        if executions:
            taken = self.report.by_source
            taken[source] = taken.get(source, 0) + executions
