"""`python -m tests.storms [STORM…] [--share N]`: a real daemon, a storm of one user, 20 calls of another.

Must be run as root, which gives the homes to two users. Without systemd there are no limits to hit, so
that what was used is measured and compared with those of the unit.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tests.storms.attack import STORMS

CALLS: Final = 20
SOON_S: Final = 2.0
MOST_MB: Final = 256
MOST_TASKS: Final = 64
_PYTHON: Final = shutil.which("python3", path="/usr/bin") or sys.executable
"""That any user may run."""

_ATTACK: Final = Path(__file__).parent / "attack.py"
_LATEST_S: Final = 60.0
_LONGEST_S: Final = 180.0
_PAUSE_S: Final = 0.5


def main() -> int:
    """Raise the storms one by one; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.storms", description=__doc__)
    parser.add_argument("storms", nargs="*", choices=[*STORMS, []])
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the size of a storm, such as 0.05"
    )
    wanted = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("run it as root")
    print(f"{'storm':18} {'others seen in s (most)':>30} {'peak MB':>8} {'tasks':>6} {'alive':>6}")
    return max(_say(name, wanted.share) for name in wanted.storms or STORMS)


class Storm(NamedTuple):
    """What a storm did.

    Attributes:
        seen: After how many seconds each twenty of the other's calls were counted.
        peak_mb: The most memory that the daemon held.
        tasks: Its threads.
        alive: It goes on.
    """

    seen: list[float]
    peak_mb: float
    tasks: int
    alive: bool

    @property
    def is_good(self) -> bool:
        return (
            self.alive
            and max(self.seen) <= SOON_S
            and self.peak_mb <= MOST_MB
            and self.tasks <= MOST_TASKS
        )


def _say(name: str, share: float) -> int:
    found = raise_storm(name, share)
    times = f"{sorted(found.seen)[len(found.seen) // 2]:.2f} ({max(found.seen):.2f})"
    verdict = "" if found.is_good else "   MISSED"
    print(
        f"{name:18} {times:>30} {found.peak_mb:8.0f} {found.tasks:6} {found.alive!s:>6}{verdict}",
        flush=True,
    )
    return 0 if found.is_good else 1


def raise_storm(name: str, share: float, *, rounds: int = 10) -> Storm:
    """Raise one storm; `rounds` of good calls follow it."""
    base = Path(tempfile.mkdtemp(prefix="storm-"))
    base.chmod(0o755)
    state = base / "state"
    homes = {"mallory": 4242, "bob": 4343}
    for user, uid in homes.items():
        (base / user / "sessions" / "timmy").mkdir(parents=True)
        for path in (base / user, *(base / user).rglob("*")):
            os.chown(path, uid, uid)
    arguments = [word for user in homes for word in ("--home", f"{base / user}={user}")]
    with (base / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "timmyd", "run", "--state", str(state), *arguments], stderr=log
        )
    try:
        _until((state / "policy.json").exists, 30.0)
        command = [_PYTHON, shutil.copy(_ATTACK, base), name, str(base / "mallory"), str(share)]
        attack = subprocess.Popen(command, user=4242, group=4242)
        seen: list[float] = []
        left, ends = rounds, time.monotonic() + _LONGEST_S
        while left and time.monotonic() < ends:
            began = time.monotonic()
            _good(base / "bob", len(seen))
            _until(lambda: _counted(state) >= CALLS * (len(seen) + 1), _LATEST_S)
            seen.append(time.monotonic() - began)
            with suppress(subprocess.TimeoutExpired):
                attack.wait(_PAUSE_S)
                left -= 1
                time.sleep(_PAUSE_S)
        attack.kill()
        attack.wait()
        peak, tasks = _used(daemon.pid)
        return Storm(seen, peak, tasks, daemon.poll() is None)
    finally:
        daemon.terminate()
        with suppress(subprocess.TimeoutExpired):
            daemon.wait(20.0)
        daemon.kill()
        daemon.wait()
        shutil.rmtree(base, ignore_errors=True)


def _good(home: Path, n: int) -> None:
    messages = [
        {"role": "tool", "name": "terminal", "tool_call_id": f"call_{k}"} for k in range(CALLS)
    ]
    path = home / "sessions" / f"good{n}.json"
    hidden = path.with_name(".fresh")
    hidden.write_text(
        json.dumps({"session_id": f"good{n}", "started_at": time.time() - 60, "messages": messages})
    )
    os.chown(hidden, 4343, 4343)
    hidden.rename(path)


def _counted(state: Path) -> int:
    with closing(
        sqlite3.connect(f"file:{state}/db/timmy.db?mode=ro", uri=True, timeout=5)
    ) as connection:
        query = "SELECT count(*) FROM executions e JOIN combos c ON c.id = e.combo WHERE c.house = 'bob'"
        return int(connection.execute(query).fetchone()[0])


def _until(condition: Callable[[], bool], timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and not condition():
        time.sleep(0.02)


def _used(pid: int) -> tuple[float, int]:
    """The most memory that a process ever held, in MB, and how many threads it has."""
    status = Path(f"/proc/{pid}/status").read_text() if Path(f"/proc/{pid}").exists() else ""
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return float(fields.get("VmHWM", "0 kB").split()[0]) / 1024, int(fields.get("Threads", "0"))


if __name__ == "__main__":
    sys.exit(main())
