"""Requests are booked to their turn, whatever ids sessions and turns have."""

from pathlib import Path

import pytest

from timmyd.house.budget import LEDGER_FILE, Budget, Usage
from timmyd.house.requests import RequestGate, usage_of

CHAT = {"model": "m", "api_mode": "chat_completions"}


def gate(folder: Path, **caps: float) -> RequestGate:
    budget = Budget(folder, clock=lambda: 1_795_392_000.0)
    budget.publish({"zone": "UTC", "caps": caps})
    return RequestGate(budget, lambda _session, _turn: None, "ezra")


def ask(one: RequestGate, session: str, turn: str = "t") -> bool:
    asked = one.before(CHAT, session=session, turn=turn, beside=False)
    if asked.answer is None:
        one.usage(session, "m", Usage(1_000.0, 0.0))
    return asked.answer is None


@pytest.mark.parametrize("session", ["s", "", "\udc80", "a\0b"])
@pytest.mark.parametrize("turn", ["t", ""])
def test_the_cap_of_a_turn_holds_whatever_its_ids_are(
    tmp_path: Path, session: str, turn: str
) -> None:
    one = gate(tmp_path, tokens_per_turn=2_000)
    assert [ask(one, session, turn) for _ in range(4)] == [True, True, False, False]
    assert ask(one, session, "another")


def test_ids_of_any_length_leave_the_ledger_small(tmp_path: Path) -> None:
    one = gate(tmp_path, tokens_per_day=5_000)
    asked = [ask(one, "s" * 300_000 + str(number)) for number in range(7)]
    assert (asked, one.budget.trouble) == ([True] * 5 + [False] * 2, "")
    assert (tmp_path / LEDGER_FILE).stat().st_size < 2_000


@pytest.mark.parametrize("told", [10**400, float("inf"), float("nan"), -1, True, "3", [1]])
def test_figures_that_make_no_sense_are_none(told: object) -> None:
    assert usage_of({"input_tokens": told}) is None
