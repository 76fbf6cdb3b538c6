import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from timmyd import __version__
from timmyd.config import Settings
from timmyd.core.ownership import OwnedHouse
from timmyd.engine import IntelligenceEngine
from timmyd.house import KIT_VERSION
from timmyd.house.recorder import Recorder
from timmyd.service import hermes_kit
from timmyd.service.homes import Place
from timmyd.service.lock import StateLock
from timmyd.service.publisher import Publisher
from timmyd.store.database import PatternDatabase
from timmyd.tools.checking import (
    Finding,
    check_daemon,
    check_houses,
    check_inotify,
    check_policy,
    check_settings,
    check_state,
)
from timmyd.tools.checking_homes import check_homes, watched_folders

NOW = 1_795_381_822.0
LARGEST = 1 << 20


def codes(findings: Iterable[Finding]) -> dict[str, str]:
    return {finding.code: finding.severity for finding in findings}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    database = PatternDatabase(folder / "db" / "timmy.db", clock=lambda: NOW)
    engine = IntelligenceEngine(database, clock=lambda: NOW)
    Publisher(engine, folder / "policy.json").publish(NOW, life_s=900.0)
    database.close()
    return folder


def homes(place: Place, now: float = NOW) -> dict[str, str]:
    return codes(check_homes([place], now=now, largest_bytes=LARGEST))


def record(home: Path, house: str = "timmy") -> Path:
    folder = home / "sessions" / "timmy"
    recorder = Recorder(folder, house=house, kit="1", clock=lambda: NOW)
    recorder.end("s", completed=True, interrupted=False)
    file = folder / "s.jsonl"
    os.utime(file, (NOW - 60, NOW - 60))
    return file


def test_a_healthy_state_has_nothing_wrong(state: Path) -> None:
    found = codes(
        [*check_state(Settings(), state, now=NOW), *check_policy(Settings(), state, now=NOW)]
    )

    assert found == {"database_whole": "fine", "policy_fresh": "fine"}


def test_before_the_first_run_nothing_is_wrong_and_the_remedy_is_to_run(tmp_path: Path) -> None:
    found = [
        *check_state(Settings(), tmp_path / "none", now=NOW),
        *check_policy(Settings(), tmp_path / "none", now=NOW),
    ]

    assert codes(found) == {"state_missing": "note", "policy_missing": "note"}
    assert all(finding.remedy and "timmyd run" in finding.remedy for finding in found)


def test_settings_are_named(tmp_path: Path) -> None:
    assert codes(check_settings(())) == {"settings_default": "fine"}
    assert codes(check_settings((tmp_path / "a.toml",))) == {"settings_right": "fine"}


def test_an_expired_policy_is_wrong_only_while_a_daemon_should_renew_it(state: Path) -> None:
    later = NOW + 10_000
    assert codes(check_policy(Settings(), state, now=later)) == {"policy_expired": "note"}

    with StateLock(state):
        assert codes(check_policy(Settings(), state, now=later)) == {"policy_expired": "wrong"}


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"{}", "policy_refused"), (b"torn{", "policy_refused"), (b"x" * 300_000, "policy_refused")],
)
def test_a_policy_that_no_house_would_use_is_wrong(state: Path, content: bytes, code: str) -> None:
    (state / "policy.json").write_bytes(content)

    assert codes(check_policy(Settings(), state, now=NOW))[code] == "wrong"


def test_permissions_that_let_others_write_or_keep_houses_out_are_wrong(state: Path) -> None:
    (state / "policy.json").chmod(0o662)
    (state / "db").chmod(0o755)
    state.chmod(0o777)

    found = codes(
        [*check_state(Settings(), state, now=NOW), *check_policy(Settings(), state, now=NOW)]
    )

    for code in ("policy_writable", "policy_hidden", "database_open", "state_writable"):
        assert found[code] == "wrong"


def test_a_damaged_database_is_wrong_and_names_the_way_back(state: Path) -> None:
    (state / "db" / "timmy.db").write_bytes(b"not a database " * 1000)

    found = {finding.code: finding for finding in check_state(Settings(), state, now=NOW)}

    assert found["database_unusable"].severity == "wrong"
    assert "db restore" in (found["database_unusable"].remedy or "")


def test_a_daemon_is_down_alive_hanging_or_polling(state: Path) -> None:
    assert codes(check_daemon(state, {}, now=NOW)) == {"daemon_down": "note"}

    with StateLock(state):
        assert codes(check_daemon(state, {"seen_at": NOW - 5}, now=NOW)) == {"daemon_alive": "fine"}
        stale = {"seen_at": NOW - 500, "observer": "polling"}
        assert codes(check_daemon(state, stale, now=NOW)) == {
            "daemon_hangs": "wrong",
            "daemon_polls": "note",
        }


@pytest.mark.parametrize(
    ("clock", "found"),
    [
        ({"jumps": 0, "ahead_s": 0.0}, {}),
        ({"jumps": 2, "ahead_s": 0.0, "jump_s": -86_400.0}, {"clock_jumped": "note"}),
        ({"jumps": 1, "ahead_s": 6e7, "jump_s": 6e7}, {"clock_doubted": "wrong"}),
        ("no clock", {}),
    ],
)
def test_a_clock_that_jumped_is_a_finding(
    tmp_path: Path, clock: object, found: dict[str, str]
) -> None:
    with StateLock(tmp_path):
        status = {"seen_at": NOW, "clock": clock}
        assert codes(check_daemon(tmp_path, status, now=NOW)) == {"daemon_alive": "fine"} | found


@pytest.mark.parametrize(
    ("watches", "instances", "code"),
    [(100, 10, "inotify_room"), (3, 10, "inotify_full"), (100, 1, "inotify_full")],
)
def test_inotify_room_counts_what_the_users_processes_hold(
    tmp_path: Path, watches: int, instances: int, code: str
) -> None:
    limits = tmp_path / "sys/fs/inotify"
    limits.mkdir(parents=True)
    (limits / "max_user_watches").write_text(f"{watches}\n")
    (limits / "max_user_instances").write_text(f"{instances}\n")
    process = tmp_path / "4711"
    (process / "fd").mkdir(parents=True)
    (process / "fdinfo").mkdir()
    (process / "fd" / "3").symlink_to("anon_inode:inotify")
    (process / "fdinfo" / "3").write_text("pos: 0\ninotify wd:1 ino:2\ninotify wd:2 ino:3\n")

    assert list(codes(check_inotify(2, proc=tmp_path, uid=os.getuid()))) == [code]


def test_limits_that_the_kernel_does_not_tell_are_a_note(tmp_path: Path) -> None:
    assert codes(check_inotify(2, proc=tmp_path, uid=0)) == {"inotify_unknown": "note"}


def test_a_home_that_is_not_there_yet_is_no_error(tmp_path: Path) -> None:
    assert homes(Place(tmp_path / "none")) == {"home_missing": "note"}


def test_a_home_with_the_kit_is_alive(tmp_path: Path) -> None:
    home = tmp_path / "home"
    record(home)
    hermes_kit.install(hermes_kit.plan_install(home), now=NOW - 60)

    found = homes(Place(home))

    assert found["kit_installed"] == "fine"
    assert found["telemetry_alive"] == "fine"
    assert found["state_db_missing"] == "note"
    assert "wrong" not in found.values()


def test_a_silent_source_and_a_missing_kit_are_notes_with_a_remedy(tmp_path: Path) -> None:
    home = tmp_path / "home"
    record(home)

    findings = check_homes([Place(home)], now=NOW + 30 * 86_400, largest_bytes=LARGEST)

    assert codes(findings)["telemetry_silent"] == "note"
    remedy = next(finding.remedy for finding in findings if finding.code == "kit_missing")
    assert remedy == f"timmyd hermes install --home {home}"


def test_every_source_says_what_it_cannot_show(tmp_path: Path) -> None:
    home = tmp_path / "home"
    record(home)
    (home / "sessions" / "session_a.json").write_text("{}")

    found = check_homes([Place(home)], now=NOW, largest_bytes=LARGEST)

    words = [finding.words for finding in found if finding.code.endswith(("_alive", "_silent"))]
    assert len(words) == 2
    assert all("cannot show" in text for text in words)


def test_a_claim_of_another_house_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    record(home, house="ezra")

    assert homes(Place(home, "timmy"))["house_contradicted"] == "note"
    assert "house_contradicted" not in homes(Place(home, "ezra"))


def test_a_database_of_hermes_that_cannot_be_read_is_wrong(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "sessions").mkdir(parents=True)
    (home / "state.db").write_bytes(b"not a database " * 1000)

    found = homes(Place(home))

    assert [code for code, severity in found.items() if severity == "wrong"]
    assert all(code.startswith("state_db_") for code, sev in found.items() if sev == "wrong")


def test_files_that_are_not_read_are_counted_by_reason(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    folder.mkdir()
    (folder / "session_x.json").symlink_to("/etc/hostname")

    assert homes(Place(folder, is_home=False))["files_is_link"] == "wrong"


def test_profiles_are_homes_of_their_own(tmp_path: Path) -> None:
    home = tmp_path / "home"
    record(home)
    record(home / "profiles" / "ezra", house="ezra")

    found = check_homes([Place(home)], now=NOW, largest_bytes=LARGEST)

    assert sum(finding.code == "home_found" for finding in found) == 2
    assert watched_folders([Place(home)]) == 4


def _kit(home: Path, **changes: object) -> None:
    """The kit in a home, with another record of how it came there."""
    hermes_kit.install(hermes_kit.plan_install(home), now=NOW - 3600)
    file = home / "plugins" / "timmy" / "installed.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(("version", "code"), [("0.0.9", "kit_old"), ("99.0", "kit_newer")])
def test_a_kit_of_another_version_is_told_with_both(
    tmp_path: Path, version: str, code: str
) -> None:
    home = tmp_path / "home"
    record(home)
    _kit(home, version=version)
    findings = check_homes([Place(home)], now=NOW, largest_bytes=LARGEST)

    finding = next(one for one in findings if one.code == code)
    assert finding.words == f"the house kit is {version}, timmyd is {KIT_VERSION}"
    assert finding.remedy == (
        f"timmyd hermes install --home {home}"
        if code == "kit_old"
        else "upgrade timmyd, which reads what it writes"
    )


def test_a_kit_that_lacks_a_file_is_wrong(tmp_path: Path) -> None:
    home = tmp_path / "home"
    record(home)
    _kit(home)
    assert "kit_damaged" not in homes(Place(home))
    (home / "plugins" / "timmy" / "reader.py").unlink()

    assert homes(Place(home))["kit_damaged"] == "wrong"


@pytest.mark.parametrize("caps", ["held", "no_way", "unknown_mode", None])
@pytest.mark.parametrize("capped", [True, False])
def test_caps_that_are_not_held_here_are_wrong(
    tmp_path: Path, caps: str | None, capped: bool
) -> None:
    home = tmp_path / "home"
    record(home)
    _kit(home)
    folder = home / "sessions" / "timmy"
    said = {} if caps is None else {"caps": caps}
    (folder / "t.jsonl").write_text(
        json.dumps({"schema": "timmy.telemetry/1", "run": "1", "caps": "held"}) + "\n"
        + json.dumps({"run": "1", "n": 1, **said}, separators=(",", ":")) + "\n"
    )  # fmt: skip
    if capped:
        (folder / "budget_own.json").write_text('{"caps": {"tokens_per_day": 5000}}')
    found = {one.code: one for one in check_homes([Place(home)], now=NOW, largest_bytes=LARGEST)}

    told = capped and caps in {"no_way", "unknown_mode"}
    assert ("caps_not_held" in found) is told
    if told:
        assert found["caps_not_held"].severity == "wrong"
        assert found["caps_not_held"].words.startswith("caps are not held here: ")


def test_an_agent_that_still_runs_the_kit_of_before_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    record(home)
    _kit(home)
    finding = next(
        one
        for one in check_homes([Place(home)], now=NOW, largest_bytes=LARGEST)
        if one.code == "kit_not_loaded"
    )

    assert finding.words == (
        f"the last agent that wrote still ran the house kit 1, not {KIT_VERSION}"
    )
    os.utime(home / "sessions" / "timmy" / "s.jsonl", (NOW - 7200, NOW - 7200))
    assert "kit_not_loaded" not in homes(Place(home))


def test_after_an_upgrade_from_0_1_the_end_of_the_grace_is_told_with_its_date(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    record(home)
    _kit(home, upgraded_from="0.1.0", since="2026-11-22T12:00:00Z")
    words = {
        finding.code: finding.words
        for finding in check_homes([Place(home)], now=NOW, largest_bytes=LARGEST)
    }

    assert words["kit_grace"] == (
        "the house kit took the place of 0.1.0: "
        "new kinds of refusal are advice only until 2026-11-29 12:00 UTC"
    )
    assert "kit_grace" not in homes(Place(home), now=NOW + 8 * 86_400)
    _kit(home, upgraded_from=None)
    assert "kit_grace" not in homes(Place(home))


def test_settings_of_hermes_that_nobody_can_read_are_no_wrong_of_the_kit(tmp_path: Path) -> None:
    home = tmp_path / "home"
    record(home)
    hermes_kit.install(hermes_kit.plan_install(home, leave_config=True), now=NOW - 60)
    (home / "config.yaml").write_text("plugins: &p {enabled: [timmy]}\n")
    findings = check_homes([Place(home)], now=NOW, largest_bytes=LARGEST)

    assert codes(findings)["kit_unclear"] == "note"
    assert "wrong" not in codes(findings).values()


def test_a_daemon_of_another_version_is_told(tmp_path: Path) -> None:
    with StateLock(tmp_path):
        status = {"seen_at": NOW, "version": "0.0.9"}
        findings = list(check_daemon(tmp_path, status, now=NOW))
        assert codes(findings) == {"daemon_alive": "fine", "daemon_old": "note"}
        status["version"] = __version__
        assert codes(check_daemon(tmp_path, status, now=NOW)) == {"daemon_alive": "fine"}


def test_a_home_that_got_another_house_is_told_and_so_is_a_house_that_is_set_aside() -> None:
    houses = [
        OwnedHouse(name="ezra", owner="alice", uid=1000, claimed="ezra"),
        OwnedHouse(name="bob-ezra", owner="bob", uid=1001, claimed="ezra"),
        OwnedHouse(name="timmy", owner="bob", uid=1001, claimed="timmy", state="quarantined"),
        OwnedHouse(name="old", state="forgotten"),
    ]

    taken, quarantined, forgotten = check_houses(houses)

    assert (taken.code, taken.severity, taken.place) == ("house_taken", "note", "bob-ezra")
    assert "a home of bob claims to be ezra, which is a house of alice" in taken.words
    assert (quarantined.code, quarantined.place) == ("house_quarantined", "timmy")
    assert forgotten.remedy == "timmyd house release old"
