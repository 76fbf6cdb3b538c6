"""The report on a terminal."""

import io
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st
from rich.console import Console

from tests.unit.report.conftest import busy_input
from timmyd.report.data import Report, ReportInput, build
from timmyd.report.text import render


def printed(report: Report, *, terminal: bool = False, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace")
    console = Console(
        file=file, width=80, force_terminal=terminal, color_system="truecolor" if terminal else None
    )
    console.print(render(report))
    file.flush()
    return raw.getvalue().decode(encoding)


def test_it_fits_into_80_columns(busy: Callable[..., ReportInput]) -> None:
    for name in ("terminal", "long_" * 30, "検索" * 30):
        assert max(len(line) for line in printed(build(busy(name))).splitlines()) <= 80


def test_without_a_terminal_there_is_no_colour(busy: Callable[..., ReportInput]) -> None:
    assert "\x1b" not in printed(build(busy()))
    assert "\x1b" in printed(build(busy()), terminal=True)


def test_every_section_says_its_figures(busy: Callable[..., ReportInput]) -> None:
    text = printed(build(busy()))

    for words in (
        "policy revision 17 (enforce)",
        "!! terminal in ezra is refused",
        "ezra.evidence_threshold is on trial: 0.7 against 0.6",
        "no data yet",
        "51 %",
        "Not rated: 7 blocked, 4 rejected, 2 unknown",
        "pinned, since 2 days ago",
        "kept  ezra.evidence_threshold  0.8 to 0.7",
        "Velocity: stable. Success 80 % before, 84 % now: +4.0 points",
        "Brier score 0.131 over 400 calls, 21 % better than the running",
        "464 executions of 41 sessions, each counted once; 1,882 repeats",
        "2 files failed, 31 ignored",
    ):
        assert words in text


def test_without_data_it_says_so_and_invents_no_figure(empty: ReportInput) -> None:
    text = printed(build(empty))

    assert "no data yet" in text
    assert "None. A change needs evidence, and none called for one." in text
    assert "no prediction has been scored yet" in text
    assert "not known yet" in text
    assert "0 %\n" not in text
    assert "50 %" not in text


def test_without_a_house_it_says_what_to_do() -> None:
    assert "timmyd check" in printed(build(ReportInput(at=0.0)))


def test_markup_in_a_name_is_shown_as_text(busy: Callable[..., ReportInput]) -> None:
    text = printed(build(busy("[bold]x[/bold]")), terminal=True)

    assert "[bold]x[/bold]" in text


@given(st.text(st.characters(), min_size=1, max_size=30))
def test_no_name_can_act_on_the_terminal(name: str) -> None:
    text = printed(build(busy_input(name)))

    assert all(line.isprintable() for line in text.split("\n"))


def test_an_ascii_terminal_gets_ascii_tracks(busy: Callable[..., ReportInput]) -> None:
    text = printed(build(busy()), encoding="ascii")

    assert "o=" in text or "=o" in text
    assert "●" not in text


@pytest.mark.parametrize("rate", [0.0, 0.004, 0.5, 0.996, 1.0])
def test_a_track_is_always_as_long(rate: float, row: Callable[..., object]) -> None:
    ok = round(rate * 1000)
    rows = [row("a", "t", ok=ok, error=1000 - ok)]
    text = printed(build(ReportInput(at=0.0, counts=rows)))  # type: ignore[arg-type]

    (line,) = [line for line in text.splitlines() if "●" in line]
    assert sum(line.count(sign) for sign in "·━●") == 21
