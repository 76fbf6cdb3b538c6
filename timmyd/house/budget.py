"""Budget: the caps of one house, held by one ledger for all its processes, with or without the daemon.

The ledger is one small file under a lock; a lock that cannot be had, or a file that cannot be used, lets calls
pass and says so, unless the caps say `on_trouble = "stop"`.
"""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from .ledger import Ledger, LedgerError, Reached, caps_of, lower, money_of, window_ends
from .shared_file import LockedError, locked, read, replace, stamp

PUBLISHED_FILE: Final = "budget.json"
OWN_FILE: Final = "budget_own.json"
LEDGER_FILE: Final = "ledger.json"
LOCK_FILE: Final = "ledger.lock"
WARN: Final = 0.8
_STOP: Final = "stop"


class Usage(NamedTuple):
    """What one answered request used."""

    tokens_in: float
    tokens_out: float


class BudgetVerdict(NamedTuple):
    """What is to become of a request to a model.

    Attributes:
        allowed: False: answer in the model's place.
        ticket: Names the call to `Budget.over`; empty where nothing was reserved.
        reached: The cap that stops it, or the fullest one at or over the share at which to warn.
        resets_at: When the window of that cap begins anew, in the caps' zone; None for a turn.
        trouble: What is wrong with the ledger; empty for nothing.
    """

    allowed: bool = True
    ticket: str = ""
    reached: Reached | None = None
    resets_at: datetime | None = None
    trouble: str = ""


class Budget:
    """Asks before a request and books after it.

    Args:
        folder: The house's own folder, where caps and ledger are kept.
        clock: Unix seconds.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._clock = clock
        self._born = _born(os.getpid())
        self._stamp: tuple[object, ...] = ()
        self._table: dict[str, Any] = {}
        self.caps: dict[str, float] = {}
        self.trouble = ""

    # ------------------------------------------------------------------------- caps
    def publish(self, table: Mapping[str, Any] | None) -> None:
        """Keep what the policy says of this house, so that it holds without the daemon; None: no caps."""
        path = self.folder / PUBLISHED_FILE
        data = json.dumps(table, sort_keys=True).encode() if table else b""
        with suppress(OSError):
            if data and read(path) != data:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                replace(path, data)
            elif not data:
                path.unlink(missing_ok=True)

    def load(self) -> dict[str, float]:
        """The caps in force: the operator's, each lowered where the house's own is lower."""
        paths = (self.folder / PUBLISHED_FILE, self.folder / OWN_FILE)
        stamps = tuple(stamp(path) for path in paths)
        if stamps != self._stamp:
            published, own = (read_table(path) for path in paths)
            self._table = published
            self.caps = lower(caps_of(published.get("caps")), caps_of(own.get("caps")))
            self._stamp = stamps
        return self.caps

    @property
    def zone(self) -> tzinfo | None:
        """The zone of the calendar; None for the machine's own."""
        name = self._table.get("zone")
        if isinstance(name, str) and name != "system":
            with suppress(Exception):
                return ZoneInfo(name)
        return None

    def money(self, model: str, usage: Usage) -> float | None:
        """What a call cost by the published prices; None where the model has none."""
        prices = self._table.get("prices")
        known = prices if isinstance(prices, Mapping) else {}
        return money_of(known, model, usage.tokens_in, usage.tokens_out)

    # ----------------------------------------------------------------------- requests
    def before(self, turn: str) -> BudgetVerdict:
        """May a request of this turn be sent? If so, it is reserved until `over`."""
        caps = self.load()
        if not caps:
            return BudgetVerdict()
        moment, now = self._moment(), self._clock()
        try:
            with self._ledger(moment) as ledger:
                standing = ledger.standing(caps, turn)
                first = standing[0]
                ends = window_ends(first.cap, moment)
                if first.used >= first.limit:
                    return BudgetVerdict(allowed=False, reached=first, resets_at=ends)
                ticket = uuid.uuid4().hex
                ledger.reserve(ticket, pid=os.getpid(), born=self._born, at=now, turn=turn)
                warn = first.used >= self._warn() * first.limit
                return BudgetVerdict(ticket=ticket, reached=first if warn else None, resets_at=ends)
        except (OSError, LedgerError) as error:
            self.trouble = _words(error)
            return BudgetVerdict(allowed=not self._stops, trouble=self.trouble)

    def over(self, ticket: str, turn: str, model: str, usage: Usage | None) -> None:
        """A request is over; without usage what was reserved stands for what it took.

        Args:
            ticket: Of its verdict; empty for a request that was not asked about.
            turn: Its turn.
            model: Which model answered.
            usage: What it used, None where nobody said.
        """
        if not self.load():
            return
        tokens = None if usage is None else usage.tokens_in + usage.tokens_out
        money = None if usage is None else self.money(model, usage)
        at = self._clock()
        self._book(lambda one: one.settle(ticket, tokens=tokens, money=money, at=at, turn=turn))

    def released(self, ticket: str) -> None:
        """A request failed before it cost anything."""
        if ticket:
            self._book(lambda one: one.release(ticket))

    def near(self) -> Reached | None:
        """The fullest cap at or over the share at which to warn; None where none is, or nobody can tell."""
        first = next(iter(self.standing()), None)
        return first if first is not None and first.used >= self._warn() * first.limit else None

    def standing(self, turn: str = "") -> list[Reached]:
        """How full each cap is; empty where there is none or the ledger cannot be read."""
        caps = self.load()
        with suppress(OSError, LedgerError), self._ledger(self._moment()) as ledger:
            return ledger.standing(caps, turn) if caps else []
        return []

    # ------------------------------------------------------------------------- ledger
    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC).astimezone(self.zone)

    def _warn(self) -> float:
        share = self._table.get("warn")
        sane = isinstance(share, (int, float)) and not isinstance(share, bool) and 0 < share <= 1
        return float(share) if sane and share is not None else WARN

    @property
    def _stops(self) -> bool:
        return self._table.get("on_trouble") == _STOP

    def _book(self, entry: Callable[[Ledger], None]) -> None:
        """Write an entry; where the ledger cannot be had, the trouble is noted and the agent goes on."""
        try:
            with self._ledger(self._moment()) as ledger:
                entry(ledger)
        except (OSError, LedgerError) as error:
            self.trouble = _words(error)

    @contextmanager
    def _ledger(self, moment: datetime) -> Iterator[Ledger]:
        with locked(self.folder / LOCK_FILE):
            path = self.folder / LEDGER_FILE
            data = read(path)
            ledger = self._opened(path, data)
            ledger.roll(moment)
            ledger.drop_dead(self._clock(), lambda pid, born: _born(pid) == born != "")
            yield ledger
            after = ledger.dump()
            if after != data:
                replace(path, after)

    def _opened(self, path: Path, data: bytes) -> Ledger:
        """The account as it stands; a damaged one is set aside and begun anew, but where the caps say stop."""
        try:
            return Ledger.load(data) if data else Ledger()
        except LedgerError:
            if self._stops:
                raise
            self.trouble = "its ledger was damaged and was begun anew"
            path.replace(path.with_name(f"{path.name}.damaged"))
            return Ledger()


def _born(pid: int) -> str:
    """When a process began, in the kernel's ticks since boot; empty where it is gone or nobody tells."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except OSError:
        return ""
    return "alive"


def read_table(path: Path) -> dict[str, Any]:
    """A small JSON object of ours; empty where there is none that can be used."""
    try:
        found = json.loads(read(path) or b"{}")
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _words(error: Exception) -> str:
    if isinstance(error, LockedError):
        return "its ledger is in use"
    if isinstance(error, LedgerError):
        return "its ledger is damaged"
    return f"its ledger cannot be written ({getattr(error, 'strerror', None) or 'error'})"
