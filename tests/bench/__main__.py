"""`python -m tests.bench [--full]`: speed and size against their bars, as ratios within one run.

Absolute times are printed and depend on the machine; the bars are on ratios of CPU time, on memory,
and on generous times. The default takes minutes; `--full` takes in the 2 GB directory too.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.bare import bare_pipeline, duckdb_group_by, loads_and_diff, per_record_engine
from tests.bench.history import MB, History
from tests.bench.tick import tick
from timmyd.config import Settings
from timmyd.engine.ingest import Ingest
from timmyd.service.homes import Place
from timmyd.service.intake import Intake
from timmyd.service.reading import Reader
from timmyd.store.database import PatternDatabase

LARGEST = 64 << 20
CACHE = Path(os.environ.get("TIMMY_TEST_CACHE", Path.home() / ".cache" / "timmyd-tests"))


class Rows:
    """The table: what, measured, bar, met."""

    def __init__(self) -> None:
        self.table = Table("what", "measured", "bar", "")
        self.missed: list[str] = []

    def add(self, what: str, measured: str, bar: str = "", *, met: bool | None = None) -> None:
        self.table.add_row(what, measured, bar, "" if met is None else ("met" if met else "MISSED"))
        if met is False:
            self.missed.append(what)


def make_reader(home: Path, database: Path) -> Reader:
    store = PatternDatabase(database)
    intake = Intake([Place(home)], store, Ingest.of(Settings()), largest_bytes=LARGEST)
    intake.inbox.find_folders()
    return intake.reader


def take_in(home: Path, database: Path) -> tuple[int, float]:
    """timmyd's own way, from a scan to the last commit: (executions, CPU s)."""
    began = time.process_time()
    reader = make_reader(home, database)
    reader.inbox.scan(trusted=False)
    total = 0
    while reader.inbox.backlog:
        total += reader.read_slice().executions
    reader.database.close()
    return total, time.process_time() - began


def intake(rows: Rows, base: Path, *, size_bytes: int, rounds: int) -> None:
    home = base / "history"
    calls = History().write(home / "sessions", size_bytes)
    ours: list[float] = []
    bare: list[float] = []
    for number in range(rounds):
        warm(home / "sessions")
        found, cpu_s = bare_pipeline(home / "sessions", base / f"bare{number}.db")
        bare.append(found / cpu_s)
        warm(home / "sessions")
        found, cpu_s = take_in(home, base / f"ours{number}.db")
        assert found == calls
        ours.append(found / cpu_s)
    best, floor = statistics.median(ours), statistics.median(bare)
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    size = sum(path.stat().st_size for path in (home / "sessions").iterdir())
    rows.add("history", f"{size / MB:.0f} MB, {calls} calls")
    rows.add("intake", f"{best:,.0f} executions per CPU s, {best / calls * size / MB:.0f} MB/s")
    rows.add("intake / bare pipeline", f"{ratio:.2f} of {floor:,.0f}", ">= 0.70", met=ratio >= 0.7)
    found, cpu_s = per_record_engine(home / "sessions", base / "record.db", most=min(4000, calls))
    rows.add(
        "intake / engine that commits per record", f"{best / (found / cpu_s):.0f} x", ">= 25 x",
        met=best / (found / cpu_s) >= 25,
    )  # fmt: skip
    try:
        warm(home / "sessions")
        found, cpu_s = duckdb_group_by(home / "sessions", CACHE / "duckdb")
        assert found == calls
        duck = best / (found / cpu_s)
        rows.add("intake / DuckDB read_json + group-by", f"{duck:.2f} x", ">= 1 x", met=duck >= 1.0)
    except (subprocess.CalledProcessError, OSError) as error:
        rows.add("intake / DuckDB read_json + group-by", f"not measured: {error}")


def warm(folder: Path) -> None:
    """Bring the files into memory, so that nobody pays for the disk."""
    for path in folder.iterdir():
        path.read_bytes()


def growth(rows: Rows, base: Path, *, rounds: int) -> None:
    """A 10 MB snapshot that grows by one turn: event to commit against json.loads and a diff."""
    home = base / "growing"
    (home / "sessions").mkdir(parents=True)
    path = home / "sessions" / "session_growing.json"
    history = History(7)
    messages: list[dict[str, object]] = []
    while sum(len(str(m)) for m in messages) < 10 * MB:
        messages += history.turn(20)
    write(path, history.snapshot("growing", messages))
    reader = make_reader(home, base / "growing.db")
    reader.inbox.scan(trusted=False)
    while reader.inbox.backlog:
        reader.read_slice()
    ours: list[float] = []
    naive: list[float] = []
    data = b""
    for _ in range(rounds):
        known = {str(m["tool_call_id"]) for m in messages if m["role"] == "tool"}
        messages[-1].pop("_db_persisted", None)
        messages[-1]["_db_persisted"] = True
        messages += history.turn(3)
        messages[-1].pop("_db_persisted")
        data = history.snapshot("growing", messages)
        write(path, data)
        reader.inbox.hints.put(os.fsencode(path))
        began = time.process_time()
        reader.inbox.take_hints(0.0)
        assert reader.read_slice().executions == 3
        ours.append(time.process_time() - began)
        new, cpu_s = loads_and_diff(data, known)
        assert new == 3
        naive.append(cpu_s)
    reader.database.close()
    ratio = statistics.median(a / b for a, b in zip(ours, naive, strict=True))
    rows.add(
        f"a {len(data) / MB:.0f} MB snapshot grew, to commit / json.loads + diff",
        f"1/{1 / ratio:.0f} ({statistics.median(ours) * 1000:.1f} ms CPU)", "<= 1/15", met=ratio <= 1 / 15,
    )  # fmt: skip


def write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


@contextlib.contextmanager
def daemon(home: Path, state: Path, *more: str) -> Iterator[tuple[int, float]]:
    """A real daemon: (pid, seconds to READY)."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
    ):
        notify.bind(f"{folder}/n")
        notify.settimeout(60)
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "timmyd", "run", "--home", str(home), "--state", str(state), *more],
            env={**installed(), "NOTIFY_SOCKET": f"{folder}/n"}, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        reading = threading.Thread(target=read_on, args=(notify,))
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
            seconds = time.monotonic() - began
            reading.start()
            yield process.pid, seconds
        finally:
            process.terminate()
            process.wait(30)
            notify.shutdown(socket.SHUT_RDWR)
            if reading.is_alive():
                reading.join()


def read_on(notify: socket.socket) -> None:
    """Read what the daemon says: a full socket holds it up, and it would look idle."""
    notify.settimeout(None)
    while notify.recv(4096):
        pass


def installed() -> dict[str, str]:
    """An environment in which Python finds bytecode, as pip leaves it; a source tree may have none."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return env | {"PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def policy_revision(state: Path) -> int:
    return int(json.loads((state / "policy.json").read_bytes())["revision"])


def wait_until_read(pid: int) -> None:
    """Until the backlog is read: CPU rests."""
    quiet = 0
    while quiet < 4:
        before = cpu_s(pid)
        time.sleep(0.5)
        quiet = quiet + 1 if cpu_s(pid) - before < 0.03 else 0


def start_and_idle(rows: Rows, base: Path, *, idle_s: float) -> None:
    home = base / "idle"
    (home / "sessions").mkdir(parents=True)
    history = History(3)
    starts = []
    os.sync()  # what was written before must not be written now
    for number in range(16):
        with daemon(home, base / f"start{number}") as (_, seconds):
            starts.append(seconds)
    del starts[0]  # it may have had to compile
    rows.add("ready after", f"{statistics.median(starts) * 1000:.0f} ms (best {min(starts) * 1000:.0f})",
             "<= 250 ms", met=statistics.median(starts) <= 0.25)  # fmt: skip
    yesterday = time.time() - 86_400.0  # sessions that ended just now are still held open
    for number in range(10_000):
        data = json.dumps({"session_id": f"s{number}", "messages": history.turn(1)}, indent=2)
        path = home / "sessions" / f"session_{number:05}.json"
        path.write_text(data, encoding="utf-8")
        os.utime(path, (yesterday, yesterday))
    with daemon(home, base / "idle_state") as (pid, _):
        wait_until_read(pid)
        before = cpu_s(pid)
        time.sleep(idle_s)
        share = (cpu_s(pid) - before) / idle_s * 100
        rss = memory_mb(pid, "VmRSS")
    rows.add(
        f"idle with 10,000 files, over {idle_s:.0f} s",
        f"{share:.3f} % CPU",
        "<= 0.05 %",
        met=share <= 0.05,
    )
    rows.add("idle with 10,000 files", f"{rss:.0f} MB", "<= 45 MB", met=rss <= 45)


def to_policy(rows: Rows, base: Path, *, rounds: int) -> None:
    """Rename of a snapshot to a policy that shows it, with the tick on evidence."""
    home, state = base / "fast", base / "fast_state"
    (home / "sessions").mkdir(parents=True)
    history = History(5)
    times = []
    with daemon(home, state):
        for number in range(rounds):
            revision = policy_revision(state)
            path = home / "sessions" / f"session_fast{number}.json"
            data = history.snapshot(f"fast{number}", history.turn(30))
            began = time.monotonic()
            write(path, data)
            while policy_revision(state) == revision and time.monotonic() < began + 10:
                time.sleep(0.001)
            times.append(time.monotonic() - began)
            time.sleep(1.1)
    median = statistics.median(times) * 1000
    rows.add(
        "rename to visible in the policy", f"median {median:.0f} ms", "< 100 ms", met=median < 100
    )


_WITH_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""
"""Runs a command and says its peak in KiB. A process counts from the peak of the one that started it,
and that of the bench, which makes the files, is higher than that of the daemon; so a small one starts it.
"""


def peak(rows: Rows, base: Path, *, size_bytes: int) -> None:
    home = base / "large"
    calls = History(11).write(home / "sessions", size_bytes)
    command = [sys.executable, "-m", "timmyd", "run", "--once", "--json",
               "--home", str(home), "--state", str(base / "large_state")]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _WITH_PEAK, *command],
        check=True, capture_output=True, env=installed(),
    )  # fmt: skip
    assert json.loads(done.stdout)["executions"] == calls
    mb = int(done.stderr.split()[-1]) / 1024
    rows.add(
        f"peak memory over {size_bytes / MB:.0f} MB", f"{mb:.0f} MB", "<= 100 MB", met=mb <= 100
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="with the 2 GB directory and longer idling"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, for a look")
    parser.add_argument("--only", default="", help="intake, growth, policy, idle, peak or tick")
    chosen = parser.parse_args()
    rows = Rows()
    base = Path(tempfile.mkdtemp(prefix="timmyd-bench-"))
    size = 60 * MB if chosen.quick else 320 * MB
    steps: dict[str, Callable[[], None]] = {
        "intake": lambda: intake(rows, base, size_bytes=size, rounds=3),
        "growth": lambda: growth(rows, base, rounds=15),
        "policy": lambda: to_policy(rows, base, rounds=11),
        "idle": lambda: start_and_idle(rows, base, idle_s=130 if not chosen.quick else 20),
        "peak": lambda: peak(rows, base, size_bytes=2000 * MB if chosen.full else size),
        "tick": lambda: tick(rows, base, full=chosen.full),
    }
    try:
        for name, step in steps.items():
            if chosen.only in {"", name}:
                step()
    finally:
        shutil.rmtree(base, ignore_errors=True)
    Console(width=110).print(rows.table)
    if rows.missed:
        sys.exit(f"missed: {'; '.join(rows.missed)}")


if __name__ == "__main__":
    main()
