"""Requests are booked to their turn, whatever ids sessions and turns have."""

from pathlib import Path

import pytest

from timmyd.house.budget import LEDGER_FILE, Budget, Usage
from timmyd.house.model_request import failed, failure_of
from timmyd.house.outages import FailedRequest, Upstream
from timmyd.house.providers import Providers
from timmyd.house.requests import RequestGate, usage_of

CHAT = {"model": "m", "api_mode": "chat_completions"}


def gate(folder: Path, **caps: float) -> RequestGate:
    budget = Budget(folder, clock=lambda: 1_795_392_000.0)
    budget.publish({"zone": "UTC", "caps": caps})
    return RequestGate(budget, Providers(folder), lambda _session, _turn: None, "ezra")


def ask(one: RequestGate, session: str, turn: str = "t") -> bool:
    asked = one.before(CHAT, session=session, turn=turn, may_end=True)
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


def outage_gate(folder: Path, now: list[float], *, has_fallback: bool = False) -> RequestGate:
    def pause(seconds: float) -> None:
        now[0] += seconds

    providers = Providers(folder, clock=lambda: now[0], draw=lambda: 0.0)
    return RequestGate(
        Budget(folder, clock=lambda: now[0]), providers, lambda _session, _turn: None, "ezra",
        clock=lambda: now[0], pause=pause, has_fallback=lambda: has_fallback,
    )  # fmt: skip


def request(one: RequestGate, name: str, session: str = "s", **given: object) -> str:
    """What is said in the place of a request; empty where it is sent."""
    payload = {
        **CHAT,
        "provider": "p",
        "base_url": "http://here/v1",
        "api_request_id": name,
        **given,
    }
    asked = one.before(payload, session=session, turn="t", may_end=True)
    return "" if asked.answer is None else f"{asked.rule}: {asked.answer}"


def lose(one: RequestGate, times: int = 1) -> None:
    for _ in range(times):
        for gave_up in (False, False, True):
            upstream = Upstream.of("p", "http://here/v1", "m")
            one.providers.failed(upstream, FailedRequest("overloaded", gave_up=gave_up))


def test_a_probe_due_in_a_moment_is_waited_for_and_one_that_is_not_ends_the_turn(
    tmp_path: Path,
) -> None:
    now = [1_795_392_000.0]
    one = outage_gate(tmp_path, now)
    lose(one)
    began = now[0]
    assert request(one, "r1") == ""
    assert 4.0 < now[0] - began < 6.0
    lose(one, 2)
    began = now[0]
    assert "provider_down: " in request(one, "r2", "other")
    assert now[0] == began
    assert request(one, "r1") == "", "its own tries are left to Hermes"


def test_a_fallback_of_hermes_is_never_kept_from_it(tmp_path: Path) -> None:
    one = outage_gate(tmp_path, [1_795_392_000.0], has_fallback=True)
    lose(one, 5)
    assert [request(one, str(number)) for number in range(5)] == [""] * 5


def test_what_no_answer_of_ours_fits_is_sent(tmp_path: Path) -> None:
    one = outage_gate(tmp_path, [1_795_392_000.0])
    lose(one, 5)
    assert request(one, "r", api_mode="bedrock_converse") == ""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"status_code": 503, "retry_count": 0, "max_retries": 3}, ("overloaded", False, 3)),
        ({"status_code": 503, "retry_count": 2, "max_retries": 3}, ("overloaded", True, 3)),
        ({"status_code": 503, "retry_count": 0, "max_retries": 1}, ("overloaded", True, 1)),
        ({"status_code": 402, "retryable": False}, ("billing", True, 1)),
        ({"status_code": 401, "retryable": False}, ("auth", True, 1)),
        ({"status_code": 403, "retryable": False}, ("auth", True, 3)),
        ({"reason": "content_policy_blocked"}, ("content_policy_blocked", False, 3)),
        ({"retry_count": "x", "max_retries": None}, ("", False, 3)),
        ({"error": {"type": "APITimeoutError"}, "retry_count": 9}, ("timeout", True, 3)),
    ],
)
def test_a_failed_request_says_what_it_means_for_its_provider(
    given: dict[str, object], told: tuple[str, bool, int]
) -> None:
    assert failure_of(given, failed(given, "m", None)) == FailedRequest(*told)
