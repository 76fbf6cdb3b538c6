"""`status --watch`: one screen that follows what happens, until `q`; it only reads.

It must not cost what it watches over: what is cheap to read is read every two seconds, and the list of what
needs attention as seldom as its own price commands, so that all stays below a hundredth of a core.
"""

import json
import os
import select
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from timmyd.cli.output import UsageError, is_terminal
from timmyd.cli.where import Context
from timmyd.clock import monotonic, now as wall_clock
from timmyd.core.model import AdaptationEvent
from timmyd.engine import IntelligenceEngine
from timmyd.errors import StoreError
from timmyd.house.outcome import RATED
from timmyd.report.attention_types import Attention
from timmyd.report.live import RATE_S, SORTS, LiveView, SeenCall, screen
from timmyd.report.moving import needs_attention
from timmyd.service.lock import holder
from timmyd.store.database import PatternDatabase
from timmyd.store.events import EventReader

_LOOK_EVERY_S = 2.0
_SHARE = 0.004
"""Of a core, for the list of what needs attention."""

_LEAST_PAUSE_S = 10.0
_MOST_CALLS = 2000
_MOST_EVENTS = 100
_SMALLEST = 20


class StateLook:
    """Reads what the screen shows; opens the database when it is there, and again after trouble."""

    def __init__(
        self,
        found: Context,
        *,
        clock: Callable[[], float] = wall_clock,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        """Look nowhere yet.

        Args:
            found: Whose state.
            clock: Gives Unix seconds.
            cpu: Gives the seconds of CPU that this process has used.
        """
        self._found = found
        self._clock = clock
        self._cpu = cpu
        self._database: PatternDatabase | None = None
        self._reader = EventReader(found.database)
        self._events: list[AdaptationEvent] = []
        self._calls: deque[SeenCall] = deque(maxlen=_MOST_CALLS)
        self._mark = 0
        self._attention: list[Attention] = []
        self._attention_due = float("-inf")

    def look(self) -> LiveView:
        """How all is now; trouble with the database is told, never raised."""
        now = self._clock()
        status: dict[str, Any] = {}
        executions = trouble = None
        if self._found.database.exists():
            try:
                database = self._open()
                status = json.loads(database.state("status") or b"{}")
                executions = database.counters().get("executions", 0)
                self._read_on(database, now)
            except StoreError as error:
                trouble = error.detail if error.hint is None else f"{error.detail}\n{error.hint}"
                self.close()
        return LiveView(
            now=now,
            state=str(self._found.state),
            pid=holder(self._found.state),
            status=status,
            executions=executions,
            calls=tuple(self._calls),
            attention=self._attention,
            events=self._events,
            trouble=trouble,
        )

    def _open(self) -> PatternDatabase:
        if self._database is None:
            self._database = PatternDatabase(self._found.database, read_only=True)
            self._mark = max(0, self._database.last_execution_id() - _MOST_CALLS)
            self._calls.clear()
            self._attention_due = float("-inf")
        self._database.check_in_place()
        return self._database

    def _read_on(self, database: PatternDatabase, now: float) -> None:
        """What came since the last look: calls, events, and now and then what needs attention."""
        for call in database.executions_after(self._mark, _MOST_CALLS):
            self._mark = call.id
            if now - call.at < RATE_S:
                ok = call.outcome == "ok" if call.outcome in RATED else None
                self._calls.append(SeenCall(call.at, call.house, ok))
        if not self._events or self._reader.last() != self._events[-1].id:
            self._events = self._reader.newest(_MOST_EVENTS)
        if now >= self._attention_due or now < self._attention_due - 86_400:
            began = self._cpu()
            engine = IntelligenceEngine(database, settings=self._found.settings, clock=self._clock)
            self._attention = needs_attention(engine)
            self._attention_due = now + max(_LEAST_PAUSE_S, (self._cpu() - began) / _SHARE)

    def close(self) -> None:
        """Let go of the database."""
        database, self._database = self._database, None
        self._reader.close()
        self._events = []
        if database is not None:
            database.close()


def watch(found: Context) -> None:
    """Show it until `q`, Ctrl-C or the end of the terminal.

    Raises:
        UsageError: This is no terminal.
    """
    if not (is_terminal() and sys.stdin.isatty()):
        raise UsageError("--watch needs a terminal\n  hint: timmyd status; timmyd events --follow")
    console = Console(highlight=False)
    look = StateLook(found)
    sort, view, due = 0, look.look(), monotonic() + _LOOK_EVERY_S
    shown: tuple[int, int, Text] | None = None
    try:
        with (
            _keys() as keys,
            Live(console=console, screen=True, auto_refresh=False) as live,
        ):
            while True:
                width, height = console.size
                drawn = screen(
                    view, sort=SORTS[sort], width=max(_SMALLEST, width), height=max(1, height)
                )
                if (width, height, drawn) != shown:
                    shown = (width, height, drawn)
                    live.update(drawn, refresh=True)
                key = keys(max(0.0, due - monotonic()))
                if key in {"q", "Q", "\x1b", "\x04", ""}:
                    return
                if key in {"s", "S"}:
                    sort = (sort + 1) % len(SORTS)
                if monotonic() >= due:
                    view, due = look.look(), monotonic() + _LOOK_EVERY_S
    finally:
        look.close()


@contextmanager
def _keys() -> Iterator[Callable[[float], str | None]]:
    """Keys without Return; the terminal is as it was at the end, however that comes.

    Yields:
        Waits so many seconds for a key: None if none came, empty if the terminal is gone.
    """
    source = sys.stdin.fileno()
    before = termios.tcgetattr(source)

    def key(most_s: float) -> str | None:
        if not select.select([source], [], [], most_s)[0]:
            return None
        try:
            return os.read(source, 1).decode("ascii", "replace")
        except OSError:
            return ""

    try:
        tty.setcbreak(source)
        yield key
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)
