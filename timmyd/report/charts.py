"""PURE: the charts of the page as inline SVG, without script; every name in them is escaped.

Colours come from the page's style by class, so that light and dark need no second drawing.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from timmyd.core.model import AdaptationEvent
from timmyd.house.units import DAY_S
from timmyd.report import words
from timmyd.report.data import CalibrationBin

_GOOD = 0.8
_POOR = 0.5
_MOST_TICKS = 7


def grade(rate: float | None) -> str:
    """The class of a rate: good, fair or poor; none while unknown."""
    if rate is None:
        return "none"
    return "good" if rate >= _GOOD else "fair" if rate >= _POOR else "poor"


def whisker(rate: float | None, interval: tuple[float, float] | None, label: str) -> str:
    """A rate on a track from 0 to 100 %, with its interval; an empty track while unknown."""
    width, height, pad = 240, 20, 7
    middle = height / 2

    def x(share: float) -> float:
        return round(pad + share * (width - 2 * pad), 1)

    marks = "".join(
        f'<line class="grid" x1="{x(at)}" x2="{x(at)}" y1="4" y2="{height - 4}"/>'
        for at in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    drawn = ""
    if rate is not None and interval is not None:
        low, high = interval
        drawn = (
            f'<line class="span {grade(rate)}" x1="{x(low)}" x2="{x(high)}" y1="{middle}" y2="{middle}"/>'
            f'<circle class="point {grade(rate)}" cx="{x(rate)}" cy="{middle}" r="5"/>'
        )
    return (
        f'<svg class="whisker" viewBox="0 0 {width} {height}" role="img">'
        f"<title>{escape(label)}</title>{marks}"
        f'<line class="track" x1="{x(0)}" x2="{x(1)}" y1="{middle}" y2="{middle}"/>{drawn}</svg>'
    )


def calibration(bins: Sequence[CalibrationBin]) -> str:
    """What was predicted (across) against what happened (up); on the diagonal predictions are honest.

    The area of a point is in proportion to its share of the predictions.
    """
    size, left, pad = 300, 44, 12
    span = size - left - pad - 4

    def x(share: float) -> float:
        return round(left + share * span, 1)

    def y(share: float) -> float:
        return round(pad + (1 - share) * span, 1)

    parts = [
        f'<line class="grid" x1="{x(0)}" x2="{x(1)}" y1="{y(share)}" y2="{y(share)}"/>'
        f'<line class="grid" x1="{x(share)}" x2="{x(share)}" y1="{y(0)}" y2="{y(1)}"/>'
        f'<text class="axis end" x="{x(0) - 6}" y="{y(share) + 4}">{share * 100:.0f}</text>'
        f'<text class="axis middle" x="{x(share)}" y="{y(0) + 16}">{share * 100:.0f}</text>'
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    parts.append(f'<line class="ideal" x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}"/>')
    most = max((one.samples for one in bins), default=0) or 1
    ordered = sorted(bins, key=lambda one: one.predicted)
    line = " ".join(f"{x(one.predicted)},{y(one.observed)}" for one in ordered)
    parts.append(f'<polyline class="curve" points="{line}"/>')
    for one in ordered:
        said = f"said {words.percent(one.predicted)}, was {words.percent(one.observed)}"
        parts.append(
            f'<circle class="dot" cx="{x(one.predicted)}" cy="{y(one.observed)}"'
            f' r="{2.5 + 6.5 * (one.samples / most) ** 0.5:.1f}">'
            f"<title>{escape(said)}, {words.plural(one.samples, 'call')}</title></circle>"
        )
    return (
        f'<svg class="calibration" viewBox="0 0 {size} {size + 2}" role="img">'
        f"<title>Calibration</title>{''.join(parts)}"
        f'<text class="axis middle" x="{x(0.5)}" y="{size - 2}">predicted %</text>'
        f'<text class="axis middle" transform="translate(10 {y(0.5)}) rotate(-90)">happened %</text>'
        "</svg>"
    )


def timeline(events: Iterable[AdaptationEvent], now: str | None) -> str:
    """The changes over time, a lane a policy, the newest to the right."""
    placed = [
        (at, str(event.change_type).removeprefix("policy."), event)
        for event in events
        if (at := words.unix(event.timestamp)) is not None
    ]
    if not placed:
        return ""
    times = [at for at, _, _ in placed]
    last = max(*times, words.unix(now) or 0.0)
    first = min(*times, last - DAY_S)
    lanes = sorted({key for _, key, _ in placed})
    width, left, right, row = 860, 240, 20, 30
    height = row * len(lanes) + 26

    def x(at: float) -> float:
        return round(left + (at - first) / (last - first) * (width - left - right), 1)

    parts = [
        f'<line class="grid" x1="{x(at)}" x2="{x(at)}" y1="4" y2="{row * len(lanes)}"/>'
        f'<text class="axis middle" x="{x(at)}" y="{height - 8}">'
        f"{datetime.fromtimestamp(at, UTC):%d %b}</text>"
        for at in _days(first, last)
    ]
    for number, key in enumerate(lanes):
        middle = row * number + row / 2
        parts.append(
            f'<line class="track" x1="{left}" x2="{width - right}" y1="{middle}" y2="{middle}"/>'
            f'<text class="lane" x="0" y="{middle + 4}">{escape(words.name(key, 34))}</text>'
        )
        parts.extend(_event(x(at), middle, event) for at, lane, event in placed if lane == key)
    return (
        f'<svg class="timeline" viewBox="0 0 {width} {height}" role="img">'
        f"<title>Changes over time</title>{''.join(parts)}</svg>"
    )


def _event(x: float, middle: float, event: AdaptationEvent) -> str:
    kind = kind_class(event.kind)
    said = (
        f"{words.moment(event.timestamp)}: {words.name(event.kind).replace('_', ' ')}, "
        f"{words.number(event.old_value)} to {words.number(event.new_value)}. "
        f"{words.name(event.reason, 240)}"
    )
    return (
        f'<circle class="event {kind}" cx="{x}" cy="{middle}" r="6.5">'
        f"<title>{escape(said)}</title></circle>"
    )


def kind_class(kind: str) -> str:
    """The class of an event: begun, kept, back, or other."""
    for word, name in (("start", "begun"), ("kept", "kept"), ("back", "back"), ("reject", "back")):
        if word in kind:
            return name
    return "other"


def _days(first: float, last: float) -> list[float]:
    """Midnights (UTC) between two times, at most `_MOST_TICKS`, evenly spaced."""
    days = int((last - first) // DAY_S) + 1
    step = DAY_S * -(-days // _MOST_TICKS)
    at = -(-first // DAY_S) * DAY_S
    found: list[float] = []
    while at <= last:
        found.append(at)
        at += step
    return found
