"""A box with users, on which timmyd is installed as an operator would do it."""

import json
import select
import time
from datetime import datetime, timedelta
from typing import Any

from tests.system.box import Box, Done

PYTHON = "/usr/bin/python3"
INSTALLED_TO = "/etc /opt /usr /var"
CHANGING = (
    *("/var/tmp", "/var/log", "/var/cache", "/var/lib/systemd", "/var/spool/mail", "/var/mail"),
    *("/etc/systemd/system/*.wants", "'/etc/*-'", "'*/__pycache__'"),
)
"""Where an installer could leave something, and what other programs write there all the time."""

USERS = ("alice", "bob", "carol", "dave")

# Written as Hermes writes: a temporary file in the same folder, fsync, rename.
WRITER = """
import json, os, sys, tempfile
where, text = sys.argv[1], sys.stdin.buffer.read()
os.makedirs(os.path.dirname(where), exist_ok=True)
fd, name = tempfile.mkstemp(dir=os.path.dirname(where))
os.write(fd, text); os.fsync(fd); os.close(fd)
os.replace(name, where)
"""


class Server(Box):
    """A box with users, and the checkout to install timmyd from.

    Attributes:
        before: What was there before the installation.
    """

    before: frozenset[str] = frozenset()

    def files(self) -> frozenset[str]:
        """Every path outside of what always changes."""
        pruned = " -o ".join(f"-path {path}" for path in CHANGING)
        found = self.run(f"find {INSTALLED_TO} \\( {pruned} \\) -prune -o -print0").out
        return frozenset(found.split("\0"))

    def install(self, *options: str, source: str = "/src") -> Done:
        """Run systemd/install, as an operator would."""
        pip = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels"
        return self.run(f"{pip} {source}/systemd/install {' '.join(options)}", timeout_s=300)

    def timmyd(self, *argv: str) -> Done:
        """A command of timmyd, as root."""
        return self.run("timmyd", *argv)

    def data(self, *argv: str) -> dict[str, Any]:
        """The same with --json, decoded."""
        decoded: dict[str, Any] = json.loads(self.timmyd(*argv, "--json").check().out)
        return decoded

    def write(self, user: str, name: str, text: str, *, home: str = ".hermes") -> None:
        """Write a file below a user's Hermes home, as that user and in Hermes' way."""
        path = f"/home/{user}/{home}/{name}"
        self.run(PYTHON, "-ISc", WRITER, path, user=user, text=text).check()

    def add_users(self) -> None:
        """Users with homes of mode 0700."""
        for user in USERS:
            self.run(f"useradd --create-home --shell /bin/sh {user} && chmod 700 /home/{user}")
            self.run("umask 077; mkdir -p ~/.hermes/sessions", user=user).check()

    def total(self, house: str | None = None) -> int:
        """Executions that the database has, of one house or of all."""
        houses = self.data("report", "--all")["house_performance"]
        return sum(of["total_executions"] for name, of in houses.items() if house in {None, name})

    def main_pid(self) -> int:
        """The daemon's process id in the box; 0 if it does not run."""
        return int(self.show("timmyd.service", "MainPID")["MainPID"])

    def policy(self, user: str = "carol") -> dict[str, Any]:
        """The policy, as any user reads it."""
        text = self.run("cat /var/lib/timmyd/policy.json", user=user).check().out
        document: dict[str, Any] = json.loads(text)
        return document

    def until_total(self, total: int, house: str | None = None, *, timeout_s: float = 20) -> None:
        """Wait until so many executions are counted, and see that they are not more."""
        deadline = time.monotonic() + timeout_s
        while (counted := self.total(house)) < total:
            assert time.monotonic() < deadline, f"{counted} of {total} executions of {house}"
            select.select([], [], [], 0.2)
        assert counted == total


YESTERDAY = f"{datetime.now() - timedelta(days=1):%Y-%m-%dT%H:%M:%S}"


def session(name: str, calls: int, *, tool: str = "terminal", at: str = YESTERDAY) -> str:
    """A plain session file with so many calls that succeeded."""
    messages = [
        {"role": "tool", "name": tool, "tool_call_id": f"call_{n}", "execution_time_ms": 12.5}
        for n in range(calls)
    ]
    return json.dumps(
        {"session_id": name, "model": "hermes3:8b", "started_at": at, "messages": messages}
    )
