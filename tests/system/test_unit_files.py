"""The files that are installed, looked at without booting anything."""

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from timmyd.cli.app import MODULES
from timmyd.config import sample, schema

CHECKOUT = Path(__file__).resolve().parents[2]
SYSTEMD = CHECKOUT / "systemd"
EXPOSURE_MOST = 0.6
Tool = Callable[[str, str], str]

pytestmark = pytest.mark.system


def ran(*argv: str | Path, **env: str) -> tuple[int, str]:
    done = subprocess.run(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=os.environ | env,
    )
    return done.returncode, done.stdout


def exposure(tool: str, *units: Path) -> float:
    _status, said = ran(tool, "security", "--offline=true", "--no-pager", *units)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found is not None, said
    return float(found[1])


def test_the_unit_is_exposed_at_most_as_much_as_promised(needs_tool: Tool) -> None:
    tool = needs_tool("systemd-analyze", "systemd")

    assert exposure(tool, SYSTEMD / "timmyd.service") <= EXPOSURE_MOST


def test_the_fallback_is_exposed_a_little_more(needs_tool: Tool, tmp_path: Path) -> None:
    tool = needs_tool("systemd-analyze", "systemd")
    fallback = SYSTEMD / "all-homes.conf"
    unit = tmp_path / "timmyd.service"
    unit.write_text((SYSTEMD / "timmyd.service").read_text() + fallback.read_text())

    assert exposure(tool, unit) <= EXPOSURE_MOST + 0.1


def test_each_directive_that_costs_something_says_why() -> None:
    lines = (SYSTEMD / "timmyd.service").read_text().splitlines()
    for costly in (
        "Type=notify",
        "User=timmyd",
        "AmbientCapabilities=",
        "StateDirectoryMode=",
        "ProtectHome=",
        "PrivateNetwork=",
        "ProtectProc=",
        "ProcSubset=",
        "ProtectClock=",
        "RestrictAddressFamilies=",
        "SystemCallFilter=@",
        "SystemCallErrorNumber=",
        "MemoryMax=",
        "TimeoutStopSec=",
        "WatchdogSec=",
        "RestartPreventExitStatus=",
    ):
        (at,) = [n for n, line in enumerate(lines) if line.startswith(costly)]
        assert lines[at - 1].startswith("#"), f"{costly} has no reason"


def test_the_capability_is_never_shipped_without_the_filter_that_tames_it() -> None:
    unit = (SYSTEMD / "timmyd.service").read_text()

    assert "CAP_DAC_READ_SEARCH" in unit
    assert re.search(r"^SystemCallFilter=@system-service$", unit, re.MULTILINE)
    assert re.search(r"^SystemCallFilter=~@privileged ", unit, re.MULTILINE)


@pytest.mark.parametrize("script", ["install"])
def test_scripts_are_shell_that_parses(script: str) -> None:
    assert ran("sh", "-n", SYSTEMD / script) == (0, "")


def test_the_rebind_helper_compiles_and_needs_only_the_standard_library() -> None:
    source = (SYSTEMD / "timmyd-rebind").read_text()
    compile(source, "timmyd-rebind", "exec")

    imports = set(re.findall(r"^ *(?:import|from) (\w+)", source, re.MULTILINE))
    assert imports <= {"ctypes", "errno", "marshal", "os", "pwd", "stat", "sys", "tomllib"}


def test_a_dry_run_of_the_installer_says_every_step_and_does_none(needs_tool: Tool) -> None:
    needs_tool("systemctl", "systemd")
    before = Path("/opt/timmyd").exists()

    for options in ([], ["--uninstall"], ["--uninstall", "--purge"]):
        status, said = ran(SYSTEMD / "install", "--dry-run", *options)
        assert status == 0, said
        assert "would run:" in said
        not_steps = [
            line for line in said.splitlines() if re.match(r"(rm|mv|cp|systemctl|userdel)\b", line)
        ]
        assert not_steps == []

    assert Path("/opt/timmyd").exists() == before


def test_purging_without_removing_is_wrong_usage() -> None:
    status, said = ran(SYSTEMD / "install", "--dry-run", "--purge")

    assert status == 2
    assert "usage:" in said


def test_the_sample_of_the_settings_is_in_step_with_their_definition() -> None:
    assert (CHECKOUT / "config" / "timmyd.toml").read_text() == sample()


def test_the_manual_page_of_the_settings_is_in_step_with_their_definition() -> None:
    make = runpy.run_path(str(SYSTEMD / "man" / "make"))

    page = make["page"](schema())

    assert (SYSTEMD / "man" / "timmyd.toml.5").read_text() == page, "run systemd/man/make"


def test_the_manual_page_has_every_command_as_its_own_help_tells_it() -> None:
    make = runpy.run_path(str(SYSTEMD / "man" / "make"))
    page = (SYSTEMD / "man" / "timmyd.8").read_text()

    assert make["with_commands"](page) == page, "run systemd/man/make"
    for names in MODULES.values():
        for name in names:
            assert re.search(rf"^\.B {name}\b", page, re.MULTILINE), name


@pytest.mark.parametrize("page", ["timmyd.8", "timmyd.toml.5"])
def test_the_manual_pages_have_no_errors(page: str, needs_tool: Tool) -> None:
    tool = needs_tool("mandoc", "mandoc")

    status, said = ran(tool, "-T", "lint", "-W", "warning", SYSTEMD / "man" / page)

    assert (status, said) == (0, "")


def test_the_alert_rules_are_valid_and_fire_when_they_should(
    needs_tool: Tool, tmp_path: Path
) -> None:
    tool = needs_tool("promtool", "prometheus")
    rules = SYSTEMD / "timmyd-alerts.yml"
    cases = tmp_path / "cases.yml"
    template = (Path(__file__).parent / "alerts.test.yml").read_text()
    cases.write_text(template.replace("{{rules}}", str(rules)))

    for said in (ran(tool, "check", "rules", rules), ran(tool, "test", "rules", cases)):
        assert said[0] == 0, said[1]


def test_every_metric_of_an_alert_exists() -> None:
    metrics = (CHECKOUT / "timmyd" / "service" / "metrics.py").read_text()
    named = set(re.findall(r"timmy_(\w+)", (SYSTEMD / "timmyd-alerts.yml").read_text()))

    assert named
    for name in named:
        # the client adds the suffixes of counters and infos itself
        stem = re.sub("_total$|_info$", "", name)
        assert re.search(rf'"(timmy_)?{stem}"', metrics), name


def test_where_nothing_can_be_booted_the_tests_are_skipped_with_the_reason_or_fail_if_they_must() -> (
    None
):
    argv = ["python", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    test = f"{Path(__file__).parent / 'test_install.py'}"
    env = {"PATH": f"{Path(sys.executable).parent}:/nowhere"}

    status, said = ran(*argv, test, **env, TIMMY_NO_SKIP="")
    assert status == 0, said
    assert "missing" in said or "not root" in said

    status, said = ran(*argv, test, **env, TIMMY_NO_SKIP="1")
    assert status == 1, said
    assert "TIMMY_NO_SKIP=1, and" in said
