"""`kill -9` at random moments: nothing lost, nothing twice, the policy file always whole."""

import random
import signal
import threading
from pathlib import Path

import pytest

from tests.service.process import Process, counted, session
from tests.support import eventually
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
    (tmp_path / "sessions").mkdir()
    choice = random.Random(7)
    sizes: dict[str, int] = {}
    revision = 0
    for kill in range(KILLS):
        with Process(tmp_path) as process:
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
        assert counted(tmp_path / "state") <= sum(sizes.values())
    with Process(tmp_path) as process:
        process.ready()
        eventually(lambda: process.counted() == sum(sizes.values()), 30)
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
        assert process.counted() == sum(sizes.values())
        assert check_policy(process) > revision
