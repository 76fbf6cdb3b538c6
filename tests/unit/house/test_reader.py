"""Policies: finds, reloads, expires, keeps the last good one, and never raises."""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import without_roots_powers
from tests.unit.house.documents import (
    LIFE_S,
    PUBLISHED_AT,
    document,
    figures,
    open_breaker,
    signed,
)
from timmyd.core.publishing import encode
from timmyd.house import Policies
from timmyd.house.policy import KEYS, LARGEST_BYTES
from timmyd.house.reader import LOOK_EVERY_S, places


class Clocks:
    """A wall clock and a clock that never jumps, both moved by hand."""

    def __init__(self) -> None:
        self.at = PUBLISHED_AT + 1.0
        self.tick = 1000.0

    def wall(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.tick

    def pass_(self, seconds: float) -> None:
        self.at += seconds
        self.tick += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.json"


@pytest.fixture
def policies(path: Path, clocks: Clocks) -> Policies:
    return Policies(path, clock=clocks.wall, monotonic=clocks.monotonic)


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    fresh.replace(path)


def _assert_defaults(policies: Policies) -> None:
    for key, known in KEYS.items():
        house, _, name = key.partition(".")
        assert policies.value(house, name) == known.default
    assert policies.document is None
    assert policies.predict_success("terminal", "ezra") == (
        None,
        "Insufficient data for prediction",
    )
    assert policies.get_optimal_house("terminal") == ("timmy", None)
    assert policies.get_best_model("read") is None
    assert policies.allows("web_search", house="timmy").allowed


def test_without_a_file_every_answer_is_the_default(policies: Policies) -> None:
    _assert_defaults(policies)
    assert policies.revision is None
    assert not policies.fresh
    assert policies.problem == "missing"


def test_a_published_document_answers_the_questions(policies: Policies, path: Path) -> None:
    path.write_bytes(
        encode(
            document(
                policies={"ezra.evidence_threshold": 0.7, "timmy.evidence_threshold": 0.5},
                models={"read": {"model": "hermes3:8b", "success": 0.9, "samples": 40}},
                routes={"terminal": {"house": "bezalel", "confidence": 0.91, "samples": 230}},
                breakers=[open_breaker()],
                predictions={
                    "ezra": {"terminal": {**figures(0.95), "shapes": {"git push": figures(0.42)}}}
                },
            )
        )
    )

    assert policies.fresh
    assert policies.revision == 17
    assert policies.problem is None
    assert policies.value("ezra", "evidence_threshold") == 0.7
    assert policies.value("timmy", "evidence_threshold") == 0.5
    assert policies.value("bezalel", "evidence_threshold") == 0.6
    assert policies.value("bezalel", "no_such_key") is None
    success, words = policies.predict_success("terminal", "ezra")
    assert success == 0.95
    assert words == (
        "Based on 40 similar executions (same tool and house): excellent track record, 85% to 100%"
    )
    success, words = policies.predict_success("terminal", "ezra", {"command": "git push"})
    assert success == 0.42
    assert words.endswith("(same shape): poor track record, consider alternatives, 32% to 52%")
    assert policies.predict_success("terminal", "ezra", {"command": "ls"})[0] == 0.95
    assert policies.predict_success("terminal", "timmy")[0] is None
    assert policies.get_optimal_house("terminal") == ("bezalel", 0.91)
    assert policies.get_best_model("read") == "hermes3:8b"
    assert policies.get_best_model("build") is None
    assert not policies.allows("web_search", house="timmy").allowed
    assert policies.allows("web_search", house="ezra").allowed
    assert policies.allows("terminal", house="timmy").allowed


def test_a_tool_whose_best_house_is_poor_goes_to_timmy(policies: Policies, path: Path) -> None:
    route = {"house": "bezalel", "confidence": 0.9, "samples": 230}
    predictions = {"bezalel": {"terminal": figures(0.25)}, "timmy": {"terminal": figures(0.2)}}
    path.write_bytes(encode(document(routes={"terminal": route}, predictions=predictions)))

    assert policies.get_optimal_house("terminal") == ("timmy", 0.2)


def test_a_new_document_is_seen_within_a_second_and_not_looked_for_before(
    policies: Policies, path: Path, clocks: Clocks
) -> None:
    _replace(path, encode(document(revision=1)))
    assert policies.revision == 1
    _replace(path, encode(document(revision=2)))

    clocks.pass_(LOOK_EVERY_S - 0.01)
    assert policies.revision == 1
    clocks.pass_(0.02)
    assert policies.revision == 2


@pytest.mark.parametrize("broken", [b"", b"{", b"\x00" * 99, signed({**document(), "mode": "?"})])
def test_a_broken_document_leaves_the_last_good_one_until_that_expires(
    policies: Policies, path: Path, clocks: Clocks, broken: bytes
) -> None:
    _replace(path, encode(document(policies={"ezra.evidence_threshold": 0.7})))
    assert policies.value("ezra", "evidence_threshold") == 0.7
    _replace(path, broken)

    clocks.pass_(2.0)
    assert policies.value("ezra", "evidence_threshold") == 0.7
    clocks.pass_(LIFE_S)
    _assert_defaults(policies)
    assert not policies.fresh


def test_a_file_that_goes_leaves_the_last_good_one_until_that_expires(
    policies: Policies, path: Path, clocks: Clocks
) -> None:
    path.write_bytes(encode(document(breakers=[open_breaker()])))
    assert not policies.allows("web_search").allowed
    path.unlink()

    clocks.pass_(2.0)
    assert not policies.allows("web_search").allowed
    clocks.pass_(LIFE_S)
    _assert_defaults(policies)


def test_an_expired_document_ends_between_two_looks(
    policies: Policies, path: Path, clocks: Clocks
) -> None:
    path.write_bytes(encode(document(breakers=[open_breaker()])))
    clocks.at = PUBLISHED_AT + LIFE_S - 0.001
    assert policies.fresh
    clocks.at += 0.001
    _assert_defaults(policies)


def test_an_older_revision_is_taken_only_once_the_newer_one_has_expired(
    policies: Policies, path: Path, clocks: Clocks
) -> None:
    _replace(path, encode(document(revision=9)))
    assert policies.revision == 9
    _replace(path, encode(document(revision=8, life_s=2.0 * LIFE_S)))
    clocks.pass_(2.0)
    assert policies.revision == 9
    clocks.pass_(LIFE_S)
    assert policies.revision == 8


def test_a_document_that_only_observes_has_no_effect(policies: Policies, path: Path) -> None:
    path.write_bytes(
        encode(
            document(
                mode="observe",
                policies={"ezra.evidence_threshold": 0.7},
                breakers=[open_breaker()],
                models={"read": {"model": "m", "success": 0.9, "samples": 40}},
                predictions={"ezra": {"terminal": figures(0.95)}},
            )
        )
    )

    _assert_defaults(policies)
    assert policies.fresh
    assert policies.revision == 17


def test_published_open_binds_until_published_closed(
    policies: Policies, path: Path, clocks: Clocks
) -> None:
    _replace(
        path, encode(document(revision=1, breakers=[open_breaker(probe_at=PUBLISHED_AT + 60.0)]))
    )
    verdict = policies.allows("web_search")
    assert not verdict.allowed
    assert verdict.since == PUBLISHED_AT - 60.0
    assert policies.closed_to("timmy") == [("web_search", PUBLISHED_AT - 60.0, PUBLISHED_AT + 60.0)]

    _replace(path, encode(document(revision=2)))
    clocks.pass_(2.0)
    assert policies.allows("web_search").allowed
    assert policies.closed_to("timmy") == []


def test_after_the_wait_a_single_probe_goes_through(
    policies: Policies, path: Path, clocks: Clocks
) -> None:
    breaker = open_breaker(probe_at=PUBLISHED_AT + 10.0)
    path.write_bytes(encode(document(breakers=[breaker])))
    assert not policies.allows("web_search").allowed
    clocks.pass_(20.0)

    assert policies.allows("web_search").probe
    assert not policies.allows("web_search").allowed
    clocks.pass_(6.0)
    assert policies.allows("web_search").probe


def test_a_house_opens_by_its_own_count_at_once(
    policies: Policies, path: Path, clocks: Clocks
) -> None:
    path.write_bytes(encode(document(predictions={"timmy": {"deploy": figures(0.98, samples=90)}})))
    failures = 0
    while policies.allows("deploy").allowed and failures < 20:
        policies.record("deploy", "error", session="s")
        clocks.pass_(0.1)
        failures += 1

    assert failures <= 10
    assert [tool for tool, _, _ in policies.closed_to("timmy")] == ["deploy"]


def test_without_a_policy_in_force_its_own_count_blocks_nothing(policies: Policies) -> None:
    for _ in range(50):
        policies.record("deploy", "error", session="s")
    assert policies.allows("deploy").allowed


def _directory(path: Path) -> None:
    path.mkdir()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _huge(path: Path) -> None:
    path.write_bytes(b" " * (LARGEST_BYTES + 1))


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _not_text(path: Path) -> None:
    path.write_bytes(os.urandom(3000))


@pytest.mark.parametrize("make", [_directory, _fifo, _huge, _loop, _device, _not_text])
def test_what_is_no_policy_file_is_ignored_at_once(
    make: Callable[[Path], None], policies: Policies, path: Path
) -> None:
    make(path)

    _assert_defaults(policies)
    assert policies.problem not in {None, "missing"}


def test_an_unreadable_file_is_ignored(policies: Policies, path: Path) -> None:
    path.write_bytes(encode(document()))
    path.chmod(0)

    with without_roots_powers():
        _assert_defaults(policies)
    assert policies.problem == "unreadable"


def test_whatever_fails_the_answers_are_the_defaults(path: Path) -> None:
    def broken() -> float:
        raise RuntimeError

    path.write_bytes(encode(document(breakers=[open_breaker()])))
    for policies in (Policies(path, clock=broken), Policies(path, monotonic=broken)):
        _assert_defaults(policies)
        policies.record("x", "error")


@pytest.mark.parametrize("jump_s", [-1e9, -3600.0, 1e9, float("nan"), float("inf")])
def test_a_clock_that_jumps_raises_nothing(
    policies: Policies, path: Path, clocks: Clocks, jump_s: float
) -> None:
    path.write_bytes(encode(document(breakers=[open_breaker()])))
    assert not policies.allows("web_search").allowed
    clocks.at += jump_s
    clocks.tick += 5.0
    policies.allows("web_search")
    policies.record("web_search", "ok")
    policies.value("ezra", "evidence_threshold")


def test_the_file_is_looked_for_where_the_contract_says() -> None:
    assert places({"TIMMY_POLICY": "/x/p.json", "HOME": "/h"}) == ("/x/p.json",)
    assert places({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == (
        "/s/timmyd/policy.json",
        "/var/lib/timmyd/policy.json",
    )
    assert places({"HOME": "/h"})[0] == "/h/.local/state/timmyd/policy.json"
    assert places({"HOME": "/h", "XDG_STATE_HOME": "relative"})[0].startswith("/h/.local")
    assert places({}) == ("/var/lib/timmyd/policy.json",)


def test_the_users_policy_comes_before_the_services_only_while_it_is_usable(
    tmp_path: Path, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, services = tmp_path / "timmyd" / "policy.json", tmp_path / "service.json"
    mine.parent.mkdir()
    monkeypatch.delenv("TIMMY_POLICY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("timmyd.house.reader.SERVICE_PLACE", str(services))
    policies = Policies(clock=clocks.wall, monotonic=clocks.monotonic)
    services.write_bytes(encode(document(revision=5, life_s=10_000.0)))
    assert policies.revision == 5
    mine.write_bytes(encode(document(revision=2)))
    clocks.pass_(2.0)
    assert policies.revision == 2
    clocks.pass_(LIFE_S)
    assert policies.revision == 5


def test_a_sovereign_house_takes_no_link(path: Path, tmp_path: Path, clocks: Clocks) -> None:
    real = tmp_path / "elsewhere.json"
    real.write_bytes(encode(document()))
    path.symlink_to(real)
    options: dict[str, Any] = {"clock": clocks.wall, "monotonic": clocks.monotonic}

    assert Policies(path, **options).fresh
    assert not Policies(path, own_only=True, **options).fresh
    assert Policies(real, own_only=True, **options).fresh


def test_many_threads_ask_while_the_file_changes(
    policies: Policies, path: Path, clocks: Clocks
) -> None:
    errors: list[BaseException] = []
    stop = threading.Event()

    def ask() -> None:
        try:
            while not stop.is_set():
                policies.allows("web_search")
                policies.record("web_search", "ok", session="s")
                policies.predict_success("terminal", "ezra", {"command": "ls"})
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for revision in range(1, 30):
        _replace(path, encode(document(revision=revision, breakers=[open_breaker()])))
        clocks.pass_(1.5)
        policies.allows("web_search")
    stop.set()
    for thread in threads:
        thread.join()

    assert errors == []
    assert policies.revision == 29


def test_the_file_itself_is_never_touched(policies: Policies, path: Path) -> None:
    path.write_bytes(encode(document()))
    path.chmod(0o444)
    before = path.stat()
    policies.allows("x")

    after = path.stat()
    assert (after.st_mtime_ns, stat.S_IMODE(after.st_mode)) == (before.st_mtime_ns, 0o444)
    assert [entry.name for entry in path.parent.iterdir()] == ["policy.json"]
