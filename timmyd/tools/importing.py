"""`timmyd import`: history out of session folders, `state.db` files and exports; can be stopped and run again."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event
from typing import Final

from timmyd.clock import Clock, monotonic, now as wall_clock
from timmyd.core.clock_trust import ClockTrust
from timmyd.engine.ingest import Ingest
from timmyd.errors import SessionError
from timmyd.service.files import open_home
from timmyd.service.homes import Place
from timmyd.service.inbox import Inbox
from timmyd.service.intake import Intake
from timmyd.service.logs import silent
from timmyd.service.outside import Outside
from timmyd.service.state_db_file import FILE_NAME, StateDb
from timmyd.service.state_dbs import StateDbs
from timmyd.sources import TELEMETRY_FOLDER, classify, collection, export
from timmyd.sources.state_db import READ_S
from timmyd.sources.state_db_rows import SessionRow
from timmyd.store.batch import NO_HOME, Batch
from timmyd.store.database import PatternDatabase
from timmyd.tools.import_taking import FIRST_ROWS, Knowns, Taking
from timmyd.tools.import_wanted import (
    NO_CALLS,
    SESSIONS,
    ImportProgress,
    ImportReport,
    Unread,
    Wanted,
    is_worth_waiting,
    recognise,
    split_house,
    transcripts_in,
)

SLICE_S: Final = 0.25
"""How long one batch may take; between two of them another process can write, and we can be stopped."""

_LARGEST_BYTES: Final = 256 * 1024 * 1024
_LARGEST_EXPORT_BYTES: Final = 16 * 1024 * 1024 * 1024
_EXPORTED_A_BATCH: Final = 64
_TRIES: Final = 4
_RETRY_MOST_S: Final = 4.0


class Importer:
    """Imports what it is given, one thing after the other."""

    def __init__(
        self,
        database: PatternDatabase,
        ingest: Ingest,
        *,
        progress: Callable[[ImportProgress], None] = lambda _progress: None,
        clock: Clock = wall_clock,
        trust: Callable[[], ClockTrust] = ClockTrust,
    ) -> None:
        """Prepare.

        Args:
            database: Where to; another process may write to it as well.
            ingest: With the settings.
            progress: Called after each batch; raising from it stops the import, nothing is lost.
            clock: Nothing is recorded later than what it gives, Unix seconds.
            trust: What is held of the system's clock.
        """
        self.database = database
        self.ingest = ingest
        self.clock = clock
        self._tally = Knowns()
        self._outside = Outside(silent(), self._tally, clock, trust=trust)
        self.taking = Taking(database, ingest, self._outside)
        self.report = self.taking.report
        self._tell = progress
        self._began = monotonic()
        self._done = 0
        self._total = 0

    def run(self, wanted: Iterable[Wanted]) -> ImportReport:
        """Import all of it; what cannot be read is reported, the rest goes on.

        Raises:
            StoreError: Our own database cannot be written; what was committed stands.
        """
        things = list(wanted)
        self._total = sum(thing.size_bytes for thing in things)
        for thing in things:
            steps = {
                "home": self._home,
                "sessions": self._folder,
                "state_db": self._state_db,
                "export": self._export,
                "collection": self._collection,
                "file": self._file,
            }
            before = self._done
            known, row = self._known(), self.database.file(os.fsencode(thing.path))
            was_taken = row is not None and row.state == "taken"
            steps[thing.kind](thing)
            if not was_taken and self._known() == known and not thing.path.is_dir():
                self.report.unread.append(Unread(thing.path, "no_calls", NO_CALLS))
            self._done = before + thing.size_bytes
            self._say(thing.path, 0)
        self.report.duplicates += self._tally.known
        self._tally.known = 0
        return self.report

    def _known(self) -> tuple[int, ...]:
        report = self.report
        taken = report.executions + report.amended + report.duplicates + self._tally.known
        return taken, report.too_old, len(report.unread)

    # -------------------------------------------------------------------- kinds
    def _home(self, thing: Wanted) -> None:
        place = Place(thing.path, thing.house)
        self._follow(self._intake(place).state_dbs, thing)
        self._read(place, thing)

    def _folder(self, thing: Wanted) -> None:
        self._read(Place(thing.path, thing.house, is_home=False), thing)

    def _file(self, thing: Wanted) -> None:
        folder = thing.path.parent
        if folder.name == TELEMETRY_FOLDER:
            folder = folder.parent
        if folder.name == SESSIONS:
            self._read(Place(folder.parent, thing.house), thing, only=thing.path)
        else:
            self._read(Place(folder, thing.house, is_home=False), thing, only=thing.path)

    def _state_db(self, thing: Wanted) -> None:
        path = thing.path
        file = StateDb(Place(path.parent, thing.house), path.parent, thing.house, (), path.name)
        if path.name != FILE_NAME or not (path.parent / SESSIONS).is_dir():
            file.home_key = NO_HOME
        file.reopen()
        try:
            first, _ = file.read(read_s=READ_S, rows=FIRST_ROWS)
            with self.database.batch() as batch:
                file.home_key = self.taking.home_of(batch, first.sessions, file.home_key)
        except SessionError:
            pass  # the same comes again where it is reported
        dbs = self._intake().state_dbs
        dbs.add(file)
        self._follow(dbs, thing)

    def _intake(self, *places: Place) -> Intake:
        intake = Intake(
            places, self.database, self.ingest,
            largest_bytes=_LARGEST_BYTES, outside=self._outside, operators={os.getuid()},
        )  # fmt: skip
        intake.reader.imported = intake.state_dbs.imported = True
        return intake

    def _follow(self, dbs: StateDbs, thing: Wanted) -> None:
        """Read databases to their ends."""
        dbs.find()
        before = self._done
        try:
            while True:
                step = dbs.look(SLICE_S, patient=True)
                if step.files:
                    self.taking.count("state_db", step.executions, step.amended)
                    shares = (
                        thing.size_bytes * (file.cursor.last_id / max(1, file.highest_id))
                        for file in dbs.files.values()
                        if file.cursor is not None
                    )
                    self._say(thing.path, min(thing.size_bytes, int(sum(shares))))
                elif any(is_worth_waiting(file, _TRIES) for file in dbs.files.values()):
                    Event().wait(min(dbs.due_in_s() or 0.0, _RETRY_MOST_S))
                else:
                    break
            for finding in dbs.findings():
                if finding.code not in {"ok", "newer_schema", "reading"} and (
                    finding.code != "missing" or thing.kind == "state_db"
                ):
                    self.report.unread.append(Unread(finding.path, finding.code, finding.words))
            self.report.files += sum(file.highest_id > 0 for file in dbs.files.values())
            self.report.too_old += dbs.too_old
        finally:
            self._done = before
            dbs.close()

    def _read(self, place: Place, thing: Wanted, *, only: Path | None = None) -> None:
        """Read the files of a folder of sessions, or one of them."""
        intake = self._intake(place)
        inbox, reader = intake.inbox, intake.reader
        inbox.find_folders()
        try:
            if only is None:
                inbox.scan(trusted=False)
            else:
                inbox.hints.put(bytes(only))
                inbox.take_hints(0.0)
            queued = inbox.backlog
            while inbox.backlog:
                step = reader.read_slice(slice_s=SLICE_S)
                self.report.files += step.files
                self.taking.count("files", step.executions, step.amended)
                share = 1.0 - inbox.backlog / max(1, queued)
                self._say(thing.path, int(thing.size_bytes * share))
            self.report.ignored += inbox.ignored
            prefixes = tuple(bytes(folder.path) + b"/" for folder in inbox.folders.values())
            for row in self.database.files(("failed",)):
                path = Path(row.path.decode("utf-8", "surrogateescape"))
                if row.path.startswith(prefixes) and only in {None, path}:
                    self.report.unread.append(Unread(path, row.reason or "", row.detail or ""))
            if only is None:
                self._transcripts(inbox, thing)
        finally:
            inbox.close()

    def _transcripts(self, inbox: Inbox, thing: Wanted) -> None:
        """What old gateways left beside the sessions; other programs' lines are none of ours."""
        for path in transcripts_in(folder.path for folder in inbox.folders.values()):
            before = len(self.report.unread)
            self._collection(Wanted(path, "collection", thing.house, 0))
            del self.report.unread[before:]

    def _collection(self, thing: Wanted) -> None:
        """Read a file that holds one or more sessions in whatever way."""
        path = thing.path
        try:
            with open_home(path.parent) as folder:
                fd = folder.open(path.name, largest_bytes=_LARGEST_BYTES)
            with os.fdopen(fd, "rb") as file:
                data, status = file.read(), os.fstat(fd)
            skipped: dict[str, int] = {}
            found = collection.decode(data, name=path.stem, skipped=skipped)
        except SessionError as error:
            self.report.unread.append(Unread(path, error.code, error.detail))
            return
        if found and found[0].form == "file" and classify(path.name, "") is not None:
            self._file(thing)
            return
        for first in range(0, len(found), _EXPORTED_A_BATCH):
            with self.database.batch() as batch:
                batch.skip(skipped if not first else {})
                for session in found[first : first + _EXPORTED_A_BATCH]:
                    self.taking.session(batch, thing, session, status)
        self.report.files += bool(found)

    def _export(self, thing: Wanted) -> None:
        """Read an export; a session that some home is known to have is that home's."""
        try:
            with open_home(thing.path.parent) as folder:
                fd = folder.open(thing.path.name, largest_bytes=_LARGEST_EXPORT_BYTES)
        except SessionError as error:
            self.report.unread.append(Unread(thing.path, error.code, error.detail))
            return
        with os.fdopen(fd, "rb", buffering=1 << 20) as file:
            lines, sessions = export.index(file)
            read = 0
            for first in range(0, len(lines), _EXPORTED_A_BATCH):
                with self.database.batch() as batch:
                    for _, offset, size in lines[first : first + _EXPORTED_A_BATCH]:
                        self._line(batch, thing, os.pread(fd, size, offset), sessions)
                        read += size
                self._say(thing.path, read)
        self.report.files += 1

    def _line(
        self, batch: Batch, thing: Wanted, line: bytes, sessions: dict[str, SessionRow]
    ) -> None:
        try:
            exported = export.decode(line, self.ingest.zone)
        except SessionError as error:
            self.report.unread.append(Unread(thing.path, error.code, error.detail))
            return
        self.taking.exported(batch, thing, exported, sessions)

    # -------------------------------------------------------------------- parts
    def _say(self, path: Path, within: int) -> None:
        took = max(monotonic() - self._began, 1e-6)
        done = self._done + within
        left = None if not done else max(0.0, took * (self._total - done) / done)
        executions = self.report.executions
        self._tell(ImportProgress(path, done, self._total, executions, executions / took, left))


def import_paths(
    database: PatternDatabase,
    ingest: Ingest,
    arguments: Iterable[str],
    *,
    progress: Callable[[ImportProgress], None] = lambda _progress: None,
    clock: Clock = wall_clock,
    trust: Callable[[], ClockTrust] = ClockTrust,
) -> ImportReport:
    """Import every `PATH` or `PATH=HOUSE`; returns what came of it.

    Raises:
        ValueError: A house is no name of a house; nothing was imported.
        StoreError: Our own database cannot be written; what was committed stands.
    """
    importer = Importer(database, ingest, progress=progress, clock=clock, trust=trust)
    wanted = []
    for path, house in [split_house(argument) for argument in arguments]:
        try:
            wanted.append(recognise(path, house))
        except SessionError as error:
            importer.report.unread.append(Unread(path, error.code, error.detail))
    return importer.run(wanted)
