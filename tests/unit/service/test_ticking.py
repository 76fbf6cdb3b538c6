"""What is said of files that wait: a backlog that lasts is news, a few agents at work are none."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support import Listener
from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.config import Settings
from timmyd.service.metrics import Metrics
from timmyd.service.outside import Outside
from timmyd.service.publisher import Publisher
from timmyd.service.reading import Progress
from timmyd.service.ticking import Ticking

READ = Progress(1, 1, 0)


@pytest.mark.parametrize(
    ("waiting", "events"),
    [
        ([2, 5, 3, 2, 4, 3, 2, 5, 2, 1, 0] * 5, []),
        ([500, 0, 500, 0], []),
        ([500, 450, 400, 350, 300, 250, 200, 2, 1, 0], ["backlog_started", "backlog_done"]),
        ([2, 2, 2, 2, 2, 2, 2, 40, 3, 0], ["backlog_started", "backlog_done"]),
    ],
)
def test_a_backlog_is_told_if_it_lasts_and_is_one(
    tmp_path: Path, waiting: Iterable[int], events: list[str]
) -> None:
    log, now = Listener(), [0.0]
    engine = IntelligenceEngine(PatternDatabase(":memory:"), settings=Settings())
    outside = Outside(log, Metrics("test"), steady=lambda: now[0])
    ticking = Ticking(Settings(), engine, Publisher(engine, tmp_path / "policy.json"), outside)
    ended = 0
    for files in waiting:
        now[0] += 1.0
        ended += ticking.note(READ, waiting=files)
    assert [name for name, _ in log.events] == events
    assert ended >= 1
