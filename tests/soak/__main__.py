"""A daemon among five houses at work, for half an hour: what it holds must not grow.

    .venv/bin/python -m tests.soak [--minutes 30] [--houses 5] [--calls-a-second 20]

Every house writes telemetry through the real recorder. A table tells memory, threads, descriptors, the
database's log, journal lines and syncs of the policy; what grew by more than 2 MB after the first five
minutes, or said more than a line a minute, ends it with status 1.
"""

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from timmyd.house.recorder import Recorder

ROOT = Path(__file__).parents[2]
MB = 1 << 20
SETTLED_MIN = 5.0
GROWTH_MOST = 2 * MB
EVERY_S = 30.0
CALLS_A_SESSION = 200
TOOLS = ("terminal", "read_file", "patch", "web_search", "write_file")


class Sample(NamedTuple):
    """What the process holds, in bytes and counts, so many minutes after the start."""

    minutes: float
    rss: int
    threads: int
    descriptors: int
    wal: int
    counted: int
    revision: int
    lines: int


class House:
    """Calls tools all the time, a session after the other."""

    def __init__(self, home: Path, name: str) -> None:
        self.name = name
        self.random = random.Random(name)
        self.recorder = Recorder(home / "sessions" / "timmy", house=name, kit="soak")
        self.calls = 0

    def call(self) -> None:
        session = f"{self.name}-{self.calls // CALLS_A_SESSION}"
        self.calls += 1
        failed = self.random.random() < 0.1
        self.recorder.tool(
            session,
            tool=self.random.choice(TOOLS),
            call_id=f"call_{self.name}_{self.calls}",
            turn=str(self.calls // 10),
            inner=False,
            model="hermes3:8b",
            signature=f"{self.random.randrange(400):016x}",
            shape="git status",
            outcome="error" if failed else "ok",
            rule="given",
            error_type=None,
            latency_ms=self.random.uniform(1.0, 900.0),
            policy=1,
            followed=None,
        )
        if self.calls % CALLS_A_SESSION == 0:
            self.recorder.end(session, completed=True, interrupted=False)


def sample(pid: int, state: Path, log: Path, began: float) -> Sample:
    """Look at the process from outside."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    wal = state / "db" / "timmy.db-wal"
    connection = sqlite3.connect(f"file:{state / 'db' / 'timmy.db'}?mode=ro", uri=True, timeout=10)
    try:
        counters = dict(connection.execute("SELECT name, n FROM counters").fetchall())
        row = connection.execute("SELECT value FROM state WHERE key = 'revision'").fetchone()
    finally:
        connection.close()
    return Sample(
        (time.monotonic() - began) / 60.0,
        int(status["VmRSS"].split()[0]) * 1024,
        int(status["Threads"]),
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
        wal.stat().st_size if wal.exists() else 0,
        int(counters.get("executions", 0)),
        0 if row is None else int(row[0]),
        len(log.read_text(errors="replace").splitlines()),
    )


def show(found: Sample) -> None:
    print(
        f"{found.minutes:6.1f} min  rss {found.rss / MB:6.1f} MB  threads {found.threads:3d}"
        f"  fds {found.descriptors:4d}  wal {found.wal / MB:5.1f} MB  calls {found.counted:8d}"
        f"  revision {found.revision:6d}  lines {found.lines:5d}",
        flush=True,
    )


def verdict(samples: list[Sample], written: int) -> list[str]:
    """What is not as it should be."""
    settled = [found for found in samples if found.minutes >= SETTLED_MIN]
    wrong = []
    if samples[-1].counted != written:
        wrong.append(f"{samples[-1].counted} of {written} calls are counted")
    if len(settled) < 2:
        return [*wrong, "it ran too short to tell what grows"]
    first, last = settled[0], settled[-1]
    minutes = last.minutes - first.minutes
    wrong += [
        f"{name} grew by {after - before}"
        for name, before, after, most in (
            ("rss", first.rss, last.rss, GROWTH_MOST),
            ("wal", first.wal, last.wal, GROWTH_MOST),
            ("threads", first.threads, last.threads, 0),
            ("descriptors", first.descriptors, last.descriptors, 2),
        )
        if after - before > most
    ]
    if last.lines - first.lines > minutes:
        wrong.append(f"{last.lines - first.lines} lines in {minutes:.0f} minutes")
    if last.revision - first.revision > minutes * 60 / 5 * 1.1:
        wrong.append(f"{last.revision - first.revision} documents in {minutes:.0f} minutes")
    return wrong


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=30.0)
    options.add_argument("--houses", type=int, default=5)
    options.add_argument(
        "--calls-a-second", type=float, default=20.0, help="of all houses together"
    )
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="timmyd-soak-") as folder:
        base = Path(folder)
        houses = [House(base / f"house{n}", f"house{n}") for n in range(given.houses)]
        for house in houses:
            (base / house.name / "sessions" / "timmy").mkdir(parents=True)
        homes = [word for h in houses for word in ("--home", f"{base / h.name}={h.name}")]
        command = [sys.executable, "-m", "timmyd", "run", "--state", str(base / "state"), *homes]
        log = base / "log"
        with log.open("wb") as out:
            daemon = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, env=os.environ)
        try:
            samples = watch(daemon.pid, houses, base / "state", log, given)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)
        wrong = verdict(samples, sum(house.calls for house in houses))
        print("\n".join(wrong) or "all is flat")
        if wrong:
            print(log.read_text(errors="replace")[-2000:])
        return 1 if wrong else 0


def watch(
    pid: int, houses: list[House], state: Path, log: Path, given: argparse.Namespace
) -> list[Sample]:
    """Let the houses work, and look every half minute; the last look is after the work."""
    time.sleep(3.0)
    began = look_at = time.monotonic()
    samples: list[Sample] = []
    done = 0
    while (passed := time.monotonic() - began) < given.minutes * 60:
        while done < passed * given.calls_a_second:
            houses[done % len(houses)].call()
            done += 1
        if time.monotonic() >= look_at:
            look_at += EVERY_S
            samples.append(sample(pid, state, log, began))
            show(samples[-1])
        time.sleep(0.02)
    time.sleep(3.0)
    samples.append(sample(pid, state, log, began))
    show(samples[-1])
    return samples


if __name__ == "__main__":
    sys.exit(main())
