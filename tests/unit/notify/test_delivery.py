"""Events reach programs and web servers, again after a crash, and a trouble's issue is closed when it is over."""

import json
import stat
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.notify.test_outbox import NOON, alert
from timmyd.config import parse
from timmyd.core.model import AdaptationEvent
from timmyd.errors import ConfigError
from timmyd.notify.destinations import AppriseTarget, DeliveryError, Program, Webhook, filled
from timmyd.notify.outbox import Wish
from timmyd.notify.runner import Runner
from timmyd.notify.wishes import destinations, read_headers
from timmyd.service.logs import configure
from timmyd.store.database import PatternDatabase
from timmyd.store.events import EventReader


class Forge(BaseHTTPRequestHandler):
    """A forge as its documented API behaves: POST …/issues answers 201 with a number, PATCH …/issues/N changes it."""

    def do_POST(self) -> None:
        body = self._body()
        if self.server.refuse:  # type: ignore[attr-defined]
            self._answer(503, {})
            return
        if self.headers.get("Authorization") != "token sesame":
            self._answer(401, {"message": "token is required"})
            return
        issues: list[dict[str, Any]] = self.server.issues  # type: ignore[attr-defined]
        issues.append({"number": len(issues) + 1, "state": "open", **body})
        self._answer(201, issues[-1])

    def do_PATCH(self) -> None:
        number = int(self.path.rpartition("/")[2])
        issue = self.server.issues[number - 1]  # type: ignore[attr-defined]
        issue.update(self._body())
        self._answer(201, issue)

    def _body(self) -> dict[str, Any]:
        found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(found, dict)
        return found

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def forge() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forge)
    server.issues, server.refuse = [], False  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def settings_text(tmp_path: Path, port: int) -> str:
    headers = tmp_path / "headers"
    headers.write_text("Authorization: token sesame\n")
    headers.chmod(0o600)
    root = f"http://127.0.0.1:{port}/api/v1/repos/us/agents/issues"
    return f"""
[[notify]]
on = ["breaker_opened", "breaker_closed", "fell", "recovered"]
webhook = "{root}"
headers = "{headers}"
body = '{{"title": "{{title}}", "body": "{{text}}"}}'
over = "{root}/{{answer.number}}"
over_body = '{{"state": "closed"}}'
"""


class Rig:
    """A database that events are written to, and a notifier over it with a clock of its own."""

    def __init__(self, tmp_path: Path, settings: str) -> None:
        self.now, self.tmp_path = NOON, tmp_path
        self.path = tmp_path / "db" / "timmy.db"
        self.database = PatternDatabase(self.path, clock=lambda: self.now)
        self.targets = destinations(parse(settings, "test").notify)
        self.runner = self.start()
        self.runner.step()

    def start(self, **more: Any) -> Runner:
        return Runner(
            EventReader(self.path),
            self.tmp_path / "notify.json",
            self.targets,
            clock=lambda: self.now,
            zone=None,
            log=configure("critical"),
            **more,
        )

    def happens(self, kind: str, subject: str = "breaker.ezra.terminal") -> None:
        self.database.record_adaptation(
            AdaptationEvent(
                timestamp="",
                trigger="t",
                change_type=subject,
                old_value="closed",
                new_value="open",
                reason='it "failed"',
                kind=kind,
            )
        )

    def later(self, seconds: float = 5.0) -> None:
        self.runner.step()
        self.now += seconds
        self.runner.step()


def test_an_issue_is_opened_once_per_trouble_and_closed_when_it_is_over(
    tmp_path: Path, forge: ThreadingHTTPServer
) -> None:
    rig = Rig(tmp_path, settings_text(tmp_path, forge.server_port))
    rig.happens("breaker_opened")
    rig.later()
    rig.happens("breaker_opened")
    rig.later()
    rig.happens("breaker_opened", "breaker.ezra.web_search")
    rig.later()
    issues = forge.issues  # type: ignore[attr-defined]
    assert [one["state"] for one in issues] == ["open", "open"]
    assert issues[0]["title"] == "timmyd: breaker opened: breaker.ezra.terminal"
    rig.happens("breaker_closed")
    rig.later()
    assert [one["state"] for one in issues] == ["closed", "open"]


def test_a_server_that_is_down_gets_it_later(tmp_path: Path, forge: ThreadingHTTPServer) -> None:
    rig = Rig(tmp_path, settings_text(tmp_path, forge.server_port))
    forge.refuse = True  # type: ignore[attr-defined]
    rig.happens("fell", "fell.ezra.terminal")
    rig.later()
    rig.runner = rig.start()
    forge.refuse = False  # type: ignore[attr-defined]
    rig.later(3_600.0)
    assert len(forge.issues) == 1  # type: ignore[attr-defined]


def program(tmp_path: Path) -> str:
    """A program that appends the numbers of the events that it is told, one line a call."""
    script, told = tmp_path / "tell", tmp_path / "told"
    script.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        "told = json.load(sys.stdin)\n"
        f"open({str(told)!r}, 'a').write(' '.join(str(e['id']) for e in told['events']) + '\\n')\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return f'[[notify]]\non = ["breaker_opened", "fell"]\nexec = ["{script}"]\n'


@pytest.mark.parametrize("dies_at", range(1, 8))
def test_a_crash_at_any_moment_loses_no_event(tmp_path: Path, dies_at: int) -> None:
    rig, saves = Rig(tmp_path, program(tmp_path)), 0

    def save(path: Path, data: bytes) -> None:
        nonlocal saves
        saves += 1
        if saves == dies_at:
            raise KeyboardInterrupt
        path.write_bytes(data)

    rig.runner = rig.start(save=save)
    for number in range(3):
        rig.happens("breaker_opened" if number % 2 else "fell", f"breaker.ezra.t{number}")
        try:
            rig.later()
        except KeyboardInterrupt:
            rig.runner = rig.start()
    rig.later()
    told = {int(word) for word in (tmp_path / "told").read_text().split()}
    assert told == {1, 2, 3}


def test_what_happened_before_the_first_start_is_not_told(tmp_path: Path) -> None:
    text = program(tmp_path)
    database = PatternDatabase(tmp_path / "db" / "timmy.db")
    database.record_adaptation(
        AdaptationEvent(
            timestamp="",
            trigger="t",
            change_type="breaker.ezra.x",
            old_value=1,
            new_value=2,
            reason="",
            kind="breaker_opened",
        )
    )
    database.close()
    rig = Rig(tmp_path, text)
    rig.later()
    assert not (tmp_path / "told").exists()


def test_a_restored_database_that_holds_fewer_events_is_followed_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path, program(tmp_path))
    rig.runner.outbox.seen = 1_000
    rig.later()
    rig.happens("fell", "fell.ezra.x")
    rig.later()
    assert (tmp_path / "told").read_text() == "1\n"


def test_a_place_that_is_damaged_begins_at_the_newest_event(tmp_path: Path) -> None:
    rig = Rig(tmp_path, program(tmp_path))
    (tmp_path / "notify.json").write_bytes(b"{\0")
    rig.runner = rig.start()
    rig.later()
    rig.happens("fell", "fell.ezra.x")
    rig.later()
    assert (tmp_path / "told").read_text() == "1\n"


def test_a_program_that_fails_hangs_or_is_missing_is_a_delivery_error() -> None:
    for command in (["/bin/false"], ["/nonexistent"]):
        with pytest.raises(DeliveryError):
            Program(command).deliver([alert(1)])
    with pytest.raises(DeliveryError, match="Timeout"):
        Program(["/bin/sleep", "60"], timeout_s=0.05).deliver([alert(1)])


def test_a_template_cannot_be_broken_out_of_by_a_name() -> None:
    fields = {"title": 'a", "state": "closed', "text": "line\nline", "n": 3, "answer": {"id": 7}}
    body = filled(
        '{"t": "{title}", "b": "{text}{nothing}", "n": {n}, "i": {answer.id}}',
        fields,
        lambda text: json.dumps(text)[1:-1],
    )
    assert json.loads(body) == {"t": fields["title"], "b": "line\nline", "n": 3, "i": 7}


def test_a_redirect_is_not_followed_with_the_operators_token() -> None:
    class Redirect(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Redirect)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(DeliveryError, match="302"):
            Webhook(f"http://127.0.0.1:{server.server_port}/").deliver([alert(1)])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_headers_that_others_may_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "headers"
    path.write_text("Authorization: x\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="0600"):
        read_headers(path)
    path.chmod(0o600)
    assert read_headers(path) == {"Authorization": "x"}
    path.write_text("no header\n")
    with pytest.raises(ConfigError, match="line 1"):
        read_headers(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_headers(tmp_path / "missing")


def test_without_apprise_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(DeliveryError, match="pip install"):
        AppriseTarget("json://127.0.0.1").deliver([alert(1)])


def test_the_names_of_destinations_hold_no_secret_and_stay(tmp_path: Path) -> None:
    text = program(tmp_path) + '[[notify]]\non = ["fell"]\napprise = "tgram://secret"\n'
    names = list(destinations(parse(text, "test").notify))
    assert names == list(destinations(parse(text, "test").notify))
    assert not any("secret" in name for name in names)
    wish: Wish = destinations(parse(text, "test").notify)[names[0]][0]
    assert wish.on == {"breaker_opened", "fell"}
