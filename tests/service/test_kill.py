"""`kill -9` at random moments: nothing lost, nothing counted or learned twice, the policy file always whole.

python -m tests.service.test_kill --kills 300
"""

import argparse
import random
import signal
import tempfile
import threading
from pathlib import Path

import pytest

from tests.service.process import Process, counted, session
from tests.support import eventually
from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.house.policy import digest

pytestmark = pytest.mark.slow

KILLS = 200
GROWTH = 3


def check_policy(process: Process) -> int:
    """The file is there whole or not at all; returns its revision."""
    document = process.policy()
    if document is None:
        return 0
    claimed = document.pop("digest")
    assert digest(document) == claimed
    revision = document["revision"]
    assert isinstance(revision, int)
    return revision


def test_two_hundred_kills_lose_nothing_count_nothing_twice_and_tear_no_policy(
    tmp_path: Path,
) -> None:
    kill_again_and_again(tmp_path, KILLS, seed=7)


def kill_again_and_again(folder: Path, kills: int, *, seed: int) -> int:
    """Kill a daemon so often while sessions are written; returns how many calls they held in the end."""
    (folder / "sessions").mkdir()
    choice = random.Random(seed)
    sizes: dict[str, int] = {}
    revision = 0
    for kill in range(kills):
        with Process(folder) as process:
            # a third dies while it starts, the others at work
            if choice.random() < 0.67:
                process.ready()
                moment = choice.random() * 0.12
            else:
                moment = choice.random() * 0.4
            done = threading.Event()
            timer = threading.Timer(
                moment, lambda p=process, d=done: (p.signal(signal.SIGKILL), d.set())
            )
            timer.start()
            while not done.is_set():
                name = f"s{choice.randrange(1 + kill // 4)}"
                sizes[name] = sizes.get(name, 0) + choice.randrange(1, GROWTH)
                process.write(f"session_{name}.json", session(name, sizes[name]))
                done.wait(0.01)
            timer.join()
            assert process.ended() == -signal.SIGKILL
            found = check_policy(process)
            assert found >= revision
            revision = found
        assert counted(folder / "state") <= sum(sizes.values())
    with Process(folder) as process:
        process.ready()
        eventually(lambda: process.counted() == sum(sizes.values()), 30)
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
        assert process.counted() == sum(sizes.values())
        assert check_policy(process) > revision
    made = sum(sizes.values())
    assert learned(folder / "state") == made
    return made


def learned(state: Path) -> int:
    """How many calls the engine has learned from, once it has taken in what is left."""
    database = PatternDatabase(state / "db" / "timmy.db")
    try:
        engine = IntelligenceEngine(database)
        engine.analyze_and_adapt()
        while engine.behind:
            engine.analyze_and_adapt()
        return engine.learner.predictions.learned
    finally:
        database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Kill a daemon under a writer, again and again.")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        calls = kill_again_and_again(Path(base), chosen.kills, seed=chosen.seed)
    print(f"{chosen.kills} kills, {calls} calls: each counted and learned once, every policy whole")
