"""All that takes sessions in, as one object: the homes, what waits there, the reading of it, the ledger."""

from collections.abc import Collection, Iterable, Iterator

from timmyd.config.quota import Quota
from timmyd.engine.ingest import Ingest
from timmyd.engine.ingest_rows import RowIngest
from timmyd.service.hints import Hints
from timmyd.service.homes import Folder, Place
from timmyd.service.inbox import Inbox
from timmyd.service.looks import Looks
from timmyd.service.outside import Outside, nobody_listens
from timmyd.service.quotas import Quotas
from timmyd.service.reading import SLICE_S, Progress, Reader
from timmyd.service.state_dbs import StateDbs
from timmyd.service.tenancy import Tenancy
from timmyd.store.database import PatternDatabase


class Intake:
    """Finds sessions and takes them in; the daemon, `import`, the demo and the tests build it alike.

    It holds nothing that the database does not hold as well, so new settings simply make a new one.

    Attributes:
        inbox: The session files that wait.
        reader: Takes them in.
        state_dbs: Hermes' own databases, which grow in place and are looked at instead.
    """

    def __init__(
        self,
        places: Iterable[Place],
        database: PatternDatabase,
        ingest: Ingest,
        *,
        largest_bytes: int,
        settle_s: float = 0.0,
        outside: Outside | None = None,
        hints: Hints | None = None,
        operators: Collection[int] = (),
        quota: Quota | None = None,
    ) -> None:
        """Look nowhere yet.

        Args:
            places: Where sessions may lie; they need not exist yet.
            database: Where executions go, and where it stands which file was read how far.
            ingest: With the settings.
            largest_bytes: Files above this are refused.
            settle_s: A file is read again at most once in this time.
            outside: Is told what was taken and what could not be; gives the time of what is recorded.
            hints: Where hints at changed files arrive.
            quota: What one owner may use; None: as much as there is.
            operators: See `Tenancy`.
        """
        outside = outside or nobody_listens()
        places = list(places)
        tenancy = Tenancy(
            database.owners, places, log=outside.log, clock=outside.clock, operators=operators
        )
        self.inbox = Inbox(
            places,
            Looks(database.file_looks()),
            largest_bytes=largest_bytes,
            settle_s=settle_s,
            hints=hints,
            steady=outside.steady,
            house_of=tenancy.house_of,
            quotas=None if quota is None else Quotas.of(quota),
        )
        self.reader = Reader(
            database,
            ingest,
            self.inbox,
            log=outside.log,
            metrics=outside.metrics,
            clock=outside.clock,
            skew=outside.skew,
            largest_bytes=largest_bytes,
        )
        self.state_dbs = StateDbs(
            self.inbox.places,
            database,
            RowIngest(ingest),
            log=outside.log,
            metrics=outside.metrics,
            clock=outside.clock,
            skew=outside.skew,
            settle_s=settle_s,
            house_of=tenancy.house_of,
            profiles=self.inbox.quotas.profiles,
        )

    # ------------------------------------------------------------------ finding
    @property
    def places(self) -> list[Place]:
        """Where sessions may lie."""
        return self.inbox.places

    @property
    def folders(self) -> list[Folder]:
        """Every directory of session files that is known, there or not."""
        return list(self.inbox.folders.values())

    def find(self) -> list[Folder]:
        """Look for homes that appeared, were replaced or went; returns the folders that changed."""
        self.state_dbs.find()
        return self.inbox.find_folders()

    def scan(self, *, trusted: bool) -> int:
        """Look at every directory and queue what changed; see `Inbox.scan`."""
        return self.inbox.scan(trusted=trusted)

    # ------------------------------------------------------------------ reading
    @property
    def backlog(self) -> int:
        """How many files and databases wait."""
        return self.inbox.backlog + self.state_dbs.backlog

    def due_in_s(self) -> float | None:
        """Seconds until something is to be read or looked at; None if nothing is."""
        due = [s for s in (self.inbox.due_in_s(), self.state_dbs.due_in_s()) if s is not None]
        return min(due, default=None)

    def read_slice(self) -> Iterator[Progress]:
        """Read what is due, a slice of the files and a piece of a database.

        Raises:
            StoreError: Nothing of that slice stands; it will be read again.
        """
        yield self.reader.read_slice()
        yield self.state_dbs.look()

    def read_all(self, slice_s: float = SLICE_S) -> Iterator[Progress]:
        """Read until nothing waits, batch by batch, databases first: they show most at once."""
        while (progress := self.state_dbs.look(slice_s, patient=True)).files:
            yield progress
        while self.inbox.backlog:
            yield self.reader.read_slice(slice_s=slice_s)

    def rest(self) -> None:
        """Let go of what a busy time has left behind."""
        self.reader.rest()

    def close(self) -> None:
        """Let go of every directory."""
        self.inbox.close()
        self.state_dbs.close()
