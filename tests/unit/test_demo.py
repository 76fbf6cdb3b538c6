from contextlib import closing
from datetime import datetime
from itertools import takewhile
from pathlib import Path

import pytest

from timmyd.house.reader import Policies
from timmyd.tools.demo import Demo, DemoStep

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[DemoStep], Path]:
    folder = tmp_path_factory.mktemp("demo")
    with closing(Demo(folder)) as demo:
        return list(demo.run()), folder


def test_the_demo_shows_all_that_it_promises(story: tuple[list[DemoStep], Path]) -> None:
    kinds = [step.kind for step in story[0]]

    assert kinds[-1] == "end"
    assert story[0][-1].figures["complete"]
    for kind in (
        "learned",
        "breaker_opened",
        "breaker_closed",
        "trial_started",
        "kept",
        "taken_back",
    ):
        assert kind in kinds
    assert kinds.index("breaker_opened") < kinds.index("breaker_closed")
    assert kinds.index("trial_started") < kinds.index("kept")


def test_what_helped_is_kept_and_what_harmed_is_not(story: tuple[list[DemoStep], Path]) -> None:
    policies = story[0][-1].figures["policies"]

    assert policies["ezra"]["evidence_threshold"] == 0.7
    assert policies["bezalel"]["parallel_test_threshold"] == 0.5


def test_every_call_is_counted_once(story: tuple[list[DemoStep], Path]) -> None:
    files = story[1].glob("*/sessions/timmy/*.jsonl")
    written = sum(file.read_bytes().count(b'"kind":"tool"') for file in files)

    end = story[0][-1].figures
    assert end["executions"] == written > 1000
    assert end["duplicates"] == 0


def test_the_policy_is_one_that_a_house_takes(story: tuple[list[DemoStep], Path]) -> None:
    end = story[0][-1]
    at = datetime.fromisoformat(end.at).timestamp()
    policies = Policies(story[1] / "policy.json", clock=lambda: at)

    assert policies.revision == end.figures["revision"]
    assert policies.value("ezra", "evidence_threshold") == 0.7


def test_the_demo_tells_the_same_story_every_time(
    story: tuple[list[DemoStep], Path], tmp_path: Path
) -> None:
    with closing(Demo(tmp_path)) as demo:
        again = list(takewhile(lambda step: step.kind != "breaker_closed", demo.run()))

    assert again == story[0][: len(again)]
    assert len(again) >= 2
