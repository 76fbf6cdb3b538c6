"""timmyd for one user: installed from a wheel, under the user's own systemd, beside the machine's service."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.box import Done
from tests.system.server import PYTHON, Server, session

pytestmark = pytest.mark.system

USER = "carol"
UNIT = f"/home/{USER}/.config/systemd/user/timmyd.service"


class Session:
    """What a user types in a session of their own."""

    def __init__(self, server: Server, user: str) -> None:
        self.server = server
        self.user = user
        self.uid = server.run("id", "-u", user).check().out.strip()
        server.run("systemctl", "start", f"user@{self.uid}.service").check()

    def run(self, command: str, *, timeout_s: float = 120) -> Done:
        """A line of shell."""
        bus = f"XDG_RUNTIME_DIR=/run/user/{self.uid}"
        return self.server.run(
            "sh", "-c", f"export {bus}; {command}", user=self.user, timeout_s=timeout_s
        )

    def install(self, wheel: str = "/wheel/*.whl") -> None:
        """Put timmyd into an environment of the user's own, as pipx does."""
        pip = "~/venv/bin/pip install --quiet --no-index --find-links /wheels --force-reinstall --no-deps"
        self.run(
            f"{PYTHON} -m venv ~/venv && ~/venv/bin/pip install --quiet --no-index --find-links /wheels {wheel} && {pip} {wheel}",
            timeout_s=300,
        ).check()

    def timmyd(self, *words: str) -> Done:
        """A command of timmyd."""
        return self.run(f"~/venv/bin/timmyd {' '.join(words)}")


@pytest.fixture(scope="module")
def wheel(fresh_copy: Path, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """timmyd as it would be on an index."""
    folder = tmp_path_factory.mktemp("wheel")
    folder.chmod(0o755)
    environment = folder / "venv"
    subprocess.run([PYTHON, "-m", "venv", environment], check=True)
    pip = [str(environment / "bin/pip"), "wheel", "--quiet", "--no-deps", "--no-index"]
    pip += ["--find-links", str(wheels), "-w", str(folder), str(fresh_copy)]
    subprocess.run(pip, check=True)
    return folder


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server], wheel: Path) -> Iterator[Server]:
    with make_server("userunit", (wheel, "/wheel"), logins=True) as there:
        there.add_users()
        yield there


@pytest.fixture(scope="module")
def carol(server: Server) -> Session:
    mine = Session(server, USER)
    mine.install()
    return mine


def counted(server: Server, calls: int) -> None:
    """Wait until the user's report has so many."""
    report = "~/venv/bin/timmyd report --all --json"
    server.until(f"{report} | tr -d ' ' | grep -q '\"executions\":{calls}[,}}]'", user=USER)


def test_a_user_installs_it_in_one_line_and_it_counts_and_publishes(
    server: Server, carol: Session
) -> None:
    server.write(USER, "sessions/a.json", session("a", 3))
    said = carol.timmyd("service", "install").check().out
    assert "timmyd runs for you" in said
    assert "cannot be shut off from the network" in said
    assert "loginctl enable-linger carol" in said
    assert "timmyd hermes install" in said
    counted(server, 3)
    server.write(USER, "sessions/b.json", session("b", 4))
    counted(server, 7)
    assert carol.run("test -s ~/.local/state/timmyd/policy.json").status == 0
    told = json.loads(carol.timmyd("service", "status", "--json").check().out)
    assert (told["unit"], told["active"], told["trouble"]) == (UNIT, "active", None)
    assert "revision" in told["says"]
    verified = carol.run(f"systemd-analyze --user verify --man=no {UNIT}")
    assert (verified.status, verified.err) == (0, "")


def test_a_reload_with_wrong_settings_fails_and_with_right_ones_works(carol: Session) -> None:
    carol.run("mkdir -p ~/.config/timmyd && echo 'nonsense = 1' > ~/.config/timmyd/timmyd.toml")
    assert carol.run("systemctl --user reload timmyd").status != 0
    assert carol.run("systemctl --user is-active timmyd").out == "active\n"
    carol.run(
        "echo '[schedule]' > ~/.config/timmyd/timmyd.toml && echo 'tick = \"20s\"' >> ~/.config/timmyd/timmyd.toml"
    )
    carol.run("systemctl --user reload timmyd").check()


def test_again_it_is_brought_up_to_date_and_what_cannot_start_is_put_back(carol: Session) -> None:
    before = carol.run(f"cat {UNIT}").out
    carol.timmyd("service", "install").check()
    assert carol.run(f"cat {UNIT}").out == before
    carol.run("echo 'nonsense = 1' > ~/.config/timmyd/timmyd.toml")
    refused = carol.timmyd("service", "install")
    assert (refused.status, "nonsense" in refused.err) == (1, True)
    carol.run(
        "rm ~/.config/timmyd/timmyd.toml; mv ~/.local/state/timmyd/db ~/db; touch ~/.local/state/timmyd/db"
    )
    failed = carol.timmyd("service", "install")
    assert failed.status == 1
    assert "does not start" in failed.err
    assert carol.run(f"cat {UNIT}").out == before
    carol.run("rm ~/.local/state/timmyd/db; mv ~/db ~/.local/state/timmyd/db")
    carol.timmyd("service", "install").check()
    assert carol.run("systemctl --user is-active timmyd").out == "active\n"


def test_a_home_that_the_machines_service_reads_is_left_to_it(
    server: Server, carol: Session
) -> None:
    server.install().check()
    server.timmyd("enrol", USER).check()
    refused = carol.timmyd("service", "install")
    assert refused.status == 1
    assert "is read by the system's service already" in refused.err
    server.timmyd("unenrol", USER).check()
    carol.timmyd("service", "install").check()


def test_wrong_usage_is_refused_in_words(server: Server, carol: Session) -> None:
    assert "only root" in carol.timmyd("service", "install", "--system").err
    assert "either" in carol.timmyd("service", "install", "--system", "--user").err
    assert "goes with --system" in carol.timmyd("service", "install", "--from", "x").err
    assert "root's is the machine's" in server.timmyd("service", "install", "--user").err
    elsewhere = server.run("~/venv/bin/timmyd service install", user=USER)
    assert elsewhere.status == 1


def test_uninstalled_it_is_gone_and_what_was_learned_stays(carol: Session) -> None:
    assert "stays in" in carol.timmyd("service", "uninstall").check().out
    assert carol.run(f"test -e {UNIT}").status == 1
    assert carol.run("systemctl --user is-active timmyd").out.strip() in {"inactive", "unknown"}
    assert carol.run("test -s ~/.local/state/timmyd/db/timmy.db").status == 0
    assert "not installed" in carol.timmyd("service", "uninstall").check().out
    assert carol.timmyd("service", "status").status == 1


def test_root_installs_the_machines_service_from_the_wheel(server: Server) -> None:
    server.run("systemd/install --uninstall 2>/dev/null; true")
    pip = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels"
    server.run(
        f"{PYTHON} -m venv /root/venv && /root/venv/bin/pip install --quiet --no-index --find-links /wheels /wheel/*.whl",
        timeout_s=300,
    ).check()
    server.run(f"{pip} /root/venv/bin/timmyd service install", timeout_s=300).check()
    assert server.show("timmyd.service", "ActiveState")["ActiveState"] == "active"
    assert "active" in server.run("/root/venv/bin/timmyd service status").check().out
    server.run("/root/venv/bin/timmyd service uninstall").check()
    assert server.run("/root/venv/bin/timmyd service status").status == 1
