"""Installing the house kit: whole or not at all, as the home's owner, and undone without a trace."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from timmyd.house import KIT_VERSION
from timmyd.service import kit_files
from timmyd.service.hermes_config import ConfigLayoutError, is_enabled
from timmyd.service.hermes_kit import (
    InstallPlan,
    install as install_at,
    plan_install,
    uninstall,
)
from timmyd.service.hermes_version import hermes_version
from timmyd.service.kit_files import KitError
from timmyd.service.kit_status import KitStatus, homes, status

NOW = 1_790_000_000.0
DAY_S = 86_400.0
CONFIG = b"""\
# Hermes Agent configuration
model:
  default: "hermes3:8b"      # the small one
plugins:
  # what I use
  enabled:
    - disk-cleanup   # weekly
terminal: {backend: local, cwd: "."}   # flow
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / ".hermes"
    path.mkdir()
    return path


def _plan(home: Path, **options: str) -> InstallPlan:
    return plan_install(home, path="", house=options.get("house"), mode=options.get("mode"))


def install(plan: InstallPlan, *, now: float = NOW) -> KitStatus:
    return install_at(plan, now=now)


def test_installing_and_taking_out_leaves_every_byte_and_the_mode(home: Path) -> None:
    config = home / "config.yaml"
    config.write_bytes(CONFIG)
    config.chmod(0o640)
    install(_plan(home))
    assert is_enabled(config.read_bytes(), "timmy")
    assert config.stat().st_mode & 0o777 == 0o640
    done = uninstall(home)

    assert done == (f"took timmy out of {config}", f"removed {home / 'plugins' / 'timmy'}")
    assert config.read_bytes() == CONFIG
    assert config.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in home.iterdir()] == ["config.yaml"]


def test_a_layout_beyond_a_careful_edit_changes_nothing_and_there_is_a_way_out(home: Path) -> None:
    config = b"plugins: &p\n  enabled: [a]\nx: *p\n"
    (home / "config.yaml").write_bytes(config)
    with pytest.raises(ConfigLayoutError, match="--leave-config"):
        _plan(home)
    assert [path.name for path in home.iterdir()] == ["config.yaml"]
    found = install(plan_install(home, path="", leave_config=True))

    assert (found.kit, found.enabled) == (KIT_VERSION, None)
    assert found.trouble == "config.yaml line 1: found `plugins` with an anchor, an alias or a tag"
    done = uninstall(home)
    assert done[0].startswith(f"left {home / 'config.yaml'} as it is (config.yaml line 1: found")
    assert (home / "config.yaml").read_bytes() == config
    assert not (home / "plugins").exists()


def test_a_plugin_that_the_user_enables_later_is_taken_out_by_name(home: Path) -> None:
    plan = plan_install(home, path="", leave_config=True)
    assert plan.changes[-1] == "enable it afterwards: hermes plugins enable timmy"
    assert install(plan).enabled is False
    (home / "config.yaml").write_bytes(b"plugins:\n  enabled:\n    - timmy\n")

    assert install(_plan(home)).enabled
    assert uninstall(home)[0] == f"{home / 'config.yaml'} still names timmy: plugins.enabled"


def test_a_home_without_settings_gets_a_file_and_loses_it_again(home: Path) -> None:
    plan = _plan(home)
    assert plan.changes[-1] == f"create {home / 'config.yaml'}: plugins: /   enabled: /     - timmy"
    install(plan)
    assert (home / "config.yaml").read_text() == "plugins:\n  enabled:\n    - timmy\n"
    uninstall(home)

    assert list(home.iterdir()) == []


def test_the_kit_that_is_installed_is_whole_and_set(home: Path) -> None:
    found = install(_plan(home, house="ezra", mode="simple"))
    folder = home / "plugins" / "timmy"

    assert (found.kit, found.current, found.enabled) == (KIT_VERSION, True, True)
    assert (found.house, found.mode) == ("ezra", "simple")
    assert json.loads((folder / "settings.json").read_text())["house"] == "ezra"
    assert {"__init__.py", "plugin.yaml", "hermes.py", "reader.py"} <= {
        path.name for path in folder.iterdir()
    }
    assert not (folder / "__pycache__").exists()


def test_installing_again_replaces_the_kit_keeps_what_is_set_and_is_still_undone(
    home: Path,
) -> None:
    (home / "config.yaml").write_bytes(CONFIG)
    install(_plan(home, house="ezra"))
    folder = home / "plugins" / "timmy"
    (folder / "left_over.py").write_text("")
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "keep_days": 3}))
    again = _plan(home)
    assert len(again.changes) == 2
    found = install(again)

    assert found.house == "ezra"
    assert json.loads((folder / "settings.json").read_text())["keep_days"] == 3
    assert not (folder / "left_over.py").exists()
    uninstall(home)
    assert (home / "config.yaml").read_bytes() == CONFIG
    assert [path.name for path in home.iterdir()] == ["config.yaml"]


def test_what_was_enabled_and_there_before_stays(home: Path) -> None:
    config = b"plugins:\n  enabled: [timmy]\n"
    (home / "config.yaml").write_bytes(config)
    (home / "plugins" / "other").mkdir(parents=True)
    install(_plan(home))
    assert (home / "config.yaml").read_bytes() == config
    uninstall(home)

    assert (home / "config.yaml").read_bytes() == config
    assert (home / "plugins" / "other").is_dir()


def test_a_foreign_plugin_of_this_name_is_left_alone(home: Path) -> None:
    folder = home / "plugins" / "timmy"
    folder.mkdir(parents=True)
    (folder / "plugin.yaml").write_text("name: timmy\n")

    with pytest.raises(KitError, match="was not put there by timmyd"):
        _plan(home)
    with pytest.raises(KitError, match="was not put there by timmyd"):
        uninstall(home)
    assert (folder / "plugin.yaml").exists()


def test_a_plan_that_is_out_of_date_changes_nothing(home: Path) -> None:
    (home / "config.yaml").write_bytes(CONFIG)
    plan = _plan(home)
    (home / "config.yaml").write_bytes(CONFIG + b"x: 1\n")

    with pytest.raises(KitError, match="has just changed"):
        install(plan)
    assert [path.name for path in home.iterdir()] == ["config.yaml"]


def test_a_disk_that_refuses_leaves_everything_as_it_was(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.yaml").write_bytes(CONFIG)
    plan = _plan(home)

    def refuse(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        install(plan)
    assert (home / "config.yaml").read_bytes() == CONFIG
    assert not (home / "plugins" / "timmy").exists()
    assert not list(home.glob(".timmy-*"))


def test_a_link_to_the_settings_stays_a_link(home: Path, tmp_path: Path) -> None:
    (tmp_path / "dotfiles.yaml").write_bytes(CONFIG)
    (home / "config.yaml").symlink_to(tmp_path / "dotfiles.yaml")
    install(_plan(home))
    assert (home / "config.yaml").is_symlink()
    assert is_enabled((tmp_path / "dotfiles.yaml").read_bytes(), "timmy")
    uninstall(home)
    assert (tmp_path / "dotfiles.yaml").read_bytes() == CONFIG


def test_telemetry_outlives_the_kit(home: Path) -> None:
    install(_plan(home))
    folder = home / "sessions" / "timmy"
    folder.mkdir(parents=True)
    (folder / "s.jsonl").write_text("{}\n")
    os.utime(folder / "s.jsonl", (1e9, 1e9))
    found = status(home, path="")
    assert (found.written.files, found.written.last_at) == (1, 1e9)
    uninstall(home)

    assert (folder / "s.jsonl").exists()
    assert uninstall(home) == ()
    assert status(home, path="").kit is None


@pytest.mark.parametrize(("house", "mode"), [("No!", "simple"), ("ezra", "brave")])
def test_a_wrong_house_or_mode_is_refused(home: Path, house: str, mode: str) -> None:
    with pytest.raises(KitError):
        _plan(home, house=house, mode=mode)


def test_profiles_are_homes_of_their_own(home: Path) -> None:
    for name in ("ezra", "bezalel"):
        (home / "profiles" / name).mkdir(parents=True)
    found = homes(home)

    assert [path.name for path in found] == [".hermes", "bezalel", "ezra"]
    assert install(_plan(found[2])).house == "ezra"
    assert status(found[0], path="").kit is None
    with pytest.raises(KitError, match="is no directory"):
        _plan(home / "profiles" / "nobody")


def test_the_version_of_hermes_is_found_without_running_it(home: Path, tmp_path: Path) -> None:
    assert hermes_version(home, path="") is None
    environment = tmp_path / "venv"
    (environment / "bin").mkdir(parents=True)
    site = environment / "lib" / "python3.11" / "site-packages"
    (site / "hermes_agent-0.19.0.dist-info").mkdir(parents=True)
    script = tmp_path / "bin" / "hermes"
    script.parent.mkdir()
    script.write_text(f"#!{environment / 'bin' / 'python'}\n")
    script.chmod(0o755)
    assert hermes_version(home, path=str(script.parent)) == "0.19.0"
    (home / "hermes-agent").mkdir()
    (home / "hermes-agent" / "pyproject.toml").write_text('[project]\nversion = "0.12.1"\n')
    assert hermes_version(home / "profiles" / "ezra", path="") == "0.12.1"
    with pytest.raises(KitError, match=r"Hermes 0\.12\.1 has no plugins"):
        _plan(home)


def test_what_hermes_still_says_of_the_kit_is_told(home: Path) -> None:
    install(_plan(home))
    rewritten = b"plugins:\n  enabled: []\n  disabled: [timmy]\n  entries:\n    timmy: {x: no}\n"
    (home / "config.yaml").write_bytes(rewritten)
    done = uninstall(home)

    assert done[:2] == tuple(
        f"{home / 'config.yaml'} still names timmy: {place}"
        for place in ("plugins.disabled", "plugins.entries.timmy")
    )
    assert (home / "config.yaml").read_bytes() == rewritten


def test_a_link_to_nothing_is_said_and_nothing_is_made_behind_it(
    home: Path, tmp_path: Path
) -> None:
    (home / "config.yaml").symlink_to(tmp_path / "dotfiles" / "config.yaml")
    with pytest.raises(KitError, match=r"config\.yaml is a link to .*, which is not there"):
        _plan(home)
    assert status(home, path="").trouble.endswith("which is not there")
    assert [path.name for path in home.iterdir()] == ["config.yaml"]
    install(plan_install(home, path="", leave_config=True))

    assert "which is not there" in uninstall(home)[0]
    assert not (tmp_path / "dotfiles").exists()


def test_a_loop_a_pipe_and_a_folder_are_no_settings(home: Path) -> None:
    config = home / "config.yaml"
    config.symlink_to(config)
    with pytest.raises(KitError, match="cannot be read"):
        _plan(home)
    config.unlink()
    os.mkfifo(config)
    with pytest.raises(KitError, match="cannot be read: is not a regular file"):
        _plan(home)
    config.unlink()
    config.mkdir()
    with pytest.raises(KitError, match="cannot be read"):
        _plan(home)


def test_another_name_of_the_settings_is_said_and_keeps_its_text(
    home: Path, tmp_path: Path
) -> None:
    (home / "config.yaml").write_bytes(CONFIG)
    (tmp_path / "backup.yaml").hardlink_to(home / "config.yaml")
    plan = _plan(home)
    assert plan.changes[-1] == "config.yaml has 2 names (hard links): the others keep the old text"
    install(plan)

    assert (tmp_path / "backup.yaml").read_bytes() == CONFIG
    assert is_enabled((home / "config.yaml").read_bytes(), "timmy")


def test_a_kit_that_is_a_link_is_left_alone(home: Path, tmp_path: Path) -> None:
    install(_plan(home))
    shutil.move(home / "plugins" / "timmy", tmp_path / "checkout")
    (home / "plugins" / "timmy").symlink_to(tmp_path / "checkout")
    with pytest.raises(KitError, match="is a link"):
        _plan(home)
    with pytest.raises(KitError, match="is a link"):
        uninstall(home)

    assert (tmp_path / "checkout" / "plugin.yaml").exists()


def _old_kit(home: Path, version: str) -> Path:
    """A kit as that version left it, with the record that 0.1 wrote."""
    install(_plan(home, house="ezra", mode="sovereign"))
    folder = home / "plugins" / "timmy"
    record = json.loads((folder / "installed.json").read_text())
    old = {"kit": version, **{k: record[k] for k in ("made_plugins", "edit", "made_config")}}
    del old["edit"]["made"]
    (folder / "installed.json").write_text(json.dumps(old))
    (folder / "old.py").write_text("")
    return folder


def test_a_kit_of_0_1_is_upgraded_in_place_keeps_what_is_set_and_says_since_when(
    home: Path,
) -> None:
    (home / "config.yaml").write_bytes(CONFIG)
    folder = _old_kit(home, "0.0.9")
    assert status(home, path="").kit == "0.0.9"
    assert not status(home, path="").current
    plan = _plan(home)
    assert plan.changes[0].endswith(" in place of 0.0.9")
    found = install(plan)

    assert (found.kit, found.house, found.mode) == (KIT_VERSION, "ezra", "sovereign")
    assert found.enabled
    assert not (folder / "old.py").exists()
    record = json.loads((folder / "installed.json").read_text())
    assert record["version"] == KIT_VERSION
    assert record["since"] == "2026-09-21T14:13:20.000Z"
    assert record["upgraded_from"] == "0.0.9"
    assert found.grace_until == NOW + 7 * DAY_S
    uninstall(home)
    assert (home / "config.yaml").read_bytes() == CONFIG
    assert [path.name for path in home.iterdir()] == ["config.yaml"]


def test_a_fresh_kit_took_no_ones_place_and_installing_again_does_not_change_since_when(
    home: Path,
) -> None:
    first = install(_plan(home))
    again = install(_plan(home), now=NOW + DAY_S)

    assert (first.upgraded_from, first.grace_until) == (None, None)
    assert (again.since, again.upgraded_from) == (first.since, None)


@pytest.mark.parametrize(("days", "kept"), [(1.0, True), (8.0, False)])
def test_an_upgrade_soon_after_an_upgrade_counts_from_the_first(
    home: Path, days: float, kept: bool
) -> None:
    folder = _old_kit(home, "0.0.9")
    first = install(_plan(home))
    record = json.loads((folder / "installed.json").read_text())
    (folder / "installed.json").write_text(json.dumps({**record, "version": "0.0.10"}))
    second = install(_plan(home), now=NOW + days * DAY_S)

    assert (second.since == first.since) is kept
    assert second.upgraded_from == ("0.0.9" if kept else "0.0.10")


# For each step a child is killed at its n-th change of the disk; the last one comes to its end.
KILLER = """
import os, shutil, sys
from pathlib import Path
from timmyd.service import kit_files
from timmyd.service.hermes_kit import install, plan_install
home, now, exchange = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "True"
changes = {"os.rename", "os.rmdir", "os.mkdir", "shutil.rmtree", "ctypes.dlsym"}
if not exchange:
    kit_files._exchange = lambda one, other: False
for step in range(200):
    copy = home.with_name(f"copy{step:03}")
    shutil.copytree(home, copy)
    child = os.fork()
    if child == 0:
        left = step
        def before_each(event, args):
            global left
            if event in changes:
                left -= 1
                if left < 0:
                    os._exit(9)
        plan = plan_install(copy, path="")
        sys.addaudithook(before_each)
        install(plan, now=now)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
"""


@pytest.mark.slow
@pytest.mark.parametrize("exchange", [True, False])
def test_a_kill_at_any_step_of_an_upgrade_leaves_a_whole_kit_or_one_that_comes_back(
    home: Path, tmp_path: Path, exchange: bool
) -> None:
    (home / "config.yaml").write_bytes(CONFIG)
    _old_kit(home, "0.0.9")
    (home / "config.yaml").write_bytes(CONFIG)
    command = [sys.executable, "-c", KILLER, str(home), str(NOW), str(exchange)]
    subprocess.run(command, check=True, timeout=60)
    copies = sorted(tmp_path.glob("copy*"))
    assert len(copies) > 5
    found: set[str | None] = set()
    for copy in copies:
        folder = copy / "plugins" / "timmy"
        version = status(copy, path="").kit
        found.add(version)
        assert (folder / "old.py").exists() is (version == "0.0.9")
        if version is not None:
            assert (folder / "hermes.py").exists()
        after = install(_plan(copy))
        assert (after.kit, after.house, after.mode) == (KIT_VERSION, "ezra", "sovereign")
        assert after.enabled
        assert sorted(path.name for path in copy.iterdir()) == ["config.yaml", "plugins"]
        uninstall(copy)
        assert (copy / "config.yaml").read_bytes() == CONFIG
    assert found == {"0.0.9", KIT_VERSION} | (set() if exchange else {None})


def test_a_disk_that_refuses_an_upgrade_leaves_the_old_kit(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.yaml").write_bytes(CONFIG)
    folder = _old_kit(home, "0.0.9")
    (home / "config.yaml").write_bytes(CONFIG)
    plan = _plan(home)

    def refuse(_home: Path, _data: bytes, *, before: bytes | None) -> None:
        assert before == CONFIG
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("timmyd.service.hermes_kit.write_config", refuse)
    with pytest.raises(OSError, match="Read-only"):
        install(plan)
    assert (folder / "old.py").exists()
    assert status(home, path="").kit == "0.0.9"
    assert sorted(path.name for path in home.iterdir()) == ["config.yaml", "plugins"]


def test_two_installations_do_not_meet(home: Path) -> None:
    plan = _plan(home)
    with kit_files.alone(home), pytest.raises(KitError, match="another installation is at work"):
        install(plan)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_root_acts_as_the_owner_of_the_home_whatever_links_they_laid(tmp_path: Path) -> None:
    home, other = Path("/tmp") / f"timmyd-{os.getpid()}", tmp_path / "secret.yaml"
    try:
        home.mkdir()
        os.chown(home, 12_345, 12_345)
        other.write_bytes(b"model: x\n")
        install(_plan(home))
        assert {path.stat().st_uid for path in home.rglob("*")} == {12_345}
        uninstall(home)
        (home / "config.yaml").symlink_to(other)
        with pytest.raises(KitError, match="cannot be read: Permission denied"):
            _plan(home)
        assert os.geteuid() == 0
        assert other.read_bytes() == b"model: x\n"
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_the_newest_header_tells_which_kit_wrote_last(home: Path) -> None:
    folder = home / "sessions" / "timmy"
    folder.mkdir(parents=True)
    header = '{"schema":"timmy.telemetry/1","run":"%s","kit":"%s","seam":"%s"}\n'
    (folder / "a.jsonl").write_text(header % (1, "0.0.1", "hooks"))
    os.utime(folder / "a.jsonl", (1e9, 1e9))
    lines = '{"run":"2","n":1}\n' * 20_000
    (folder / "b.jsonl").write_text(header % (2, "0.0.2", "hooks") + lines)
    assert status(home, path="").written.kit == "0.0.2"
    with (folder / "b.jsonl").open("a") as file:
        file.write(header % (3, "0.0.3", "middleware") + '{"run":"3","n":1}\n{"schema":"')
    found = status(home, path="").written

    assert (found.files, found.kit, found.seam) == (2, "0.0.3", "middleware")


def test_a_kit_whose_folder_is_gone_already_is_said_where_hermes_still_names_it(home: Path) -> None:
    install(_plan(home))
    shutil.rmtree(home / "plugins")

    assert uninstall(home) == (f"{home / 'config.yaml'} still names timmy: plugins.enabled",)
