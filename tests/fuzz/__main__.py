"""`python -m tests.fuzz [--share N]`: every batch in a process of its own, so that its end is seen, too."""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.fuzz.trial import run_batch

COUNTS: Final = {"state_db": 2_000, "sessions": 6_000, "telemetry": 1_000, "settings": 500}
BATCH: Final = 50
_HANGS_S: Final = 120.0


def main() -> int:
    """Run all batches, or one of them; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of all files, such as 0.1")
    parser.add_argument("--batch", nargs=3, metavar=("KIND", "FIRST", "LAST"))
    wanted = parser.parse_args()
    if wanted.batch is not None:
        kind, first, last = wanted.batch
        with tempfile.TemporaryDirectory() as folder:
            print(f"{run_batch(kind, range(int(first), int(last)), Path(folder)):.3f}")
        return 0
    failed = 0
    print(f"{'kind':10} {'files':>6} {'failed batches':>15} {'longest step s':>15} {'took s':>8}")
    for kind, count in COUNTS.items():
        began = time.monotonic()
        bad, longest = _run(kind, int(count * wanted.share))
        failed += bad
        took = time.monotonic() - began
        print(
            f"{kind:10} {int(count * wanted.share):6} {bad:15} {longest:15.2f} {took:8.0f}",
            flush=True,
        )
    return 1 if failed else 0


def _run(kind: str, count: int) -> tuple[int, float]:
    bad, longest = 0, 0.0
    for first in range(0, count, BATCH):
        last = min(count, first + BATCH)
        command = [sys.executable, "-m", "tests.fuzz", "--batch", kind, str(first), str(last)]
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=_HANGS_S, check=False
            )
            status, said = ended.returncode, ended.stdout + ended.stderr
        except subprocess.TimeoutExpired:
            status, said = -1, f"still at work after {_HANGS_S:.0f} s"
        if status:
            bad += 1
            print(f"FAILED ({status}): {' '.join(command[3:])}\n{said[-2_000:]}", flush=True)
        else:
            longest = max(longest, float(said))
    return bad, longest


if __name__ == "__main__":
    sys.exit(main())
