"""Harness: any callable under the policy: asked before, limited, tried again, recorded after."""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.house.documents import PUBLISHED_AT, document, figures, open_breaker
from timmyd.core.publishing import encode
from timmyd.house import Harness, House, Mode, Policies
from timmyd.house.harness import CallTimeoutError, RefusedError


class Bench:
    """A harness whose clocks, pauses and draws are held by the test."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.at = PUBLISHED_AT + 1.0
        self.tick = 0.0
        self.draw = 0.5
        self.pauses: list[float] = []
        self.folder = folder
        self.policy = folder / "policy.json"
        policies = Policies(self.policy, clock=lambda: self.at, monotonic=lambda: self.tick)
        given: dict[str, Any] = {
            "house": "ezra",
            "session": "job-1",
            "policies": policies,
            **options,
        }
        self.harness = Harness(
            **given,
            directory=folder,
            clock=lambda: self.at,
            sleep=self.pauses.append,
            draw=lambda: self.draw,
        )

    def publish(self, **changes: Any) -> None:
        self.policy.write_bytes(encode(document(**changes)))
        self.tick += 5.0

    def lines(self, kind: str = "tool") -> list[dict[str, Any]]:
        path = self.folder / "timmy" / "job-1.jsonl"
        if not path.exists():
            return []
        lines = [json.loads(text) for text in path.read_text().splitlines()]
        return [line for line in lines if line.get("kind") == kind]

    def outcomes(self) -> list[str]:
        return [line["outcome"] for line in self.lines()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def _one() -> int:
    return 1


def _fails(times: int) -> Callable[[], str]:
    left = [times]

    def work() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise ConnectionResetError
        return "done"

    return work


def _called(bench: Bench, sync: bool, function: Callable[..., Any], **options: Any) -> Any:
    """Call it through the harness, as a plain function or as a coroutine."""
    tool = options.pop("tool", "deploy")
    args = options.pop("args", ())
    if sync:
        return bench.harness.wrap(tool, function, **options)(*args)

    async def coroutine(*given: Any) -> Any:
        return function(*given)

    return asyncio.run(bench.harness.wrap(tool, coroutine, **options)(*args))


@pytest.mark.parametrize("sync", [True, False])
def test_a_call_gives_what_the_function_gives_and_is_recorded(bench: Bench, sync: bool) -> None:
    assert _called(bench, sync, lambda a: a * 2, args=(21,)) == 42

    (line,) = bench.lines()
    assert (line["tool"], line["outcome"], line["rule"]) == ("deploy", "ok", "harness_ok")
    assert line["latency_ms"] is not None
    assert line["policy"] is None
    assert bench.harness.house == House.EZRA


@pytest.mark.parametrize("sync", [True, False])
def test_an_error_is_recorded_by_its_class_and_raised_as_it_is(bench: Bench, sync: bool) -> None:
    with pytest.raises(ConnectionResetError):
        _called(bench, sync, _fails(1))

    (line,) = bench.lines()
    assert (line["outcome"], line["error_type"]) == ("error", "connection_reset_error")


@pytest.mark.parametrize("sync", [True, False])
def test_it_is_tried_again_and_each_attempt_is_recorded(bench: Bench, sync: bool) -> None:
    options = {} if sync else {"pause_s": 0.0}
    assert _called(bench, sync, _fails(2), retries=3, **options) == "done"
    assert bench.outcomes() == ["error", "error", "ok"]
    assert len({line["call_id"] for line in bench.lines()}) == 3


def test_pauses_double_on_average(bench: Bench) -> None:
    with pytest.raises(ConnectionResetError):
        _called(bench, True, _fails(9), retries=3, pause_s=0.5)
    assert bench.pauses == [0.5, 1.0, 2.0]
    bench.draw = 0.0
    with pytest.raises(ConnectionResetError):
        _called(bench, True, _fails(9), retries=1)
    assert bench.pauses[-1] == 0.0


def test_a_call_that_takes_too_long_is_given_up_and_keeps_its_place(tmp_path: Path) -> None:
    bench = Bench(tmp_path, concurrency=1)
    release = threading.Event()
    with pytest.raises(CallTimeoutError, match=r"deploy took longer than 0\.01 s"):
        _called(bench, True, release.wait, timeout_s=0.01)
    second = threading.Thread(target=bench.harness.wrap("deploy", _one))
    second.start()
    second.join(0.05)
    assert second.is_alive()
    release.set()
    second.join(10)
    assert bench.outcomes() == ["timeout", "ok"]


def test_a_coroutine_that_takes_too_long_is_cancelled(bench: Bench) -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    with pytest.raises(CallTimeoutError):
        asyncio.run(bench.harness.wrap("deploy", slow, timeout_s=0.01)())
    assert ended == ["cancelled"]
    assert bench.outcomes() == ["timeout"]


def test_a_cancelled_coroutine_is_recorded_as_cancelled(bench: Bench) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(bench.harness.wrap("deploy", _forever, retries=3)())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert bench.outcomes() == ["cancelled"]


async def _forever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("sync", [True, False])
def test_no_more_run_at_once_than_may(tmp_path: Path, sync: bool) -> None:
    bench = Bench(tmp_path, concurrency=2)
    running, most, lock = [0], [0], threading.Lock()
    gate = threading.Barrier(2, timeout=10)

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        gate.wait()
        with lock:
            running[0] -= 1

    async def awork() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        for _ in range(5):
            await asyncio.sleep(0)
        running[0] -= 1

    if sync:
        wrapped = bench.harness.wrap("deploy", work)
        threads = [threading.Thread(target=wrapped) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:

        async def main() -> None:
            await asyncio.gather(*(bench.harness.wrap("deploy", awork)() for _ in range(6)))

        asyncio.run(main())
    assert most == [2]
    assert bench.outcomes() == ["ok"] * 6


@pytest.mark.parametrize("sync", [True, False])
def test_an_open_breaker_refuses_without_calling(bench: Bench, sync: bool) -> None:
    bench.publish(breakers=[open_breaker("deploy", house="ezra")])
    called: list[int] = []

    with pytest.raises(RefusedError, match="The tool deploy is unavailable since"):
        _called(bench, sync, lambda: called.append(1), retries=2)
    assert called == []
    assert [(x["outcome"], x["rule"]) for x in bench.lines()] == [("blocked", "breaker_open")]


def test_its_own_failures_open_the_breaker_at_once(bench: Bench) -> None:
    bench.publish()
    work = bench.harness.wrap("deploy", _fails(99), retries=20)
    with pytest.raises(RefusedError):
        work()

    assert bench.outcomes().count("error") <= 10
    assert bench.outcomes()[-1] == "blocked"


def test_a_build_call_is_held_back_once_a_turn_until_something_was_read(bench: Bench) -> None:
    bench.publish(
        policies={"ezra.evidence_threshold": 0.8, "ezra.confidence_boost_for_read_ops": 0.1},
        predictions={"ezra": {"write_file": figures(0.65)}},
    )
    write = bench.harness.wrap("write_file", lambda path: path)
    read = bench.harness.wrap("read_file", lambda path: path)
    with bench.harness.turn():
        with pytest.raises(RefusedError, match="Read first"):
            write("a.py")
        assert write("a.py") == "a.py"
    with bench.harness.turn():
        assert [read("a.py"), read("b.py"), write("a.py")] == ["a.py", "b.py", "a.py"]

    assert bench.outcomes() == ["blocked", "ok", "ok", "ok", "ok"]
    assert [line["completed"] for line in bench.lines("end")] == [True, True]


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize(("success", "at_once"), [(0.4, 1), (0.6, 2)])
def test_tests_that_fail_side_by_side_run_one_at_a_time(
    bench: Bench, sync: bool, success: float, at_once: int
) -> None:
    shapes = {"pytest": figures(success)}
    bench.publish(
        policies={"ezra.parallel_test_threshold": 0.5},
        predictions={"ezra": {"terminal": {**figures(0.9), "shapes": shapes}}},
    )
    running, most, lock = [0], [0], threading.Lock()
    both = threading.Event()

    def work(command: str) -> None:
        assert command
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            if running[0] == at_once:
                both.set()
        assert both.wait(10)
        with lock:
            running[0] -= 1

    async def awork(command: str) -> None:
        assert command
        running[0] += 1
        most[0] = max(most[0], running[0])
        for _ in range(5):
            await asyncio.sleep(0)
        running[0] -= 1

    if sync:
        wrapped = bench.harness.wrap("terminal", work)
        threads = [threading.Thread(target=wrapped, args=("pytest -q",)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:

        async def main() -> None:
            wrapped = bench.harness.wrap("terminal", awork)
            await asyncio.gather(*(wrapped("pytest -q") for _ in range(2)))

        asyncio.run(main())
    assert most == [at_once]


def test_a_sure_choice_of_model_is_taken_and_an_unsure_one_is_not(bench: Bench) -> None:
    shares = {"better": 0.9, "other": 0.1}
    choice = {"model": "better", "success": 0.6, "low": 0.4, "samples": 40, "weights": shares}
    doubtful = {"better": 0.6, "other": 0.4}
    bench.publish(
        models={
            "read": {**choice, "best": {"better": 0.8, "other": 0.2}},
            "build": {**choice, "best": doubtful, "weights": doubtful},
        }
    )
    bench.draw = 0.5

    assert bench.harness.choose_model("read", "mine") == "better"
    assert bench.harness.choose_model("build", "mine") == "mine"
    assert bench.harness.choose_model("test", "mine") == "mine"


def test_a_house_whose_own_model_is_compared_shares_its_calls_out_from_the_start(
    bench: Bench,
) -> None:
    shares = {"better": 0.6, "mine": 0.4}
    bench.publish(
        models={"read": {"model": "better", "success": 0.6, "samples": 40, "weights": shares}}
    )
    bench.draw = 0.5
    assert bench.harness.choose_model("read", "mine") == "better"
    assert bench.harness.choose_model("read", "another") == "another"
    bench.draw = 0.7
    assert bench.harness.choose_model("read", "mine") == "mine"


def test_a_choice_of_its_own_binds_a_house_in_place_of_the_general_one(bench: Bench) -> None:
    general = {"model": "theirs", "success": 0.9, "samples": 40}
    route = {"house": "bezalel", "confidence": 0.9, "samples": 40}
    own = {"models": {"read": {**general, "model": "ours"}}, "routes": {"deploy": route}}
    bench.publish(models={"read": general, "test": general}, own={"ezra": own, "timmy": {}})

    assert bench.harness.choose_model("read", "mine") == "ours"
    assert bench.harness.choose_model("test", "mine") == "theirs"
    assert bench.harness.choose_house("deploy") == (House.BEZALEL, True)
    assert bench.harness.policies.get_best_model("read") == "theirs"
    assert bench.harness.policies.get_optimal_house("deploy") == ("timmy", None)


def test_a_model_drawn_by_the_shares_was_followed(bench: Bench) -> None:
    shares = {"better": 0.6, "mine": 0.4}
    bench.publish(
        models={"build": {"model": "better", "success": 0.6, "samples": 40, "weights": shares}}
    )
    bench.draw = 0.7
    bench.harness.model = bench.harness.choose_model("build", "mine")
    bench.harness.wrap("write_file", lambda path: path)(path="a.py")
    bench.harness.model = "another"
    bench.harness.wrap("write_file", lambda path: path)(path="a.py")

    assert [line["followed"] for line in bench.lines()] == [True, False]


def test_exploration_follows_the_published_shares(bench: Bench) -> None:
    weights = {"better": 0.98, "zephyr": 0.02}
    bench.publish(
        models={"read": {"model": "better", "success": 0.9, "samples": 40, "weights": weights}}
    )
    bench.draw = 0.979
    assert bench.harness.choose_model("read", "mine") == "better"
    bench.draw = 0.981
    assert bench.harness.choose_model("read", "mine") == "zephyr"


def test_a_model_whose_breaker_is_open_is_left_out_and_of_none_the_own_is_kept(
    bench: Bench,
) -> None:
    def shut(model: str) -> dict[str, Any]:
        return open_breaker(None, house="ezra", model=model)

    weights = {"better": 0.9, "zephyr": 0.1}
    choice = {"model": "better", "success": 0.9, "samples": 40, "weights": weights}
    bench.draw = 0.2
    bench.publish(models={"read": choice}, breakers=[shut("better")])
    assert bench.harness.choose_model("read", "mine") == "zephyr"

    bench.publish(models={"read": choice}, breakers=[shut("better"), shut("zephyr")], revision=18)
    assert bench.harness.choose_model("read", "mine") == "mine"

    bench.publish(models={"read": choice}, revision=19)
    assert bench.harness.choose_model("read", "mine") == "better"


def test_a_house_is_chosen_by_itself_only_where_it_is_sure(bench: Bench) -> None:
    route = {"house": "bezalel", "confidence": 0.9, "samples": 40}
    bench.publish(routes={"deploy": route, "ls": {**route, "confidence": 0.5}})

    assert bench.harness.choose_house("deploy") == (House.BEZALEL, True)
    assert bench.harness.choose_house("ls") == (House.BEZALEL, False)
    assert bench.harness.choose_house("unknown") == (House.TIMMY, False)


def test_whether_a_published_choice_was_followed_is_recorded(bench: Bench) -> None:
    route = {"house": "ezra", "confidence": 0.9, "samples": 40}
    bench.publish(routes={"deploy": route, "ls": {**route, "house": "bezalel"}})
    for tool in ("deploy", "ls", "other"):
        _called(bench, True, lambda: 1, tool=tool)

    assert [line.get("followed") for line in bench.lines()] == [True, False, None]
    assert [line["policy"] for line in bench.lines()] == [17] * 3


def test_a_result_can_be_judged(bench: Bench) -> None:
    def judge(result: object) -> str:
        return {1: "ok", 2: "error", 3: "nonsense"}[result]  # type: ignore[index]

    for result in (1, 2, 3, 4):
        assert _called(bench, True, lambda r: r, args=(result,), judge=judge) == result
    assert bench.outcomes() == ["ok", "error", "unknown", "unknown"]


def test_simple_mode_records_and_obeys_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, mode=Mode.SIMPLE)
    bench.publish(
        breakers=[open_breaker("deploy", house="ezra")],
        models={"read": {"model": "better", "success": 0.9, "samples": 40}},
    )

    assert _called(bench, True, lambda: 1) == 1
    assert bench.harness.choose_model("read", "mine") == "mine"
    assert bench.harness.choose_house("deploy") == ("ezra", False)
    assert bench.lines()[0]["policy"] is None


def test_no_argument_and_no_result_is_written(bench: Bench) -> None:
    def leak(token: str) -> str:
        raise ValueError(token)

    with pytest.raises(ValueError, match="hunter2"):
        _called(bench, True, leak, args=("hunter2",))
    with pytest.raises(TypeError):
        _called(bench, True, leak, args=("hunter2", object(), "hunter2"))
    assert "hunter" not in (bench.folder / "timmy" / "job-1.jsonl").read_text()


def test_a_disk_that_takes_nothing_stops_no_work(tmp_path: Path) -> None:
    (tmp_path / "timmy").write_text("in the way")
    bench = Bench(tmp_path)

    assert _called(bench, True, lambda: 1) == 1
    assert bench.harness.recorder.dropped == 1


def test_a_policy_that_breaks_stops_no_work(tmp_path: Path) -> None:
    class Broken(Policies):
        def allows(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError

    bench = Bench(tmp_path, policies=Broken(tmp_path / "none"))
    assert _called(bench, True, lambda: 1) == 1


def test_names_of_houses_are_checked() -> None:
    assert House("ezra") == House.EZRA == "ezra"
    for name in ("Ezra", "", "a b", "x" * 33):
        with pytest.raises(ValueError, match=name or "^$"):
            House(name)


def test_the_decorator_keeps_name_and_signature(bench: Bench) -> None:
    @bench.harness.tool("deploy", retries=1)
    def deploy(target: str) -> str:
        """Put it there."""
        return target

    assert (deploy.__name__, deploy.__doc__) == ("deploy", "Put it there.")
    assert deploy("x") == "x"
    assert bench.harness.predict("deploy", target="x") == (
        None,
        "Insufficient data for prediction",
    )
