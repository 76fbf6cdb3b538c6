"""What the kit does with a call that fails again and again, whatever it was given and whatever it answered."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.house.documents import PUBLISHED_AT, document, signed
from timmyd.house.calls import Caller, CallKey
from timmyd.house.kit import Kit
from timmyd.house.reader import Policies
from timmyd.house.settings import KitSettings

SECRET = "sk-planted-7f3a9b"
FAILED = json.dumps({"output": SECRET, "exit_code": 1, "error": SECRET})


class Home:
    """A kit over a policy that is in force, and calls made through it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.now, self.folder, self.made = PUBLISHED_AT + 1.0, folder, 0
        policy = folder / "policy.json"
        policy.write_bytes(signed(document()))
        self.kit = Kit(
            folder,
            KitSettings(house="timmy", **settings),
            policies=Policies(policy, clock=lambda: self.now),
            clock=lambda: self.now,
        )

    def call(self, args: Any, result: Any, *, session: str = "s", turn: str = "t") -> bool:
        """Whether it ran."""
        self.made += 1
        key = CallKey(session, "r", f"c{self.made}", "terminal")
        call = self.kit.begin(key, Caller(session, turn, inner=False), args)
        if call.decision is not None and not call.decision.allowed:
            return False
        self.kit.end(call, result=result)
        return True


def test_in_the_time_of_grace_nothing_is_said_that_is_not_so(tmp_path: Path) -> None:
    home = Home(tmp_path, grace_until=PUBLISHED_AT + 60.0)
    assert all(home.call({"command": "git push"}, FAILED) for _ in range(6))
    told = home.kit.advice("s")
    assert told is not None
    assert told.startswith("The tool terminal was called again and again as before")
    assert "not run" not in told
    assert len(told.splitlines()) == 1
    assert home.kit.advice("s") is None


def test_a_policy_that_expires_in_the_middle_of_a_turn_refuses_no_more(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert [home.call({"command": "x"}, FAILED) for _ in range(5)] == [True] * 3 + [False] * 2
    home.now += 10_000.0
    assert home.kit.obedience.repeats.end_of_turn("s", "t") is None
    assert home.call({"command": "x"}, FAILED)


class _Silent:
    def __repr__(self) -> str:
        raise ValueError(SECRET)


def _nested(depth: int) -> object:
    value: object = SECRET
    for _ in range(depth):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(
    "odd",
    [
        lambda: None,
        SECRET.encode,
        lambda: [SECRET],
        lambda: {"error": _Silent()},
        lambda: "\udc80",
        lambda: _nested(5_000),
        lambda: "[" * 100_000,
        lambda: {"command": SECRET * 100_000},
        lambda: {"command": None, SECRET: 1},
    ],
)
def test_odd_arguments_and_results_are_recorded_and_kept_nowhere(
    odd: Callable[[], Any], tmp_path: Path
) -> None:
    home = Home(tmp_path)
    home.call(odd(), FAILED)
    home.call({"command": SECRET}, odd())
    home.kit.recorder.end("s", completed=True, interrupted=False)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    lines = (tmp_path / "sessions" / "timmy" / "s.jsonl").read_text().splitlines()
    assert sum(json.loads(line).get("tool") == "terminal" for line in lines) == 2
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
