import io
from pathlib import Path

import pytest

from timmyd import IntelligenceEngine, PatternDatabase
from timmyd.service.logs import configure
from timmyd.service.report_page import REPORT_EVERY_S, ReportPage

NOW = 1_795_500_000.0


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def page(said: io.StringIO) -> ReportPage:
    engine = IntelligenceEngine(PatternDatabase(":memory:", clock=lambda: NOW), clock=lambda: NOW)
    engine.record_executions(
        {"at": NOW - n, "house": "ezra", "tool": "terminal", "outcome": "ok"} for n in range(30)
    )
    return ReportPage(engine, configure("info", "json", stream=said))


def test_it_is_written_whole_and_at_most_every_five_minutes(
    page: ReportPage, tmp_path: Path
) -> None:
    target = tmp_path / "report.html"

    assert page.keep(target, 10.0)
    text = target.read_text(encoding="utf-8")
    assert "ezra" in text
    assert text.rstrip().endswith("</html>")
    assert target.stat().st_mode & 0o777 == 0o644
    assert not page.keep(target, 10.0 + REPORT_EVERY_S - 1.0)
    assert page.keep(target, 10.0 + REPORT_EVERY_S)
    assert list(tmp_path.iterdir()) == [target]


def test_nowhere_is_nothing_and_a_new_place_is_written_at_once(
    page: ReportPage, tmp_path: Path
) -> None:
    assert not page.keep(None, 0.0)
    assert page.keep(tmp_path / "a.html", 1.0)
    assert page.keep(tmp_path / "b.html", 2.0)


def test_what_cannot_be_written_is_said_once_and_tried_again(
    page: ReportPage, tmp_path: Path, said: io.StringIO
) -> None:
    target = tmp_path / "none" / "report.html"

    assert not page.keep(target, 0.0)
    assert not page.keep(target, REPORT_EVERY_S)
    assert said.getvalue().count("page_failed") == 1
    target.parent.mkdir()
    assert page.keep(target, 2 * REPORT_EVERY_S)
