"""Figures as words, and foreign names made harmless."""

import unicodedata

import pytest
from hypothesis import given, strategies as st

from timmyd.report import words


@given(st.text(st.characters(), max_size=80), st.integers(4, 60))
def test_a_name_is_one_short_line_without_anything_that_acts(text: str, longest: int) -> None:
    shown = words.name(text, longest)

    assert len(shown) <= longest
    assert shown.isprintable()
    assert all(
        unicodedata.category(letter) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for letter in shown
    )
    shown.encode()


def test_an_ordinary_name_is_shown_as_it_is() -> None:
    assert words.name("git push") == "git push"
    assert words.name("Überprüfung 検索") == "Überprüfung 検索"


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("a\nb", "a\\x0ab"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\ud800", "\\ud800"),
        ("a\u00a0b", "a\\xa0b"),
        ("o" + "\u0301" * 30, "o\u0301"),
        ("x" * 60, "x" * 47 + "…"),
    ],
)
def test_what_could_act_is_spelled_out(hostile: str, shown: str) -> None:
    assert words.name(hostile) == shown


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(None, "–"), (0.0, "0 %"), (0.001, "<1 %"), (0.5, "50 %"), (0.999, ">99 %"), (1.0, "100 %")],  # noqa: RUF001
)
def test_certainty_is_shown_only_where_it_is(rate: float | None, shown: str) -> None:
    assert words.percent(rate) == shown


def test_an_interval_is_rounded_outwards() -> None:
    assert words.interval((0.206, 1.0)) == "20 to 100 %"
    assert words.interval((0.0, 0.791)) == "0 to 80 %"
    assert words.interval((0.29, 0.57)) == "29 to 57 %"
    assert words.interval(None) == words.UNKNOWN


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(None, "–"), (0.2, "<1 ms"), (740.2, "740 ms"), (1_340, "1.3 s"), (42_000, "42 s"), (90_000, "1.5 min")],  # noqa: RUF001
)  # fmt: skip
def test_latency_has_the_unit_that_fits(milliseconds: float | None, shown: str) -> None:
    assert words.latency(milliseconds) == shown


def test_times_are_said_from_now() -> None:
    now = "2026-11-22T12:00:00Z"

    assert words.ago("2026-11-22T11:59:30Z", now) == "just now"
    assert words.ago("2026-11-22T11:58:00Z", now) == "2 minutes ago"
    assert words.ago("2026-11-22T10:30:00Z", now) == "1 hour ago"
    assert words.ago("2026-11-02T10:30:00Z", now) == "20 days ago"
    assert words.ago("2026-11-23T00:05:00Z", now) == "23 Nov 2026 00:05 UTC"
    assert words.ago(None, now) == words.UNKNOWN
    assert words.ago("soon\x1b", now) == "soon\\x1b"
    assert words.short_moment("2026-11-02T10:30:00Z") == "2 Nov, 10:30"


def test_a_value_is_written_as_it_is_set() -> None:
    assert words.number(0.7000000000000001) == "0.7"
    assert words.number(1) == "1"
    assert words.number(None) == words.UNKNOWN
    assert words.number("\x07") == "\\x07"
    assert words.points(-0.042) == "\N{MINUS SIGN}4.2 points"
    assert words.plural(1, "call") == "1 call"
    assert words.plural(1_200, "call") == "1,200 calls"
    assert words.period(None) == "all time that is kept"
    assert words.period(1) == "last day"
