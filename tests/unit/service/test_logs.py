"""What an event looks like in the journal, as a JSON line and on a terminal, and what it can never do."""

import ast
import io
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from timmyd.service import logs
from timmyd.service.journal import Journal, encode, is_journal
from timmyd.service.logs import EVENTS, LEVELS, Once, UnknownEventError, message, printable

AT = 1_795_381_822.24
HOSTILE = "a\nb\r\x1b]0;owned\x07\x9b31m\u202e\u2028 TIMMY_EVENT=breaker_closed \udc80\\x"


def read_entry(data: bytes) -> dict[str, bytes]:
    """Decode one entry of the native protocol, as journald does."""
    fields: dict[str, bytes] = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + size], data[8 + size + 1 :]
        assert re.fullmatch(rb"[A-Z][A-Z0-9_]{0,63}", name)
        fields[name.decode()] = value
    return fields


class Journald:
    """journald's end of the native socket."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(5)

    def entry(self) -> dict[str, bytes]:
        data, fds, _flags, _sender = socket.recv_fds(self._socket, 1 << 20, 1)
        if fds:
            with open(fds[0], "rb") as file:  # noqa: PTH123 - a descriptor
                file.seek(0)
                data = file.read()
        return read_entry(data)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    there = Journald(tmp_path / "journal")
    yield there
    there.close()


def journal_logger(there: Journald, **options: Any) -> tuple[logs.EventLogger, Journal]:
    ours = Journal(there.address)
    return logs.configure(format="journal", journal=lambda: ours, **options), ours


def lines(**options: Any) -> tuple[logs.EventLogger, io.StringIO]:
    stream = io.StringIO()
    options = {"env": {}, "now": lambda: AT, **options}
    return logs.configure(stream=stream, **options), stream


def test_an_event_is_found_in_the_journal_by_its_own_fields(journald: Journald) -> None:
    log, ours = journal_logger(journald)

    log.event("adaptation_made", house="ezra", key="ezra.evidence_threshold", old=0.8, new=0.7)

    assert journald.entry() == {
        "MESSAGE": b"adaptation_made house=ezra key=ezra.evidence_threshold old=0.8 new=0.7",
        "PRIORITY": b"5",
        "SYSLOG_IDENTIFIER": b"timmyd",
        "TIMMY_EVENT": b"adaptation_made",
        "TIMMY_HOUSE": b"ezra",
        "TIMMY_KEY": b"ezra.evidence_threshold",
        "TIMMY_OLD": b"0.8",
        "TIMMY_NEW": b"0.7",
    }
    ours.close()


def test_a_value_cannot_forge_a_field_of_the_journal(journald: Journald) -> None:
    log, ours = journal_logger(journald)

    log.event("file_failed", file="x\nPRIORITY=0\nTIMMY_EVENT=daemon_stopped\n", code="not_json")

    entry = journald.entry()
    assert entry["PRIORITY"] == b"4"
    assert entry["TIMMY_EVENT"] == b"file_failed"
    assert entry["TIMMY_FILE"] == b"x\nPRIORITY=0\nTIMMY_EVENT=daemon_stopped\n"
    assert b"\n" not in entry["MESSAGE"]
    ours.close()


def test_the_journal_has_the_very_bytes_of_a_file_name(journald: Journald) -> None:
    log, ours = journal_logger(journald)
    name = b"\xff\xfe\x1b.json"

    log.event("file_failed", file=os.fsdecode(name))
    log.event("file_failed", file="\ud800 is no file name")

    assert journald.entry()["TIMMY_FILE"] == name
    assert journald.entry()["TIMMY_FILE"] == b"\\ud800 is no file name"
    ours.close()


def test_an_entry_too_large_for_a_datagram_arrives_all_the_same(journald: Journald) -> None:
    log, ours = journal_logger(journald)
    large = "x" * 2_000_000

    log.event("daemon_failed", trace=large)

    assert journald.entry()["TIMMY_TRACE"] == large.encode()
    assert ours.lost == 0
    ours.close()


def test_a_journal_that_is_gone_loses_the_entry_and_nothing_else(tmp_path: Path) -> None:
    ours = Journal(str(tmp_path / "nobody"))
    log = logs.configure(format="journal", journal=lambda: ours)

    log.event("daemon_started")

    assert ours.lost == 1
    ours.close()


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=80), st.text() | st.integers() | st.none(), max_size=6
    )
)
def test_whatever_the_fields_are_the_journal_reads_exactly_them(fields: dict[str, Any]) -> None:
    decoded = read_entry(encode({f"TIMMY_{n}": value for n, value in enumerate(fields.values())}))

    assert len(decoded) == len(fields)
    for name in fields:
        read_entry(encode({name: "v"}))


def test_the_journal_is_used_only_if_the_stream_leads_there(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as stream, (tmp_path / "other").open("w") as other:
        status = os.fstat(stream.fileno())
        env = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}

        assert is_journal(env, stream)
        assert not is_journal(env, other)
        assert not is_journal({}, stream)
        assert not is_journal({"JOURNAL_STREAM": "nonsense"}, stream)
        assert not is_journal(env, io.StringIO())


def test_auto_chooses_the_journal_for_a_stream_of_the_journal(
    tmp_path: Path, journald: Journald
) -> None:
    with (tmp_path / "out").open("w") as stream:
        status = os.fstat(stream.fileno())
        env = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        ours = Journal(journald.address)
        log = logs.configure(env=env, stream=stream, journal=lambda: ours)

        log.event("daemon_started", version="1")

        assert journald.entry()["TIMMY_EVENT"] == b"daemon_started"
        ours.close()


def test_json_in_the_journal_carries_its_priority_in_front(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+") as stream:
        status = os.fstat(stream.fileno())
        env = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        logs.configure(format="json", env=env, stream=stream).event("publish_failed")
        stream.seek(0)
        line = stream.read()

    assert line.startswith('<3>{"')


def test_elsewhere_an_event_is_one_json_line() -> None:
    log, stream = lines()

    log.event("file_taken", house="ezra", file=Path("/x/a.json"), executions=3, code=None)
    log.event("breaker_opened", tool="web_search", limit=0.5)

    assert stream.getvalue() == (
        '{"timestamp": "2026-11-22T21:10:22.240Z", "event": "breaker_opened", '
        '"level": "warning", "tool": "web_search", "limit": 0.5}\n'
    ), "file_taken is a debug event and was left out"


def test_json_lines_are_plain_ascii_whatever_a_session_says() -> None:
    log, stream = lines()

    log.event("file_failed", file=HOSTILE)

    line = stream.getvalue()
    assert line.isascii()
    assert line[:-1].isprintable()
    assert line.count("\n") == 1
    assert json.loads(line)["file"] == HOSTILE


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def __init__(self) -> None:
        super().__init__()
        vars(self)["isatty"] = lambda: True


def test_on_a_terminal_an_event_is_a_line_to_read_and_problems_stand_out() -> None:
    stream = Terminal()
    log = logs.configure(env={}, stream=stream, now=lambda: AT)

    log.event("daemon_started", version="0.1.0")
    log.event("publish_failed", path="/var/lib/x y")

    assert stream.getvalue().splitlines() == [
        "2026-11-22T21:10:22.240Z info     daemon_started version=0.1.0",
        '2026-11-22T21:10:22.240Z \x1b[1merror   \x1b[0m publish_failed path="/var/lib/x y"',
    ]


def test_no_color_is_respected() -> None:
    stream = Terminal()
    log = logs.configure(env={"NO_COLOR": "1"}, stream=stream, now=lambda: AT)

    log.event("publish_failed")

    assert "\x1b" not in stream.getvalue()


def test_what_a_session_says_cannot_move_a_terminals_cursor() -> None:
    log, stream = lines(format="console")

    log.event("file_failed", file=HOSTILE)

    assert stream.getvalue()[:-1].isprintable()
    assert stream.getvalue().count("\n") == 1


@given(st.text())
def test_printable_text_is_printable_and_says_which_text_it_was(text: str) -> None:
    shown = printable(text, most=10_000)

    assert shown.isprintable()
    assert "\n" not in shown
    back = shown.encode("latin-1", "backslashreplace").decode("unicode_escape")
    assert back == text


def test_a_long_value_is_cut_in_lines_that_people_read() -> None:
    assert len(printable("x" * 10_000)) == logs.VALUE_MOST


def test_a_value_cannot_pass_for_another_field_of_the_message() -> None:
    line = message({"event": "file_failed", "file": 'x" code="fine', "code": "not_json"})

    assert line == r'file_failed file="x\" code=\"fine" code=not_json'


@pytest.mark.parametrize("level", list(LEVELS))
def test_events_below_the_level_are_left_out_and_no_others(level: str) -> None:
    log, stream = lines(level=level)

    for name in EVENTS:
        log.event(name)

    logged = {json.loads(line)["event"] for line in stream.getvalue().splitlines()}
    assert logged == {n for n, e in EVENTS.items() if LEVELS[e.level] <= LEVELS[level]}


def test_a_field_cannot_change_the_level_of_its_event() -> None:
    log, stream = lines()

    log.event("publish_failed", level="debug")

    assert json.loads(stream.getvalue())["level"] == "error"


def test_an_unknown_event_raises_in_tests_and_is_a_warning_in_production() -> None:
    with pytest.raises(UnknownEventError, match="no_such_event"):
        logs.silent().event("no_such_event")

    log, stream = lines()
    log.event("no_such_event")
    assert json.loads(stream.getvalue())["level"] == "warning"


def test_captured_events_keep_their_fields() -> None:
    events: list[dict[str, Any]] = []

    logs.captured(events).event("tick_done", duration_s=0.01)

    assert events == [{"event": "tick_done", "level": "debug", "duration_s": 0.01}]


def test_what_was_held_is_written_with_the_time_at_which_it_happened() -> None:
    times = iter([AT, AT + 0.25, AT + 0.5])
    log, stream = lines(hold=True, now=lambda: next(times))

    log.event("daemon_started")
    log.event("observer_started")
    assert stream.getvalue() == ""
    log.release()
    log.event("daemon_ready")

    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in written] == [
        "daemon_started",
        "observer_started",
        "daemon_ready",
    ]
    assert [line["timestamp"][-5:] for line in written] == [".240Z", ".490Z", ".740Z"]


@pytest.mark.parametrize("trouble", ["store_failed", "directory_refused", "no_such_event"])
def test_trouble_is_not_held_and_takes_what_was_held_along(trouble: str) -> None:
    log, stream = lines(hold=True)

    log.event("daemon_started")
    log.event(trouble)

    written = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert written == ["daemon_started", trouble]


def test_a_stream_that_was_closed_does_not_end_the_service() -> None:
    log, stream = lines()
    stream.close()

    log.event("publish_failed")


def test_every_event_is_named_noun_and_verb_and_means_something() -> None:
    for name, event in EVENTS.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name)
        assert event.level in LEVELS
        assert event.meaning.endswith(".")


def test_every_event_that_the_package_logs_is_on_the_list() -> None:
    package = Path(logs.__file__).parents[1]
    used = {
        node.args[0].value: path
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "event"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }

    assert {name: path for name, path in used.items() if name not in EVENTS} == {}


def test_a_repeated_failure_is_new_once_until_the_file_changes() -> None:
    once = Once()

    assert [once.first("a", 1), once.first("a", 1), once.first("b", 1)] == [True, False, True]
    assert once.first("a", 2)
    assert once.forget("a")
    assert not once.forget("a")
    assert once.first("a", 2)


def test_the_memory_of_failures_is_bounded() -> None:
    once = Once(most=100)

    for name in range(100_000):
        once.first(name)

    assert sum(once.forget(name) for name in range(100_000)) == 100
