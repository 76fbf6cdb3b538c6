"""Tokens and money by house and model: from lines of telemetry and from Hermes' own store, each session once."""

import json
from pathlib import Path

import pytest

from tests.made_home import RUN, MadeHome, chat
from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.config import Price, Settings
from timmyd.report.collect import collect
from timmyd.report.page import render as render_page
from timmyd.report.text import render
from timmyd.store.usage import ModelUsage

NOW = 1_795_500_000.0
PRICES = {"m": (2.0, 10.0), "free": (0.0, 0.0)}


@pytest.fixture
def home(tmp_path: Path) -> MadeHome:
    return MadeHome(tmp_path / "home", now=NOW)


def usage_table(home: MadeHome, *rows: tuple[str, str, int, int, int, float]) -> None:
    home.database().execute(
        "CREATE TABLE IF NOT EXISTS session_model_usage (session_id TEXT, model TEXT, task TEXT DEFAULT '',"
        " api_call_count INTEGER, input_tokens INTEGER, output_tokens INTEGER, actual_cost_usd REAL,"
        " estimated_cost_usd REAL, first_seen REAL, last_seen REAL)"
    )
    home.database().execute("DELETE FROM session_model_usage")
    home.database().executemany(
        "INSERT INTO session_model_usage VALUES (?, ?, '', ?, ?, ?, 0.0, ?, 1795496000.0, 1795497000.0)",
        rows,
    )


def work(home: MadeHome, sid: str, number: int = 1) -> None:
    for n in range(number):
        home.ask(sid, chat(f"call_{sid}{n}"))
        home.answer(sid, f"call_{sid}{n}")


def model_line(
    home: MadeHome,
    sid: str,
    n: int,
    model: str,
    *,
    tokens: tuple[int, int] | None,
    outcome: str = "ok",
    **more: str,
) -> None:
    path = home.sessions / "timmy" / f"{sid}.jsonl"
    lines = (
        [] if path.exists() else [{"schema": "timmy.telemetry/1", "run": RUN, "session_id": sid}]
    )
    line = {"run": RUN, "n": n, "at": home.at, "kind": "model", "model": model, "outcome": outcome}
    line |= more
    if tokens is not None:
        line |= {"tokens_in": tokens[0], "tokens_out": tokens[1]}
    with path.open("a") as file:
        file.writelines(json.dumps(one) + "\n" for one in (*lines, line))


def used(
    home: MadeHome, store: PatternDatabase | None = None
) -> tuple[PatternDatabase, list[ModelUsage]]:
    found = home.read(store)
    return found.store, found.store.usage(0.0, PRICES)


def test_sessions_of_a_database_are_summed_and_their_growth_is_no_addition(home: MadeHome) -> None:
    for sid in ("S1", "S2"):
        home.session(sid)
        work(home, sid)
    usage_table(home, ("S1", "m", 2, 1_000, 100, 0.0), ("S2", "m", 1, 500, 50, 0.0))
    store, first = used(home)
    (one,) = first
    assert (one.house, one.sessions, one.requests) == ("timmy", 2, 3)
    assert (one.tokens_in, one.tokens_out) == (1_500, 150)
    assert one.cost == pytest.approx(0.0045)
    work(home, "S1", 2)
    usage_table(home, ("S1", "m", 4, 3_000, 300, 0.0), ("S2", "m", 1, 500, 50, 0.0))
    _, (grown,) = used(home, store)
    assert (grown.requests, grown.tokens_in, grown.tokens_out) == (5, 3_500, 350)


def test_of_two_sources_that_show_a_session_counts_which_shows_more(home: MadeHome) -> None:
    home.session("S1")
    work(home, "S1")
    usage_table(home, ("S1", "m", 3, 1_000, 100, 0.0))
    for n in range(1, 3):
        model_line(home, "S1", n, "m", tokens=(400, 40))
    model_line(home, "S9", 1, "m", tokens=(7, 3))
    _, (found,) = used(home)
    assert (found.sessions, found.tokens_in, found.tokens_out) == (2, 1_007, 103)


def test_what_is_unknown_stays_unknown(home: MadeHome) -> None:
    home.session("S1", model="dear")
    work(home, "S1")
    usage_table(home, ("S1", "dear", 1, 10, 1, 0.0))
    model_line(home, "S2", 1, "quiet", tokens=None)
    model_line(home, "S3", 1, "free", tokens=(5, 5))
    _, found = used(home)
    assert {one.model: (one.tokens_in, one.cost) for one in found} == {
        "dear": (10, None), "quiet": (None, None), "free": (5, 0.0)
    }  # fmt: skip


def test_the_sources_own_cost_wins_over_a_price(home: MadeHome) -> None:
    home.session("S1")
    work(home, "S1")
    usage_table(home, ("S1", "m", 1, 10, 1, 0.25))
    assert used(home)[1][0].cost == 0.25


def test_an_older_store_says_it_by_session(home: MadeHome) -> None:
    for column in ("api_call_count", "input_tokens", "output_tokens"):
        home.database().execute(f"ALTER TABLE sessions ADD COLUMN {column} INTEGER")
    home.session("S1", api_call_count=4, input_tokens=70, output_tokens=7)
    work(home, "S1")
    _, (found,) = used(home)
    assert (found.requests, found.tokens_in, found.tokens_out) == (4, 70, 7)


def test_report_and_page_show_tokens_and_cost_by_house_and_model(home: MadeHome) -> None:
    home.session("S1")
    work(home, "S1")
    usage_table(home, ("S1", "m", 2, 1_000_000, 100_000, 0.0))
    model_line(home, "S2", 1, "quiet", tokens=None)
    store, _ = used(home)
    settings = Settings(prices={"m": Price(per_million_in=2.0, per_million_out=10.0)})
    engine = IntelligenceEngine(store, settings=settings, clock=lambda: NOW)

    report = collect(engine, days=None)

    shown = {(one.house, one.model): one.cost for one in report.usage}
    assert shown == {("timmy", "m"): 3.0, ("timmy", "quiet"): None}
    from rich.console import Console

    console = Console(width=120)
    with console.capture() as captured:
        console.print(render(report))
    for text in (captured.get(), render_page(report)):
        assert "Tokens and cost" in text
        assert "1,000,000" in text
        assert "3.00" in text


def test_what_the_kit_answered_itself_says_nothing_of_a_model(home: MadeHome) -> None:
    for n in range(1, 40):
        model_line(home, "S1", n, "m", tokens=None, outcome="blocked")
    model_line(home, "S1", 40, "m", tokens=(5, 5))
    store, (found,) = used(home)
    assert found.requests == 1
    assert [(ok, failed) for *_, ok, failed in store.request_totals(0.0)] == [(1, 0)]


def test_report_and_page_show_what_failed_at_which_provider_and_why_each_request_once(
    home: MadeHome,
) -> None:
    failures = ["", "timeout", "rate_limit", "", "rate_limit"]
    for n, error in enumerate(failures, start=1):
        more = {"provider": "openrouter", **({"error_class": error} if error else {})}
        model_line(home, "S1", n, "m", tokens=None, outcome="error" if error else "ok", **more)
    model_line(home, "S2", 1, "m", tokens=None, outcome="error", provider="<b>evil</b>\x1b[31m")
    model_line(home, "S3", 1, "m", tokens=None, outcome="blocked", provider="openrouter")
    model_line(home, "S4", 1, "m", tokens=None, outcome="error")
    found = home.read()
    engine = IntelligenceEngine(found.store, settings=Settings(), clock=lambda: NOW)
    report = collect(engine, days=7.0)
    told = {one.provider: (one.requests, one.failed, one.errors) for one in report.providers}

    assert told == {
        "openrouter": (5, 3, {"rate_limit": 2, "timeout": 1}),
        "unnamed": (1, 1, {"unknown": 1}),
    }
    from rich.console import Console

    console = Console(width=120)
    with console.capture() as captured:
        console.print(render(report))
    for text in (captured.get(), render_page(report)):
        assert "Providers" in text
        assert "rate limit 2, timeout 1" in text
    home.read(found.store)
    assert collect(engine, days=7.0).providers == report.providers
