"""Events as structlog records: native fields in the journal, JSON lines elsewhere, console on a terminal."""

import json
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TextIO

from timmyd.service.imports import hidden
from timmyd.service.journal import Journal
from timmyd.service.logs import LEVELS, level_of, message

with hidden("rich"):
    import structlog

_BOLD: Final = "\x1b[1m"
_RESET: Final = "\x1b[0m"

Event = MutableMapping[str, Any]


class Lines(Protocol):
    """Where events go."""

    def write(self, name: str, at: float, fields: Mapping[str, object]) -> None:
        """Write the event that happened at a time, in Unix seconds."""
        ...


class Logger(structlog.BoundLoggerBase):
    """structlog's logger, with the time of an event given and not read."""

    def write(self, name: str, at: float, fields: Mapping[str, object]) -> None:
        """See `Lines`."""
        self._proxy_to_logger("msg", name, **{**fields, "timestamp": at})


def to_journal(journal: Journal, level: str, *, strict: bool) -> Lines:
    """Native fields in the journal, which stamps them itself."""
    return _wrap(_JournalSink(journal), [_level(level, strict=strict), _to_fields])


def to_console(out: TextIO, level: str, *, strict: bool, colors: bool) -> Lines:
    """Lines for people."""
    return _wrap(_LineSink(out), [_level(level, strict=strict), _stamp, _to_line(colors=colors)])


def to_json(out: TextIO, level: str, *, strict: bool, priorities: bool) -> Lines:
    """JSON lines, with the journal's sign of priority in front where they go to a journal."""
    to_line = _to_json(priorities=priorities)
    return _wrap(_LineSink(out), [_level(level, strict=strict), _stamp, to_line])


class _LineSink:
    """Writes finished lines; a reader that went away must not end the service."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed
            return


class _JournalSink:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def msg(self, **fields: object) -> None:
        self._journal.send(fields)


def _wrap(sink: object, processors: list[Any]) -> Logger:
    logger: Logger = structlog.wrap_logger(
        sink, processors=processors, wrapper_class=Logger, context_class=dict
    ).bind()
    return logger


def _level(least: str, *, strict: bool) -> Callable[..., Event]:
    threshold = LEVELS[least]

    def add(_logger: object, _method: str, event: Event) -> Event:
        name = str(event["event"])
        level = level_of(name, strict=strict)
        if LEVELS[level] > threshold:
            raise structlog.DropEvent
        return {"event": name, "level": level} | {
            key: value
            for key, value in event.items()
            if value is not None and key not in {"event", "level"}
        }

    return add


def _stamp(_logger: object, _method: str, event: Event) -> Event:
    at = datetime.fromtimestamp(event.pop("timestamp"), UTC).isoformat(timespec="milliseconds")
    return {"timestamp": at.replace("+00:00", "Z")} | dict(event)


def _to_line(*, colors: bool) -> Callable[..., str]:
    def render(_logger: object, _method: str, event: Event) -> str:
        level = f"{event['level']:<8}"
        if colors and LEVELS[event["level"]] <= LEVELS["warning"]:
            level = f"{_BOLD}{level}{_RESET}"
        return f"{event['timestamp']} {level} {message(event)}"

    return render


def _to_json(*, priorities: bool) -> Callable[..., str]:
    def render(_logger: object, _method: str, event: Event) -> str:
        line = json.dumps(event, default=str, ensure_ascii=True)  # escapes all but plain ASCII
        return f"<{LEVELS[event['level']]}>{line}" if priorities else line

    return render


def _to_fields(_logger: object, _method: str, event: Event) -> tuple[tuple[()], dict[str, object]]:
    fields: dict[str, object] = {
        "MESSAGE": message(event),
        "PRIORITY": LEVELS[event["level"]],
        "SYSLOG_IDENTIFIER": "timmyd",
    }
    left_out = {"level", "timestamp"}
    fields |= {f"TIMMY_{key.upper()}": value for key, value in event.items() if key not in left_out}
    return (), fields
