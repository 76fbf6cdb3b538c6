"""The notifier's loop: read events, put them before who wants them, send what is due, keep its place.

Its place is one file beside the database, replaced whole before and after every delivery: an event that was
handed over and not yet noted is handed over again after a crash, and none is lost.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from datetime import tzinfo
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from timmyd.clock import Clock
from timmyd.core.alerts import alert_of
from timmyd.errors import StoreError
from timmyd.notify.delivering import Deliveries, Delivery
from timmyd.notify.destinations import Destination
from timmyd.notify.outbox import Outbox, OutboxEntry, Wish
from timmyd.service.logs import EventLogger
from timmyd.service.publish import RealDisk, publish
from timmyd.store.events import EventReader

POLL_S: Final = 1.0
"""Seconds between two looks at the database."""

PATIENCE_S: Final = 2.0
"""Seconds for which the others wait for a destination that does not answer; it goes on beside them."""

_MOST_READ: Final = 500
_LARGEST_BYTES: Final = 64 << 20


class Runner:
    """Everything but the waiting: `step` does what is due now and says when to come again."""

    def __init__(
        self,
        events: EventReader,
        place: Path,
        destinations: Mapping[str, tuple[Wish, Destination]],
        *,
        clock: Clock,
        zone: tzinfo | None,
        log: EventLogger,
        alive: Callable[[], None] = lambda: None,
        save: Callable[[Path, bytes], None] | None = None,
    ) -> None:
        """Go on from the place; a place that cannot be read begins at the newest event.

        Args:
            events: Where they come from.
            place: The file that holds what is still to be told.
            destinations: By the name of the wish.
            clock: Unix seconds.
            zone: Whose quiet hours; None for the machine's.
            log: Told what was sent and what was not.
            alive: Called after every message: progress was made.
            save: Replaces the place; for tests.
        """
        self._events = events
        self._place = place
        self._destinations = destinations
        self._clock = clock
        self._zone = zone
        self._log = log
        self._alive = alive
        self._save = save or _replace
        self._saved = b""
        self._under_way = Deliveries()
        self._is_blind = False
        self.outbox = self._load()
        self.outbox.keep({name: wish for name, (wish, _) in destinations.items()})

    def step(self) -> float:
        """Take in what is new and send what is due.

        Returns:
            Seconds until there may be something to do again.

        Raises:
            PublishError: The place cannot be written: nothing is sent that could not be noted.
        """
        self._read()
        self._keep()
        self.outbox.set_back(self._clock())
        done: set[str] = set()  # destinations that failed, or are under way still
        self._end(self._under_way.over(0.0), done)
        while self._begin(done):
            self._end(self._under_way.over(PATIENCE_S), done)
            self._alive()
        due = self.outbox.next_due()
        return POLL_S if due is None else min(POLL_S, max(0.05, due - self._clock()))

    def _begin(self, done: set[str]) -> bool:
        """Start the first due message of each destination that is free; False if there was none."""
        begun: dict[str, OutboxEntry] = {}
        for message in self.outbox.due(self._clock()):
            if message.to not in done and not self._under_way.is_busy(message.to):
                begun.setdefault(message.to, message)
        for message in begun.values():
            self.outbox.begin(message)
        self._keep()
        for to, message in begun.items():
            _, destination = self._destinations[to]
            before = self.outbox.answer_to(message)
            self._under_way.start(
                message, partial(destination.deliver, message.events, before=before)
            )
        return bool(begun)

    def _end(self, over: Iterable[Delivery], done: set[str]) -> None:
        """Note what became of deliveries; those that are still under way are done with for this step."""
        for delivery in over:
            message = delivery.message
            if delivery.error is None:
                self.outbox.sent(message, delivery.answer or "")
                self._log.event("message_sent", to=message.to, events=len(message.events))
                continue
            done.add(message.to)
            given_up = self.outbox.failed(message, self._clock())
            event = "message_given_up" if given_up else "message_failed"
            reason = str(delivery.error)
            self._log.event(event, to=message.to, tries=message.tries, reason=reason)
        self._keep()

    def _read(self) -> None:
        try:
            if self.outbox.seen is None:
                self.outbox.seen = self._events.last()
            elif self._events.last() < self.outbox.seen:  # a restored or a new database
                self._log.event("events_restarted", seen=self.outbox.seen)
                self.outbox.seen = self._events.last()
            found = self._events.after(self.outbox.seen, _MOST_READ)
        except StoreError as error:
            if not self._is_blind:
                self._log.event("events_unreadable", reason=str(error))
            self._is_blind = True
            return
        self._is_blind = False
        wishes = [wish for wish, _ in self._destinations.values()]
        for row in found:
            event = alert_of(row)
            if event is not None:
                self.outbox.take([event], wishes, self._clock(), self._zone)
            self.outbox.seen = row.id

    def _keep(self) -> None:
        data = msgspec.json.encode(self.outbox)
        if data != self._saved:
            self._save(self._place, data)
            self._saved = data

    def _load(self) -> Outbox:
        try:
            data = _regular(self._place)
            found = msgspec.json.decode(data, type=Outbox)
        except FileNotFoundError:
            return Outbox()
        except (OSError, msgspec.MsgspecError) as error:
            self._log.event("place_unreadable", reason=type(error).__name__)
            return Outbox()
        self._saved = data
        return found


def _regular(path: Path) -> bytes:
    """The bytes of a plain file: nothing that would wait for a writer, or never end."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_size > _LARGEST_BYTES:
            raise OSError(errno.EINVAL, "no plain file of ours")
        return file.read()


class _OwnDisk(RealDisk):
    """What is still to be told is nobody else's business."""

    mode = 0o600


def _replace(path: Path, data: bytes) -> None:
    publish(data, path, disk=_OwnDisk())
