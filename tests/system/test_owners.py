"""A user cannot speak as somebody else's house, and the operator can take back what was wrongly counted."""

import json
import random
import time

import pytest

from tests.system.server import Server, session

pytestmark = pytest.mark.system

CALLS = 400


def lies(house: str) -> str:
    """What a kit would write whose every call fails, and who says that it is another's house."""
    run = f"{random.Random(house).getrandbits(64):016x}"
    head = {"schema": "timmy.telemetry/1", "run": run, "session_id": "imp", "house": house}
    lines: list[dict[str, object]] = [dict(head)]
    lines += [
        {"run": run, "n": n, "at": time.time(), "kind": "tool", "tool": "terminal", "call_id": f"c{n}",
         "turn": "t", "inner": False, "model": "hermes3:8b", "signature": f"{n:016x}", "shape": "git push",
         "outcome": "error", "rule": "x", "latency_ms": 5.0}
        for n in range(1, CALLS + 1)
    ]  # fmt: skip
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_a_profile_of_another_user_does_not_speak_for_a_house(server: Server) -> None:
    server.write("bob", "sessions/honest.json", session("honest", 4))
    server.until_total(4, "bob")
    server.run("umask 077; mkdir -p ~/.hermes/profiles/bob/sessions/timmy", user="alice").check()

    server.write("alice", "profiles/bob/sessions/timmy/imp.jsonl", lies("bob"))

    server.until_total(CALLS, "alice-bob", timeout_s=90)
    assert server.total("bob") == 4
    server.until(
        'python3 -c \'import json,sys; sys.exit("names" not in'
        ' json.load(open("/var/lib/timmyd/policy.json")))\'',
        timeout_s=60,
    )
    document = server.policy("bob")
    assert [b for b in document["breakers"] if b["house"] == "bob"] == []
    uids = {user: server.run("id", "-u", user).out.strip() for user in ("alice", "bob")}
    assert document["names"][uids["alice"]]["bob"] == "alice-bob"
    assert document["names"][uids["bob"]]["bob"] == "bob"
    (renamed,) = server.journal("-u", "timmyd.service", "TIMMY_EVENT=house_renamed")
    assert renamed["TIMMY_HOUSE"] == "alice-bob"
    found = json.loads(server.timmyd("check", "--json").out)
    assert [row["place"] for row in found if row["code"] == "house_taken"] == ["alice-bob"]


def test_kits_of_both_find_themselves(server: Server) -> None:
    ask = "from timmyd.house import Policies; print(Policies(house='bob').predict_success('terminal', 'bob')[0])"
    python = "/opt/timmyd/venv/bin/python"

    alices = server.until(f'{python} -Ic "{ask}" | grep "^0"', user="alice", timeout_s=60).out
    bobs = server.run(python, "-Ic", ask, user="bob").check().out

    assert float(alices) < 0.2
    assert bobs.strip() == "None" or float(bobs) > 0.5


def test_what_was_wrongly_counted_is_taken_back_by_root_alone(server: Server) -> None:
    refused = server.run("timmyd", "house", "quarantine", "alice-bob", user="carol")
    assert refused.status != 0
    order = server.run("timmyd", "breaker", "force", "bob", "terminal", user="carol")
    assert order.status == 1
    assert "carol may not give orders" in order.err
    assert "is root" in order.err

    server.timmyd("house", "quarantine", "alice-bob").check()
    server.until("timmyd house list | grep -q 'alice-bob.*quarantined'", timeout_s=60)
    server.until(
        'python3 -c \'import json,sys; sys.exit("alice-bob" in'
        ' json.load(open("/var/lib/timmyd/policy.json"))["predictions"])\'',
        timeout_s=60,
    )
    assert server.total("alice-bob") == CALLS, "counted and shown on"

    server.timmyd("house", "forget", "alice-bob", "--yes").check()
    server.until("timmyd house list | grep -q 'alice-bob.*forgotten'", timeout_s=60)
    assert server.total("alice-bob") == 0
    assert server.total("bob") == 4
    owners = server.run("find /var/lib/timmyd ! -user timmyd").out.split()
    assert owners == []


def test_unenrolling_offers_both(server: Server) -> None:
    done = server.timmyd("unenrol", "bob").check()

    assert "timmyd house quarantine bob" in done.out
    assert "timmyd house forget bob" in done.out
