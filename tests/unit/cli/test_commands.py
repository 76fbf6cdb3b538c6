import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command
from timmyd.cli.app import MODULES
from timmyd.house.seam import Seam
from timmyd.service.lock import StateLock
from timmyd.tools.demo import DemoStep

LOOKING = [
    ("status",),
    ("report",),
    ("report", "--all"),
    ("predict", "read_file", "--house", "ezra"),
    ("predict", "read_file", "--params", '{"path": "a.py"}'),
    ("route", "read_file"),
    ("model", "read"),
    ("explain", "ezra.evidence_threshold"),
    ("explain", "ezra/read_file"),
    ("policy", "show"),
    ("policy", "history"),
    ("check",),
    ("replay",),
    ("db", "check"),
]


def names() -> list[str]:
    return [name for commands in MODULES.values() for name in commands]


@pytest.mark.parametrize("name", names())
def test_every_command_has_help(timmyd: Command, name: str) -> None:
    done = timmyd(name, "--help")

    assert done.status == 0
    assert "usage" in done.out.lower()


def test_the_help_of_the_whole_names_every_command(timmyd: Command) -> None:
    done = timmyd("--help")

    assert done.status == 0
    listed = {
        line.split()[0] for line in done.out.splitlines() if line.startswith("  ") and line.split()
    }
    assert set(names()) <= listed


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_looking_works_without_a_daemon_and_speaks_json(
    timmyd: Command, state: Path, words: tuple[str, ...]
) -> None:
    done = timmyd(*words, "--json", "--state", state)

    assert done.status == (1 if words == ("status",) else 0), done.err
    json.loads(done.out)
    assert done.out.isascii()


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_nothing_printed_can_steer_a_terminal(
    timmyd: Command, state: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    done = timmyd(*words, "--state", state)

    assert done.out
    assert all(c == "\n" or c.isprintable() for c in done.out)


def test_looking_changes_nothing(timmyd: Command, state: Path) -> None:
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}

    for words in LOOKING:
        timmyd(*words, "--state", state)

    after = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    assert {p: b for p, b in after.items() if p.suffix != ".db-shm"}.keys() >= before.keys()
    assert all(after[path] == data for path, data in before.items())


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("report",), 1),
        (("predict", "read_file"), 1),
        (("policy", "show"), 1),
        (("policy", "pin", "ezra.evidence_threshold", "0.7"), 0),
        (("explain",), 2),
        (("nonsense",), 2),
        (("run", "--nonsense"), 2),
        (("run", "--home", "/x=NO HOUSE"), 2),
        (("replay", "--since", "yesterday"), 2),
        (("schema", "nothing"), 2),
        (("report", "--config", "/does/not/exist.toml"), 78),
        (("run", "--config", "/does/not/exist.toml"), 78),
        (("check", "--config", "/does/not/exist.toml"), 78),
        (("enrol", "nobody-of-this-name"), 1),
        (("import", "/does/not/exist"), 1),
        (("import", "/does/not/exist=NO HOUSE"), 2),
        (("db", "restore", "/does/not/exist"), 1),
        (("version",), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_expected_failures_have_their_status_and_no_traceback(
    timmyd: Command, tmp_path: Path, words: tuple[str, ...], status: int
) -> None:
    stateless = {"schema", "enrol", "version", "nonsense"}
    more = () if words[0] in stateless else ("--state", tmp_path / "none")

    done = timmyd(*words, *more)

    assert done.status == status, done.err
    assert "Traceback" not in done.err
    if status:
        assert done.err or done.out


def test_wrong_settings_are_all_named_with_their_places(timmyd: Command, tmp_path: Path) -> None:
    config = tmp_path / "timmyd.toml"
    config.write_text('[schedule]\ntick = "soon"\n[nonsense]\n')

    done = timmyd("report", "--config", config)

    assert done.status == 78
    assert "tick" in done.err
    assert "nonsense" in done.err


def test_a_database_that_only_an_operator_can_mend_keeps_the_service_down(
    timmyd: Command, state: Path
) -> None:
    database = state / "db" / "timmy.db"
    database.write_bytes(b"this is no database at all, " * 500)

    assert timmyd("run", "--once", "--state", state).status == 78
    assert timmyd("report", "--state", state).status == 1


def test_an_order_without_a_daemon_is_carried_out_at_once_and_can_be_taken_back(
    timmyd: Command, state: Path
) -> None:
    key = "ezra.evidence_threshold"
    pinned = timmyd("policy", "pin", key, "0.7", "--state", state, "--json")
    assert json.loads(pinned.out)["carried_out"]
    shown = json.loads(timmyd("explain", key, "--state", state, "--json").out)
    assert (shown["in_force"], shown["pinned"]) == (0.7, True)

    events = json.loads(timmyd("policy", "history", "--state", state, "--json").out)
    assert timmyd("policy", "unpin", key, "--state", state).status == 0
    assert timmyd("policy", "rollback", events[0]["id"], "--state", state).status == 0
    assert timmyd("policy", "rollback", 4711, "--state", state).status == 2
    assert timmyd("policy", "pin", key, "7", "--state", state).status == 2


def test_an_order_beside_a_daemon_waits_for_its_tick(timmyd: Command, state: Path) -> None:
    with StateLock(state):
        done = timmyd("breaker", "force", "ezra", "read_file", "--state", state, "--json")

    assert json.loads(done.out) == {"order": 1, "carried_out": False, "daemon": os.getpid()}
    assert timmyd("breaker", "clear", "ezra", "read_file", "--state", state).status == 0


def test_a_forced_breaker_is_explained_and_counted(timmyd: Command, state: Path) -> None:
    timmyd("breaker", "force", "ezra", "read_file", "--state", state)

    assert json.loads(timmyd("status", "--state", state, "--json").out)["open_breakers"] == 1
    shown = timmyd("explain", "ezra/read_file", "--state", state)
    assert "because the operator said so" in shown.out


def test_import_takes_a_history_once(timmyd: Command, home: Path, tmp_path: Path) -> None:
    where = ("--state", tmp_path / "other", "--json")

    first = json.loads(timmyd("import", f"{home}=ezra", *where).out)
    again = json.loads(timmyd("import", f"{home}=ezra", *where).out)

    assert first["executions"] == 30
    assert again["executions"] == 0


def test_import_of_a_file_that_gives_nothing_fails_with_the_reason(
    timmyd: Command, tmp_path: Path
) -> None:
    path = tmp_path / "empty.json"
    path.write_text('{"sessions": []}')

    ran = timmyd("import", path, "--state", tmp_path / "other")

    assert ran.status == 1
    assert "no_calls" in ran.out


def test_the_kit_is_installed_only_when_somebody_agrees_and_leaves_no_trace(
    timmyd: Command, home: Path
) -> None:
    before = sorted(home.rglob("*"))
    asked = timmyd("hermes", "install", "--home", home)
    assert (asked.status, sorted(home.rglob("*"))) == (2, before)

    assert timmyd("hermes", "install", "--home", home, "--house", "ezra", "--yes").status == 0
    found = json.loads(timmyd("hermes", "status", "--home", home, "--json").out)
    assert [(one["house"], one["enabled"]) for one in found] == [("ezra", True)]

    assert timmyd("hermes", "uninstall", "--home", home, "--yes").status == 0
    assert sorted(home.rglob("*")) == before


def test_a_backup_can_be_restored_but_not_under_a_running_daemon(
    timmyd: Command, state: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    assert timmyd("db", "backup", copy, "--state", state).status == 0
    timmyd("policy", "pin", "ezra.evidence_threshold", "0.7", "--state", state)

    with StateLock(state):
        refused = timmyd("db", "restore", copy, "--state", state)
    assert refused.status == 1
    assert "running" in refused.err

    done = json.loads(timmyd("db", "restore", copy, "--state", state, "--json").out)
    assert Path(done["kept"]).exists()
    assert json.loads(timmyd("policy", "history", "--state", state, "--json").out) == []


@pytest.mark.slow
def test_the_daemon_starts_without_what_only_other_commands_need(
    home: Path, tmp_path: Path
) -> None:
    program = (
        "import sys; sys.argv = ['timmyd', *sys.argv[1:]]\n"
        "from timmyd.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n"
        "    heavy = {'typer', 'rich', 'pydantic', 'timmyd.tools.demo', 'timmyd.tools.importing'} & set(sys.modules)\n"
        "    sys.exit(f'imported {heavy}' if heavy else end.code)\n"
    )
    words = ["run", "--once", "--home", f"{home}=ezra", "--state", str(tmp_path / "s"), "--json"]

    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["executions"] == 30


@pytest.mark.slow
def test_python_m_timmyd_is_the_command(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "timmyd", "status", "--state", str(tmp_path)]

    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "not running" in done.stdout


def test_the_demo_prints_each_step_as_it_comes(
    timmyd: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short:
        def __init__(self, folder: Path) -> None:
            assert folder.is_dir()

        def run(self) -> list[DemoStep]:
            at = "2026-11-22T08:00:00.000Z"
            return [
                DemoStep(at=at, kind="kept", words="ezra.x: 0.8 -> 0.7\x1b[2J"),
                DemoStep(at=at, kind="end", words="done", figures={"complete": True}),
            ]

        def close(self) -> None:
            pass

    monkeypatch.setattr("timmyd.cli.demo.Demo", Short)

    printed = timmyd("demo")
    assert printed.status == 0
    assert "08:00  kept" in printed.out
    assert "\x1b" not in printed.out
    assert [step["kind"] for step in json.loads(timmyd("demo", "--json").out)] == ["kept", "end"]


@pytest.mark.parametrize("module", ["history", "replay", "upkeep"])
def test_long_work_shows_a_bar_on_a_terminal_and_none_elsewhere(
    timmyd: Command,
    home: Path,
    state: Path,
    tmp_path: Path,
    module: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = {
        "history": ("import", f"{home}=ezra"),
        "replay": ("replay",),
        "upkeep": ("db", "backup", str(tmp_path / "copy.db")),
    }[module]
    plain = timmyd(*words, "--state", state)
    monkeypatch.setattr(f"timmyd.cli.{module}.is_terminal", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")

    seen = timmyd(*words, "--state", state)

    assert plain.status == seen.status == 0
    assert "\x1b" not in plain.out
    assert len(seen.out) > len(plain.out)


def test_a_report_can_be_a_page(timmyd: Command, state: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"

    assert timmyd("report", "--html", page, "--state", state).status == 0
    assert "<html" in page.read_text(encoding="utf-8")
    assert timmyd("report", "--html", tmp_path / "no" / "page", "--state", state).status == 1


def test_a_published_file_that_is_none_of_ours_is_no_traceback(
    timmyd: Command, state: Path
) -> None:
    for content in ("{}", "[1, 2]", "torn {", '{"expires_at": 7, "revision": 1}'):
        (state / "policy.json").write_text(content)

        done = timmyd("policy", "show", "--state", state)

        assert done.status == 1
        assert "policy.json" in done.err


def test_status_names_what_fails_and_where(timmyd: Command, home: Path, tmp_path: Path) -> None:
    (home / "sessions" / "session_bad\x1b.json").write_text('{"messages": 7}')
    state = tmp_path / "state"
    timmyd("run", "--once", "--home", f"{home}=ezra", "--state", state)

    done = timmyd("status", "--state", state)

    assert done.status == 1
    assert "failing:" in done.out
    assert "session_bad\\x1b.json" in done.out
    assert "revision 1" in done.out


def test_a_kit_that_is_in_place_is_described(timmyd: Command, home: Path) -> None:
    assert "not installed" in timmyd("hermes", "status", "--home", home).out
    timmyd("hermes", "install", "--home", home, "--yes")

    shown = timmyd("hermes", "status", "--home", home).out

    assert "house timmy, mode intelligent; enabled" in shown
    assert "files of telemetry" in shown
    assert "it does not say how it takes part in tool calls" in shown
    header = (
        '{"schema":"timmy.telemetry/1","run":"1","session_id":"n","kit":"1","seam":"reports"}\n'
    )
    (home / "sessions" / "timmy" / "newest.jsonl").write_text(header)
    assert f"it {Seam.REPORTS.words}" in timmyd("hermes", "status", "--home", home).out
    again = json.loads(timmyd("hermes", "install", "--home", home, "--yes", "--json").out)
    assert again["current"]


def test_a_model_and_a_route_without_evidence_say_how_much_lacks(
    timmyd: Command, state: Path
) -> None:
    assert "calls needed" in timmyd("model", "judge", "--state", state).out
    assert timmyd("explain", "nothing/there", "--state", state).status == 2
    assert timmyd("predict", "x", "--params", "[1]", "--state", state).status == 2
    assert timmyd("predict", "x", "--params", "{", "--state", state).status == 2


def test_the_daemon_keeps_the_page_that_the_settings_name(
    timmyd: Command, home: Path, tmp_path: Path
) -> None:
    settings, page = tmp_path / "timmyd.toml", tmp_path / "report.html"
    settings.write_text(f'[files]\nreport = "{page}"\n')
    done = timmyd(
        "run", "--once", "--home", home, "--config", settings, "--state", tmp_path / "state"
    )

    assert done.status == 0
    assert "read_file" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_demo_that_is_kept_leaves_a_page_and_a_state_that_tell_the_same(
    timmyd: Command, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    said = timmyd("demo", "--keep", kept)
    assert (said.status, f"kept in {kept}" in said.out) == (0, True)
    page = (kept / "report.html").read_text("utf-8")
    assert "timmyd intelligence report" in page
    told = json.loads(timmyd("report", "--all", "--json", "--state", kept / "state").out)
    assert f"{told['ingest']['executions']:,}" in page
    again = timmyd("demo", "--keep", kept)
    assert (again.status, "is there already" in again.err) == (2, True)
