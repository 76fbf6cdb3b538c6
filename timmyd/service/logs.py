"""Events: their names, their levels, and the logger to hand to whoever logs; `log_lines` writes them.

`EVENTS` is the list of all event names; the logger knows no others. Nothing that a session said is
trusted here: whatever a value holds, it can neither start a line, nor forge a field, nor move a cursor.
"""

import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TextIO

from timmyd import clock
from timmyd.service.journal import Journal, is_journal

if TYPE_CHECKING:
    from timmyd.service.log_lines import Lines

LEVELS: Final = {"debug": 7, "info": 6, "notice": 5, "warning": 4, "error": 3, "critical": 2}
"""Level names and their syslog priorities."""

_QUOTE: Final = r"\""

VALUE_MOST: Final = 400
"""Characters of one value in a line that people read."""


class Event(NamedTuple):
    """What an event name stands for."""

    level: str
    meaning: str


EVENTS: Final[Mapping[str, Event]] = {
    "daemon_started": Event("info", "The process is up and begins to load settings and state."),
    "daemon_ready": Event("info", "Settings, database, watcher and first policy stand."),
    "daemon_stopping": Event("info", "A signal asked for the end; the open file is finished first."),
    "daemon_stopped": Event("info", "Everything is closed; the process ends with the given status."),
    "daemon_failed": Event("critical", "An error that nobody foresaw ends the process."),
    "settings_reloaded": Event("info", "The settings were read again and are in force."),
    "settings_refused": Event("error", "The settings have problems; the old ones stay in force."),
    "directory_appeared": Event("info", "A directory of sessions can be read."),
    "directory_vanished": Event("warning", "A directory of sessions is gone; nothing is forgotten."),
    "directory_refused": Event("warning", "A directory of sessions is there and may not be read."),
    "backlog_started": Event("info", "Files wait that were written while nobody looked."),
    "backlog_done": Event("info", "Every file that waited has been read."),
    "clock_jumped": Event("warning", "The clock contradicts its witnesses; nothing is deleted on it."),
    "clock_believed": Event("notice", "The clock that was doubted is right after all, or again."),
    "scan_done": Event("debug", "Every directory was looked at."),
    "quota_reached": Event("warning", "An owner came to a limit of [quota]; the others do not notice."),
    "scan_failed": Event("warning", "A directory could not be looked at; the next scan tries again."),
    "file_taken": Event("debug", "A file was read and its new executions are committed."),
    "file_refused": Event("warning", "A file was not opened: a link, a FIFO, too large, not theirs."),
    "file_failed": Event("warning", "A file could not be taken in; it is tried again when it changes."),
    "session_rewritten": Event("debug", "A session was shortened or rewritten; what was counted stays."),
    "house_renamed": Event("warning", "A home claims a house of another owner; it gets one of its own."),
    "house_contradicted": Event("warning", "A file claims another house than its place gives it."),
    "tick_done": Event("debug", "Rules and trials looked at the evidence."),
    "adaptation_made": Event("notice", "A policy was changed, on the evidence given."),
    "adaptation_observed": Event("info", "A rule that only observes would try a change."),
    "trial_started": Event("notice", "A change is tried, old against new in random blocks."),
    "trial_ended": Event("notice", "A trial is over: the change is kept or taken back."),
    "adaptation_reverted": Event("notice", "A change was taken back."),
    "breaker_opened": Event("warning", "A tool fails so often that a house should not call it."),
    "breaker_half_opened": Event("info", "A broken tool may be probed."),
    "breaker_closed": Event("notice", "A broken tool works again."),
    "order_carried_out": Event("notice", "An operator's order was carried out."),
    "order_refused": Event("warning", "An operator's order could not be carried out."),
    "policy_published": Event("debug", "The policy file was replaced."),
    "publish_failed": Event("error", "The policy file could not be replaced; the old one stays."),
    "page_failed": Event("warning", "The page of the report could not be replaced; the old one stays."),
    "metrics_failed": Event("warning", "The metrics file could not be replaced; the old one stays."),
    "message_sent": Event("info", "A notification was delivered."),
    "message_failed": Event("warning", "A notification was not delivered; it is tried again."),
    "message_given_up": Event("error", "A notification was not delivered for a day and is dropped."),
    "events_unreadable": Event("warning", "The database cannot be read for notifications now."),
    "events_restarted": Event("warning", "The database holds fewer events than were seen before."),
    "place_unreadable": Event("warning", "What was still to be told is lost; new events are told."),
    "store_failed": Event("error", "The database refused an operation."),
    "store_recovered": Event("info", "The database takes operations again."),
    "store_migrated": Event("notice", "The database is being brought to a newer schema."),
    "learning_settled": Event("notice", "What an older version learned is carried over or rebuilt."),
    "store_pruned": Event("debug", "Old executions were removed; their counts stay in the hours."),
    "observer_started": Event("info", "Directory events are on their way."),
    "observer_restarted": Event("warning", "The thread that gets directory events had died."),
    "observer_replaced": Event("warning", "inotify has no room; directories are polled instead."),
}  # fmt: skip


class UnknownEventError(Exception):
    """A name that `EVENTS` does not have: a mistake in timmyd itself."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is no event; add it to timmyd.service.logs.EVENTS")


class EventLogger:
    """Logs events by name; the level comes from `EVENTS`, so one event has one level everywhere.

    structlog is imported with the first line to write: that takes a fifth of the time in which the
    daemon has to be ready. A logger that holds keeps what is no trouble, with its time, until
    `release`.
    """

    def __init__(
        self, lines: "Callable[[], Lines]", *, now: clock.Clock = clock.now, hold: bool = False
    ) -> None:
        self._open = lines
        self._now = now
        self._lines: Lines | None = None
        self._held: list[tuple[str, float, dict[str, object]]] = []
        self._is_holding = hold

    def event(self, name: str, /, **fields: object) -> None:
        """Log the event `name` with its fields; a field that is None is left out."""
        if self._is_holding:
            if name in EVENTS and LEVELS[EVENTS[name].level] >= LEVELS["notice"]:
                self._held.append((name, self._now(), fields))
                return
            self.release()
        if self._lines is None:
            self._lines = self._open()
        self._lines.write(name, self._now(), fields)

    def release(self) -> None:
        """Write what was held, and from now on each event at once."""
        self._is_holding = False
        held, self._held = self._held, []
        if held and self._lines is None:
            self._lines = self._open()
        for name, at, fields in held:
            if self._lines is not None:
                self._lines.write(name, at, fields)


class Once:
    """Says of a repeated finding whether it is new: one log line a file, until the file changes."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._seen: OrderedDict[Hashable, Hashable] = OrderedDict()

    def first(self, key: Hashable, version: Hashable = None) -> bool:
        """True the first time for this `version` of `key`; remembers the latest `most` keys."""
        if key in self._seen and self._seen[key] == version:
            return False
        self._seen[key] = version
        self._seen.move_to_end(key)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return True

    def forget(self, key: Hashable) -> bool:
        """The trouble is over; returns whether there was one."""
        missing = object()
        return self._seen.pop(key, missing) is not missing


def configure(
    level: str = "info",
    format: str = "auto",  # noqa: A002 - the name of the setting
    env: Mapping[str, str] = os.environ,
    stream: TextIO | None = None,
    *,
    now: clock.Clock = clock.now,
    journal: Callable[[], Journal] = Journal,
    strict: bool = False,
    hold: bool = False,
) -> EventLogger:
    """The logger to hand to whoever logs; nothing global is changed.

    Args:
        level: Events below it are left out; a key of `LEVELS`.
        format: `auto`, `journal`, `json` or `console`. `auto` is the journal's own protocol if
            `stream` leads to the journal, console on a terminal, JSON lines elsewhere.
        env: For `JOURNAL_STREAM` and `NO_COLOR`.
        stream: Where lines go, by default stderr.
        now: Stamps the lines; the journal has a stamp of its own.
        journal: Opens the journal's socket; a seam for tests.
        strict: An unknown event name raises `UnknownEventError` (tests) instead of being logged as
            a warning: in production a wrong name must not end the service.
        hold: Keep what is no trouble until `release`.
    """
    out = sys.stderr if stream is None else stream
    in_journal = is_journal(env, out)
    if format == "auto":
        format = "journal" if in_journal else "console" if out.isatty() else "json"  # noqa: A001
    form = format

    def lines() -> "Lines":
        from timmyd.service import log_lines  # noqa: PLC0415 - with the first line to write

        if form == "journal":
            return log_lines.to_journal(journal(), level, strict=strict)
        if form == "console":
            colors = out.isatty() and not env.get("NO_COLOR")
            return log_lines.to_console(out, level, strict=strict, colors=colors)
        return log_lines.to_json(out, level, strict=strict, priorities=in_journal)

    return EventLogger(lines, now=now, hold=hold)


def silent(*, strict: bool = True) -> EventLogger:
    """A logger that writes nothing, yet refuses unknown names: for tests and for the library."""
    return EventLogger(lambda: _Nothing(strict=strict))


def captured(into: list[dict[str, Any]], *, strict: bool = True) -> EventLogger:
    """A logger that appends each event to `into` as a dict with `event` and `level`: for tests."""
    return EventLogger(lambda: _Captured(into, strict=strict))


def level_of(name: str, *, strict: bool) -> str:
    """The level of an event.

    Raises:
        UnknownEventError: There is no such event, and `strict`.
    """
    known = EVENTS.get(name)
    if known is None and strict:
        raise UnknownEventError(name)
    return "warning" if known is None else known.level


class _Nothing:
    def __init__(self, *, strict: bool) -> None:
        self._strict = strict

    def write(self, name: str, _at: float, _fields: Mapping[str, object]) -> None:
        level_of(name, strict=self._strict)


class _Captured:
    def __init__(self, into: list[dict[str, Any]], *, strict: bool) -> None:
        self._into = into
        self._strict = strict

    def write(self, name: str, _at: float, fields: Mapping[str, object]) -> None:
        level = level_of(name, strict=self._strict)
        said = {key: value for key, value in fields.items() if value is not None}
        self._into.append({"event": name, "level": level} | said | {"event": name, "level": level})


def printable(value: object, most: int = VALUE_MOST) -> str:
    r"""`value` as one line that a terminal cannot be steered by, and that no other text becomes.

    Everything but printable characters is written as `\xNN`, `\uNNNN` or `\UNNNNNNNN`: control characters,
    line and paragraph separators, marks that turn the direction of writing, broken surrogates.
    """
    text = value if isinstance(value, str) else str(value)
    if len(text) > most:
        text = f"{text[: most - 1]}…"
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(c if c.isprintable() and c != "\\" else ascii(c)[1:-1] for c in text)


def message(event: Mapping[str, Any]) -> str:
    """The line that `journalctl` shows: the event's name, then its fields; values with spaces quoted."""
    parts = [str(event["event"])]
    for key, value in event.items():
        if key not in {"event", "level", "timestamp"}:
            text = printable(value)
            plain = text and not any(c in text for c in ' "=')
            parts.append(f"{key}={text}" if plain else f'{key}="{text.replace(chr(34), _QUOTE)}"')
    return " ".join(parts)
