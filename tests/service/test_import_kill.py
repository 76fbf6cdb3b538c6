"""`kill -9` in the middle of an import, again and again: nothing is lost, nothing counts twice."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.state_db_bench import make
from timmyd.clock import now as wall_clock
from timmyd.store.database import PatternDatabase

KILLS = 100

_IMPORT = """
import sys
from timmyd.core.tasks import TaskTable
from timmyd.tools.importing import import_paths
from timmyd.engine.ingest import Ingest
from timmyd.store.database import PatternDatabase

def tell(progress):
    print(progress.executions, flush=True)

database = PatternDatabase(sys.argv[1])
print("open", flush=True)
report = import_paths(database, Ingest(tasks=TaskTable.default()), [sys.argv[2]], progress=tell)
assert not report.unread, report.unread
database.close()
print("end", flush=True)
"""

_SMALL_SLICES = "import timmyd.tools.importing as i; i.SLICE_S = 0.01\n"


def start(database: Path, home: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _SMALL_SLICES + _IMPORT, str(database), str(home)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip


def count(database: Path) -> tuple[int, int, int]:
    """(rows, counted in buckets, the counter) of the executions."""
    store = PatternDatabase(database, read_only=True)
    try:
        assert store.integrity() == []
        rows = len(store.executions_after(0, 1_000_000))
        buckets = sum(sum(found.counts) for found in store.tool_counts(0.0))
        return rows, buckets, store.counters().get("executions", 0)
    finally:
        store.close()


@pytest.mark.slow
def test_an_import_that_is_killed_a_hundred_times_ends_with_every_call_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    calls = make(home / "state.db", 24_000, 600, now=wall_clock())
    database = tmp_path / "timmy.db"
    chance = random.Random(20261122)
    killed = in_the_middle = 0
    while killed < KILLS:
        process = start(database, home)
        assert process.stdout is not None
        stop_after = chance.choice((0, 1, 1, 2, 3))
        for lines, line in enumerate(process.stdout):
            if line.startswith("end"):
                break
            if lines >= stop_after:
                time.sleep(chance.random() * 0.02)  # anywhere within the next batch
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.close()
        in_the_middle += process.wait(timeout=60) == -signal.SIGKILL
        killed += 1
        if killed % 25 == 0:
            rows, buckets, counter = count(database)
            assert rows == buckets == counter <= calls
    with start(database, home) as last:
        output, _ = last.communicate(timeout=300)
    assert output.endswith("end\n")
    assert count(database) == (calls, calls, calls)
    assert in_the_middle > KILLS // 2
