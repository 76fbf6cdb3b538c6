"""Probes of a breaker that the policy opened: about one at a time for a house of many processes."""

import multiprocessing
import random
from collections import Counter
from pathlib import Path
from typing import Any

from tests.unit.house.documents import PUBLISHED_AT, document, open_breaker
from timmyd.core.publishing import encode
from timmyd.house.breaker import BreakerRule, Breakers
from timmyd.house.probes import ProbeClaims
from timmyd.house.reader import Policies

PROCESSES = 20
EVERY_S = 5.0
SLOTS = 50
DUE = PUBLISHED_AT + 30.0


def _house(folder: Path, now: list[float], *, claims: bool) -> list[Policies]:
    """What each process of one house asks."""
    path = folder / "policy.json"
    rule = {"open_at": 300, "wait_s": 30, "wait_max_s": 240, "probe_every_s": EVERY_S}
    breaker = open_breaker(probe_at=DUE)
    path.write_bytes(encode(document(breakers=[breaker], breaker_rule=rule)))
    found = []
    for _ in range(PROCESSES):
        policies = Policies(path, clock=lambda: now[0], monotonic=lambda: now[0])
        if claims:
            policies.claim_probes_in(folder / "sessions" / ".probes")
        found.append(policies)
    return found


def _probes(house: list[Policies], now: list[float], *, until: float) -> list[float]:
    """When somebody probed, with everybody asking four times a second."""
    at: list[float] = []
    while now[0] < until:
        for policies in random.Random(now[0]).sample(house, len(house)):
            verdict = policies.allows("web_search")
            assert verdict.probe or not verdict.allowed
            at += [now[0]] * verdict.probe
        now[0] += 0.25
    return at


def test_a_house_of_many_processes_probes_about_once_in_probe_every(tmp_path: Path) -> None:
    now = [DUE - 2.0]
    at = _probes(_house(tmp_path, now, claims=True), now, until=DUE + 300.0)

    assert at[0] == DUE
    assert max(Counter(at).values()) == 1
    assert 50 <= len(at) <= 61
    assert len(list((tmp_path / "sessions" / ".probes").iterdir())) <= 2


def test_where_no_claim_can_be_made_nobody_is_kept_from_probing(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("in the way")
    now = [DUE - 2.0]
    at = _probes(_house(tmp_path, now, claims=True), now, until=DUE + 6.0)

    assert len(at) >= PROCESSES


def test_without_a_directory_of_the_house_probes_are_spread(tmp_path: Path) -> None:
    now = [DUE - 2.0]
    at = _probes(_house(tmp_path, now, claims=False), now, until=DUE + 60.0)

    assert min(at) >= DUE
    assert max(at[:PROCESSES]) <= DUE + 2 * EVERY_S
    assert max(Counter(at).values()) < PROCESSES / 2


def test_what_a_house_opened_by_its_own_count_asks_nobody(tmp_path: Path) -> None:
    rule = BreakerRule()
    breakers = Breakers(rule, seed="a")
    breakers.claim = lambda *_: False
    for number in range(90):
        breakers.record("ezra", "web", float(number), "ok" if number < 60 else "error")
    breaker = breakers.get("ezra", "web")
    assert breaker is not None
    assert breaker.probe_at is not None
    assert breakers.allows("ezra", "web", breaker.probe_at).probe
    assert tmp_path.is_dir()


def test_a_clock_that_goes_back_does_not_end_the_probes(tmp_path: Path) -> None:
    claims = ProbeClaims(tmp_path / "x" / "probes")
    assert claims.take("a", 1_000.0, 5.0)
    assert not claims.take("a", 1_001.0, 5.0)
    assert claims.take("b", 1_001.0, 5.0)
    assert claims.take("a", 500.0, 5.0)
    assert claims.take("a", 1_000.0, 5.0)


def _take(folder: Path, start: Any, results: Any) -> None:
    claims = ProbeClaims(folder)
    won = 0
    for slot in range(SLOTS):
        start.wait()
        won += claims.take("a", 5.0 * slot, 5.0)
    results.put(won)


def test_of_processes_that_ask_in_one_instant_one_is_first(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=_take, args=(tmp_path / "probes", start, results)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    won = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()

    assert sum(won) == SLOTS
