"""A home that others damage or write to meanwhile: nothing is lost, what is wrong is told, and is mended."""

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest

from timmyd.service.hermes_kit import InstallPlan, install as install_at, plan_install, uninstall
from timmyd.service.kit_files import KitError
from timmyd.service.kit_status import KitStatus, is_newer, status

NOW = 1_790_000_000.0
CONFIG = b"model: x\nplugins:\n  # what I use\n  enabled:\n    - disk-cleanup   # weekly\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / ".hermes"
    path.mkdir()
    return path


def _plan(home: Path, house: str | None = None) -> InstallPlan:
    return plan_install(home, path="", house=house)


def install(plan: InstallPlan) -> KitStatus:
    return install_at(plan, now=NOW)


@pytest.mark.parametrize("exists", [True, False])
def test_what_hermes_writes_while_the_kit_is_copied_is_not_lost(
    home: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    config, theirs = home / "config.yaml", CONFIG + b"new: 1\n"
    if exists:
        config.write_bytes(CONFIG)
    plan = _plan(home)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _fd: config.write_bytes(theirs))
        with pytest.raises(KitError, match=r"config\.yaml has just changed\n  hint: run the"):
            install(plan)
    assert config.read_bytes() == theirs
    assert [path.name for path in home.iterdir()] == ["config.yaml"]

    install(_plan(home))
    rewritten = config.read_bytes() + b"newer: 1\n"
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _fd: config.write_bytes(rewritten))
        done = uninstall(home)
    assert done[0].endswith("(config.yaml has just changed): take timmy out yourself")
    assert config.read_bytes() == rewritten


@pytest.mark.parametrize(
    "edit",
    [
        {}, [1], "x", {"offset": "x", "text": "y"}, {"offset": -5, "text": "    - timmy\n"}, {"offset": 3, "text": None},
        {"offset": 1e300, "text": "a"}, {"offset": 0, "text": "\ud800", "made": "all"}, {"offset": 1 << 80, "text": "a"},
    ],
)  # fmt: skip
def test_a_record_that_somebody_damaged_still_undoes_what_was_done(
    home: Path, edit: object
) -> None:
    (home / "config.yaml").write_bytes(CONFIG)
    install(_plan(home))
    path = home / "plugins" / "timmy" / "installed.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "edit": edit}))
    assert status(home, path="").enabled
    uninstall(home)

    assert (home / "config.yaml").read_bytes() == CONFIG
    assert [path.name for path in home.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("damage", ["gone", "cut", "link", "longer"])
def test_a_kit_that_was_copied_by_half_is_told_and_mended(home: Path, damage: str) -> None:
    (home / "config.yaml").write_bytes(CONFIG)
    assert not install(_plan(home, house="ezra")).damaged
    file = home / "plugins" / "timmy" / "hermes.py"
    data = file.read_bytes()
    file.unlink()
    if damage == "link":
        file.symlink_to(home / "plugins")
    elif damage != "gone":
        file.write_bytes(data[:1000] if damage == "cut" else data + b"x = 1\n")
    assert status(home, path="").damaged
    found = install(_plan(home))

    assert (found.damaged, found.house) == (False, "ezra")
    assert file.read_bytes() == data
    uninstall(home)
    assert (home / "config.yaml").read_bytes() == CONFIG


def test_a_newer_kit_is_told_from_an_older_one_and_gives_way_without_grace(home: Path) -> None:
    install(_plan(home))
    path = home / "plugins" / "timmy" / "installed.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": "99.0"}))
    found = status(home, path="")
    assert (found.current, found.damaged, is_newer(found)) == (False, False, True)
    plan = _plan(home)
    assert plan.changes[0].endswith(" in place of 99.0")
    after = install(plan)

    assert (after.current, after.upgraded_from, after.grace_until) == (True, "99.0", None)
    assert not is_newer(after)


@pytest.mark.parametrize("kind", ["file", "link"])
def test_plugins_that_are_no_folder_are_told_before_anything_is_done(home: Path, kind: str) -> None:
    if kind == "file":
        (home / "plugins").write_text("")
    else:
        (home / "plugins").symlink_to(home / "nowhere")
    with pytest.raises(KitError, match="plugins is no folder"):
        _plan(home)

    assert [path.name for path in home.iterdir()] == ["plugins"]
    assert uninstall(home) == ()


def test_a_disk_that_takes_no_settings_is_told_with_their_name(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.yaml").write_bytes(CONFIG)
    plan = _plan(home)

    def refuse(**_: object) -> tuple[int, str]:
        raise OSError(errno.EROFS, "Read-only file system", "/nobody/knows")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(OSError, match="Read-only") as refused:
        install(plan)

    assert refused.value.filename == str(home / "config.yaml")
    assert [path.name for path in home.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b"plugins:\n  enabled: [a]\n", "timmy, in the list plugins.enabled"),
        (b"plugins:\n  enabled:\n    - a\n", "timmy, in the list plugins.enabled"),
        (b"plugins:\n  enabled: null\n", "timmy, in the list plugins.enabled"),
        (b"plugins: {disabled: [b]}\n", "enabled: [timmy]"),
        (b"plugins: ~\n", "{enabled: [timmy]}"),
        (b"model: x\n", "plugins: /   enabled: /     - timmy"),
    ],
)
def test_what_goes_into_the_settings_is_told_before(home: Path, config: bytes, words: str) -> None:
    (home / "config.yaml").write_bytes(config)

    assert _plan(home).changes[-1] == f"add to {home / 'config.yaml'}: {words}"
