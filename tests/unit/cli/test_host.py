import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import HOSTILE, Command
from timmyd.service.enrol import Enrolment

HOME = Path("/home/alice/.hermes")


@pytest.mark.parametrize(
    ("enrolment", "words"),
    [
        (Enrolment("alice", "alice", HOME, seen=True, changed=True), "the service sees it"),
        (Enrolment("alice", "alice", HOME, seen=False), "it is not there yet"),
        (Enrolment("alice", "alice", HOME), "the service does not run"),
        (Enrolment("alice", "alice", HOME, problem=f"is a link {HOSTILE}"), "is a link evil\\x1b"),
    ],
)
def test_an_enrolment_says_what_the_service_sees(
    timmyd: Command, monkeypatch: pytest.MonkeyPatch, enrolment: Enrolment, words: str
) -> None:
    monkeypatch.setattr("timmyd.service.enrol.enrol", lambda _user, **_more: enrolment)
    monkeypatch.setattr("timmyd.service.enrol.enrolled", lambda: [enrolment])
    monkeypatch.setattr("timmyd.service.enrol.unenrol", lambda _user: enrolment)

    assert words in timmyd("enrol", "alice").out
    assert words in timmyd("enrolled").out
    assert "no longer" in timmyd("unenrol", "alice").out
    for command in (("enrol", "alice"), ("unenrol", "alice")):
        assert json.loads(timmyd(*command, "--json").out)["house"] == "alice"
    assert [one["user"] for one in json.loads(timmyd("enrolled", "--json").out)] == ["alice"]


def test_nobody_enrolled_is_said(timmyd: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timmyd.service.enrol.enrolled", list)

    assert "nobody is enrolled" in timmyd("enrolled").out
