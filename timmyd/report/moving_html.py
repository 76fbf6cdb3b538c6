"""PURE: what moves, on the page: what needs attention, success by the day, by weekday and hour."""

from collections.abc import Sequence
from html import escape

from timmyd.report import words
from timmyd.report.charts import grade
from timmyd.report.data import Report
from timmyd.report.pieces import said, section, tag
from timmyd.report.rhythm import Day

_MOST = 20
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SHADES = 5
_WORTH_SAYING = 0.05
_SEVERITIES = {"critical": "poor", "warning": "fair", "info": "begun"}


def attention_section(report: Report) -> str:
    """What needs attention, worst first; one line where nothing does."""
    if not report.attention:
        return section("Attention", '<p class="calm">Nothing needs attention.</p>')
    rows = []
    for one in report.attention[:_MOST]:
        since = f"began {escape(words.ago(one.since, report.timestamp))}" if one.since else ""
        cost = f"{one.lost_a_day:.1f} calls a day" if one.lost_a_day >= _WORTH_SAYING else ""
        more = ", ".join(part for part in (since, cost) if part)
        command = f"<code>{escape(one.command)}</code>" if one.command else ""
        rows.append(
            f"<li>{tag(one.severity, _SEVERITIES[one.severity])} <span>{said(one.text)}"
            f'<br><span class="soft">{more}{" " if more else ""}{command}</span></span></li>'
        )
    rest = len(report.attention) - len(rows)
    end = (
        f'<p class="soft">{words.plural(rest, "more")} in <code>--json</code>.</p>' if rest else ""
    )
    return section("Attention", f'<ol class="attention">{"".join(rows)}</ol>{end}')


def trend_cell(report: Report, name: str) -> str:
    """Success by the day as a line with its interval; days without calls are gaps."""
    days = report.trends.get(name, ())
    return trend(days, words.name(name)) if any(day.rated for day in days) else ""


def trend(days: Sequence[Day], label: str) -> str:
    """The line: oldest to the left, 0 % at the bottom, the 95 % interval as a band."""
    width, height = 140.0, 28.0
    step = width / max(1, len(days) - 1)

    def point(number: int, share: float) -> str:
        return f"{number * step:.1f},{2 + (1 - share) * (height - 4):.1f}"

    runs: list[list[tuple[int, Day]]] = [[]]
    for number, day in enumerate(days):
        if day.rate is None:
            runs.append([])
        else:
            runs[-1].append((number, day))
    parts = []
    for run in filter(None, runs):
        band = [point(n, day.interval[1]) for n, day in run if day.interval]
        band += [point(n, day.interval[0]) for n, day in reversed(run) if day.interval]
        parts.append(f'<polygon class="band" points="{" ".join(band)}"/>')
        line = " ".join(point(n, day.rate) for n, day in run if day.rate is not None)
        parts.append(f'<polyline class="curve" points="{line}"/>')
    last = next(day for day in reversed(days) if day.rate is not None)
    title = f"{label}: {words.percent(last.rate)} on the last day with calls"
    return (
        f'<svg class="trend" viewBox="0 0 {width:.0f} {height:.0f}" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def hours_section(report: Report) -> str:
    """Success by weekday and hour of the day, as a table that a screen reader can read cell by cell."""
    if not any(share is not None for hours in report.week for share in hours):
        return ""
    heads = "".join(f'<th scope="col">{hour:02d}</th>' for hour in range(24))
    rows = "".join(
        f'<tr><th scope="row">{name[:3]}</th>{"".join(_cell(name, n, one) for n, one in enumerate(hours))}</tr>'
        for name, hours in zip(_WEEKDAYS, report.week, strict=True)
    )
    return section(
        "By the hour",
        f'<div class="wide"><table class="heat"><caption>Success by weekday and local hour, in per cent, '
        f'over four weeks</caption><thead><tr><th scope="col"></th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>",
    )


def _cell(weekday: str, hour: int, share: float | None) -> str:
    if share is None:
        return '<td class="none"></td>'
    shade = min(_SHADES - 1, int(share * _SHADES))
    title = f"{weekday} {hour:02d}:00: {words.percent(share)}"
    return f'<td class="{grade(share)} heat{shade}" title="{escape(title)}">{share * 100:.0f}</td>'
