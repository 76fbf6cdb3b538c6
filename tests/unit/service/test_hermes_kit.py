"""Installing the house kit: config.yaml changes only by its own lines, and comes back to the byte."""

import json
import os
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from timmyd.house import KIT_VERSION
from timmyd.service.hermes_config import ConfigLayoutError, disabling, enabling, is_enabled
from timmyd.service.hermes_kit import (
    InstallPlan,
    KitError,
    hermes_version,
    homes,
    install,
    plan_install,
    status,
    uninstall,
)

REAL = b"""\
# Hermes Agent configuration
# -------------------------------------------------------------------
model:
  default: "hermes3:8b"      # the small one
  provider: custom
  base_url: http://127.0.0.1:11434/v1

# Tools.
toolsets:
- hermes-cli   # same indent as its key

agent:
  max_turns: 90
  system_prompt: |
    plugins:
      enabled: no
    # not a comment

plugins:
  # what I use
  enabled:
    - disk-cleanup   # weekly
    - 'observability/langfuse'

  # off for now
  disabled:
    - spotify

terminal: {backend: local, cwd: "."}   # flow

display:
    compact:   false
"""

LAYOUTS: dict[str, bytes] = {
    "a real one": REAL,
    "none": b"",
    "comments only": b"# nothing yet\n\n",
    "no plugins": b"model:\n  default: x\n",
    "no end of the last line": b"model:\n  default: x",
    "a list at the depth of its key": b"plugins:\n  enabled:\n  - a\n  - b\nmodel: x\n",
    "a flow list": b"plugins:\n  enabled: [a, 'b']   # two\nmodel: x\n",
    "a flow list with a comma at the end": b"plugins:\n  enabled: [a, ]\n",
    "an empty flow list": b"plugins:\n    enabled: []\n",
    "an empty flow list with room": b"plugins:\n    enabled: [ ]\n",
    "no enabled": b"plugins:\n    disabled: [x]\n    hooks: {}\nmodel: x\n",
    "nothing below plugins": b"plugins:\nmodel: x\n",
    "nothing below enabled": b"plugins:\n  enabled:\nmodel: x\n",
    "windows line ends": b"plugins:\r\n  enabled:\r\n    - a\r\nmodel: x\r\n",
    "a start of the document": b"---\n# head\nplugins:\n  enabled:\n    - a\n",
    "a mark of byte order": b"\xef\xbb\xbfplugins:\n  enabled:\n    - a\n",
    "a mark of byte order and no plugins": b"\xef\xbb\xbfmodel: x\n",
    "quoted keys": b'"plugins":\n  "enabled":\n    - "a"\n',
    "a list that ends without a line end": b"plugins:\n  enabled:\n    - a",
    "comments between and after": b"plugins:\n  enabled:\n    # one\n    - a\n\n    # after\n\n# top\nmodel: x\n",
    "letters beyond ascii": "# grüße 😀\nplugins:\n  enabled: [ä-x]\n".encode().replace(b"\xc3\xa4-x", b"a"),
}  # fmt: skip

BEYOND: dict[str, bytes] = {
    "flow": b"plugins: {enabled: [a]}\n",
    "all flow": b"{plugins: {enabled: []}}\n",
    "an anchor": b"plugins:\n  enabled: &list\n    - a\n",
    "an alias": b"x: &l [a]\nplugins:\n  enabled: *l\n",
    "a merge": b"plugins: *p\n",
    "a nested list": b"plugins:\n  enabled:\n    - [a]\n",
    "objects in the list": b"plugins:\n  enabled:\n    - name: a\n",
    "a flow list over lines": b"plugins:\n  enabled: [a,\n    b]\n",
    "tabs": b"plugins:\n\tenabled:\n",
    "several documents": b"a: 1\n---\nb: 2\n",
    "twice": b"plugins:\n  enabled: [a]\nplugins:\n  enabled: [b]\n",
    "a list at the top": b"- a\n- b\n",
    "a word": b"hello\n",
    "keys that are indented": b"  model: x\n",
    "no text": b"\xff\xfe\x00",
    "switched off": b"plugins:\n  disabled: [timmy]\n",
    "null": b"plugins: ~\nmodel: null\n",
    "a null list": b"plugins:\n  enabled: null\n",
    "text": b"plugins:\n  enabled: timmy, a\n",
}


def _load(data: bytes) -> dict[str, object]:
    found: dict[str, object] | None = YAML(typ="safe", pure=True).load(data.decode())
    return found or {}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / ".hermes"
    path.mkdir()
    return path


def _plan(home: Path, **options: str) -> InstallPlan:
    return plan_install(home, **{"path": "", **options})


@pytest.mark.parametrize("name", LAYOUTS)
def test_only_one_name_is_added_and_taking_it_out_gives_the_same_bytes(
    name: str, home: Path
) -> None:
    before, config = LAYOUTS[name], home / "config.yaml"
    config.write_bytes(before)
    config.chmod(0o640)
    install(_plan(home))
    after = config.read_bytes()

    wanted = _load(before)
    plugins = dict(wanted.get("plugins") or {})  # type: ignore[call-overload]
    plugins["enabled"] = [*(plugins.get("enabled") or []), "timmy"]
    assert _load(after) == {**wanted, "plugins": plugins}
    assert is_enabled(after, "timmy")
    assert config.stat().st_mode & 0o777 == 0o640
    assert uninstall(home) != ()
    assert config.read_bytes() == before
    assert [path.name for path in home.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_line_of_the_user_stays_as_it_was(name: str) -> None:
    before = LAYOUTS[name]
    edit = enabling(before, "timmy")
    assert edit is not None
    after = edit.apply(before)

    assert after.replace(edit.text, b"", 1) == before or edit.undo(after) == before
    assert before.startswith(after[: edit.offset])
    assert after.endswith(before[edit.offset :])


@pytest.mark.parametrize("name", BEYOND)
def test_a_layout_beyond_a_careful_edit_is_refused_and_nothing_is_changed(
    name: str, home: Path
) -> None:
    (home / "config.yaml").write_bytes(BEYOND[name])

    with pytest.raises(ConfigLayoutError, match="hint: add `timmy` to the list"):
        _plan(home)
    assert (home / "config.yaml").read_bytes() == BEYOND[name]
    assert [path.name for path in home.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_after_the_user_changed_the_file_only_our_name_goes(name: str, home: Path) -> None:
    config = home / "config.yaml"
    config.write_bytes(LAYOUTS[name])
    install(_plan(home))
    installed = config.read_bytes()
    bom = b"\xef\xbb\xbf" if installed.startswith(b"\xef\xbb\xbf") else b""
    rest = installed.removeprefix(bom)
    start = b"" if rest.startswith(b"---") else b"# mine\nextra: 1\n"
    config.write_bytes(bom + start + rest + (b"" if rest.endswith(b"\n") else b"\n") + b"# end\n")
    changed = _load(config.read_bytes())
    uninstall(home)

    plugins = dict(changed["plugins"])  # type: ignore[call-overload]
    kept = [item for item in plugins["enabled"] if item != "timmy"]
    found = _load(config.read_bytes())
    assert {k: v for k, v in found.items() if k != "plugins"} == {
        k: v for k, v in changed.items() if k != "plugins"
    }
    left = dict(found.get("plugins") or {})  # type: ignore[call-overload]
    assert (left.get("enabled") or []) == kept
    assert config.read_bytes().endswith(b"# end\n")


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
    (home / "config.yaml").write_bytes(REAL)
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
    assert (home / "config.yaml").read_bytes() == REAL
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
    (home / "config.yaml").write_bytes(REAL)
    plan = _plan(home)
    (home / "config.yaml").write_bytes(REAL + b"x: 1\n")

    with pytest.raises(KitError, match="has just changed"):
        install(plan)
    assert [path.name for path in home.iterdir()] == ["config.yaml"]


def test_a_disk_that_refuses_leaves_everything_as_it_was(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.yaml").write_bytes(REAL)
    plan = _plan(home)

    def refuse(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        install(plan)
    assert (home / "config.yaml").read_bytes() == REAL
    assert not (home / "plugins" / "timmy").exists()
    assert not list(home.glob(".timmy-*"))


def test_a_link_to_the_settings_stays_a_link(home: Path, tmp_path: Path) -> None:
    (tmp_path / "dotfiles.yaml").write_bytes(REAL)
    (home / "config.yaml").symlink_to(tmp_path / "dotfiles.yaml")
    install(_plan(home))
    assert (home / "config.yaml").is_symlink()
    assert is_enabled((tmp_path / "dotfiles.yaml").read_bytes(), "timmy")
    uninstall(home)
    assert (tmp_path / "dotfiles.yaml").read_bytes() == REAL


def test_telemetry_outlives_the_kit(home: Path) -> None:
    install(_plan(home))
    folder = home / "sessions" / "timmy"
    folder.mkdir(parents=True)
    (folder / "s.jsonl").write_text("{}\n")
    os.utime(folder / "s.jsonl", (1e9, 1e9))
    found = status(home, path="")
    assert (found.telemetry_files, found.last_at) == (1, 1e9)
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


def test_disabling_what_is_not_there_changes_nothing() -> None:
    assert disabling(REAL, "timmy") == REAL
    assert disabling(b"", "timmy") == b""
