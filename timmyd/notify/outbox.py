"""PURE: what is still to be told to whom, and when; the whole state of the notifier, with time as an argument."""

from collections.abc import Iterable, Mapping
from datetime import datetime, time, tzinfo
from typing import Final

import msgspec

from timmyd.core.alerts import SEVERITIES, Alert, Severity

GATHER_S: Final = 2.0
"""Seconds for which events of one kind are gathered, so that ten breakers of one cause are one message."""

FIRST_WAIT_S: Final = 5.0
LONGEST_WAIT_S: Final = 3_600.0
GIVE_UP_S: Final = 86_400.0
"""Seconds for which a message is tried again."""

MOST_WAITING: Final = 2_000
MOST_TOGETHER: Final = 50
_MOST_TROUBLES: Final = 5_000


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to be told what.

    Attributes:
        name: Identifies the destination over restarts.
        on: Kinds of events.
        house: Only this house's; None: all.
        least: The least severity.
        quiet: From and to, local times between which everything but what is critical waits.
        once: A trouble is told once until it is over; its end is told only if its beginning was.
    """

    name: str
    on: frozenset[str]
    house: str | None = None
    least: Severity = "warning"
    quiet: tuple[time, time] | None = None
    once: bool = False

    def wants(self, event: Alert) -> bool:
        """Whether an event is for this destination; the end of a trouble is as grave as its beginning."""
        if event.kind not in self.on or (self.house is not None and event.house != self.house):
            return False
        return event.over or SEVERITIES.index(event.severity) >= SEVERITIES.index(self.least)


class OutboxEntry(msgspec.Struct, kw_only=True):
    """Events that go out together, and how the tries went.

    Attributes:
        to: The name of the wish.
        events: Of one kind; at most `MOST_TOGETHER`.
        since: When the first came in, Unix seconds.
        due: When to try next.
        tries: How often it was tried.
    """

    to: str
    events: list[Alert]
    since: float
    due: float
    tries: int = 0


class Outbox(msgspec.Struct, kw_only=True):
    """Everything that a restart needs.

    Attributes:
        seen: The number of the last event taken in; None before the first look.
        waiting: Messages that are still to go out, oldest first.
        troubles: By destination and trouble: what the destination answered when it was told.
        lost: Events given up after a day, or for want of room.
    """

    seen: int | None = None
    waiting: list[OutboxEntry] = []
    troubles: dict[str, str] = {}
    lost: int = 0

    def take(
        self, events: Iterable[Alert], wishes: Iterable[Wish], now: float, zone: tzinfo | None
    ) -> None:
        """Take in events, in order; each is put before every destination that wants it."""
        wishes = tuple(wishes)
        for event in events:
            self.seen = event.id
            for wish in wishes:
                if wish.wants(event) and not self._known(wish, event):
                    self._put(wish, event, now, zone)

    def _known(self, wish: Wish, event: Alert) -> bool:
        """Whether a trouble that is told once was told, or an end has no beginning that was."""
        if not wish.once:
            return False
        key = f"{wish.name}\0{event.trouble}"
        if event.over:
            return key not in self.troubles
        if key in self.troubles:
            return True
        self.troubles[key] = ""
        while len(self.troubles) > _MOST_TROUBLES:
            del self.troubles[next(iter(self.troubles))]
        return False

    def _put(self, wish: Wish, event: Alert, now: float, zone: tzinfo | None) -> None:
        for message in reversed(self.waiting):
            together = message.to == wish.name and message.events[0].kind == event.kind
            if (
                together
                and not message.tries
                and len(message.events) < MOST_TOGETHER
                and not wish.once
            ):
                message.events.append(event)
                return
        due = now if wish.once else now + GATHER_S
        if wish.quiet is not None and event.severity != SEVERITIES[-1]:
            due = max(due, _after_quiet(wish.quiet, now, zone))
        self.waiting.append(OutboxEntry(to=wish.name, events=[event], since=now, due=due))
        while len(self.waiting) > MOST_WAITING:
            self.lost += len(self.waiting.pop(0).events)

    def set_back(self, now: float) -> None:
        """What came in later than now did so by a clock that has been set back since: it waits no longer for that."""
        for message in self.waiting:
            ahead = message.since - now
            if ahead > 0.0:
                message.since -= ahead
                message.due -= ahead

    def due(self, now: float) -> list[OutboxEntry]:
        """What is to be sent now, oldest first; of a destination that failed only its first message."""
        found, blocked = [], set[str]()
        for message in self.waiting:
            if message.to in blocked:
                continue
            if message.due <= now:
                found.append(message)
            elif message.tries:
                blocked.add(message.to)
        return found

    def begin(self, message: OutboxEntry) -> None:
        """It is being tried: what comes in from now on goes into another message."""
        message.tries += 1

    def sent(self, message: OutboxEntry, answer: str = "") -> None:
        """It is out: what was answered is kept for the end of its trouble."""
        self._leave(message)
        for event in message.events:
            key = f"{message.to}\0{event.trouble}"
            if event.over:
                self.troubles.pop(key, None)
            elif key in self.troubles:
                self.troubles[key] = answer

    def failed(self, message: OutboxEntry, now: float) -> bool:
        """It was begun and did not go out: try again after a growing wait, for a day.

        Returns:
            Whether it was given up.
        """
        message.due = now + min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(message.tries - 1, 30))
        if now - message.since < GIVE_UP_S:
            return False
        self._leave(message)
        self.lost += len(message.events)
        return True

    def _leave(self, message: OutboxEntry) -> None:
        """By identity, and not there any more where room was wanted meanwhile."""
        self.waiting = [one for one in self.waiting if one is not message]

    def answer_to(self, message: OutboxEntry) -> str:
        """What the destination answered when the trouble of a message began; empty where nothing."""
        return self.troubles.get(f"{message.to}\0{message.events[0].trouble}", "")

    def keep(self, wishes: Mapping[str, Wish]) -> None:
        """Let go of what was for destinations that are no longer there."""
        self.waiting = [
            message for message in self.waiting if message.to in wishes and message.events
        ]
        self.troubles = {
            key: answer for key, answer in self.troubles.items() if key.partition("\0")[0] in wishes
        }

    def next_due(self) -> float | None:
        """When the next message is to be tried; None while none waits."""
        return min((message.due for message in self.waiting), default=None)


def _after_quiet(quiet: tuple[time, time], now: float, zone: tzinfo | None) -> float:
    """The end of the quiet hours that `now` lies in; `now` where it lies in none."""
    begins, ends = quiet
    moment = datetime.fromtimestamp(now, zone) if zone else datetime.fromtimestamp(now).astimezone()
    clock = moment.time().replace(tzinfo=None)
    inside = begins <= clock < ends if begins <= ends else clock >= begins or clock < ends
    if not inside:
        return now
    minutes = (ends.hour * 60 + ends.minute) - (clock.hour * 60 + clock.minute)
    left_s = (minutes % (24 * 60)) * 60.0 - clock.second - clock.microsecond / 1e6
    return now + max(0.0, left_s)
