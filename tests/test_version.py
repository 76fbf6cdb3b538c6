"""The version stands in one place, `timmyd/house/plugin.yaml`, and everything else derives from it."""

import re
import subprocess
import tomllib
from pathlib import Path

import timmyd
from timmyd.house import KIT_VERSION

ROOT = Path(__file__).parents[1]
ONE_PLACE = "timmyd/house/plugin.yaml"
MAY_NAME_IT = {ONE_PLACE, "README.md"}


def test_kit_package_and_wheel_have_one_version() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["version"]
    found = re.search(wheel["pattern"], (ROOT / wheel["path"]).read_text(), re.MULTILINE)

    assert wheel["path"] == ONE_PLACE
    assert found is not None
    assert found["version"] == KIT_VERSION == timmyd.__version__


def test_nothing_else_names_it_but_the_list_of_changes() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "timmyd", "systemd", "config", "pyproject.toml", "README.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    naming = {
        name
        for name in listed
        if timmyd.__version__ in (ROOT / name).read_text(encoding="utf-8", errors="replace")
    }

    assert naming == MAY_NAME_IT
    changes = (ROOT / "README.md").read_text().partition("## Changes")[2]
    assert changes.strip().startswith(f"{timmyd.__version__}:")


def test_the_man_pages_are_of_this_version() -> None:
    short = timmyd.__version__.rpartition(".")[0]
    for page in ("timmyd.8", "timmyd.toml.5"):
        assert f'"timmyd {short}"' in (ROOT / "systemd" / "man" / page).read_text(), page
