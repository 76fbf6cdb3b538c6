"""PURE: the live view of `status --watch` as one screen of text, whatever the size of the terminal.

What needs attention has the most room, the newest events what is left; nothing wraps, so that the height is
known. Everything is a `rich.text.Text`, never markup: names come from sessions and are hostile.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

import msgspec
from rich.text import Text

from timmyd.core.model import AdaptationEvent
from timmyd.report import words
from timmyd.report.attention_types import Attention
from timmyd.report.text import attention_lines

Sort = Literal["harm", "house", "newest"]
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)

RATE_S: Final = 300.0
"""How far back rates look."""

_MINUTE_S: Final = 60.0
_MOST_HOUSES: Final = 4
_LEAST_EVENTS: Final = 4
_FRAME: Final = 8


class SeenCall(msgspec.Struct, frozen=True, gc=False):
    """One call of the last minutes: Unix seconds, its house, whether it succeeded (None: not rated)."""

    at: float
    house: str
    ok: bool | None


class LiveView(msgspec.Struct, frozen=True, kw_only=True):
    """All that the screen shows.

    Attributes:
        now: Unix seconds.
        state: The state directory.
        pid: The daemon's; None where none runs.
        status: What the daemon last said of itself.
        executions: How many are counted; None where the database cannot be read.
        calls: Of the last `RATE_S`, any order.
        attention: The one list, in order of harm.
        events: The newest, oldest first.
        trouble: Why the database cannot be read; None where it can.
    """

    now: float
    state: str
    pid: int | None
    status: Mapping[str, Any]
    executions: int | None
    calls: Sequence[SeenCall]
    attention: Sequence[Attention]
    events: Sequence[AdaptationEvent]
    trouble: str | None = None


def screen(view: LiveView, *, sort: Sort, width: int, height: int) -> Text:
    """The whole screen: at most `height` lines of at most `width` columns."""
    room = max(2, height - _FRAME)
    wanted = max(1, len(view.attention))
    for_events = min(len(view.events), max(_LEAST_EVENTS, room - wanted))
    for_attention = max(1, room - for_events)
    lines = [
        _head(view),
        *_figures(view),
        Text(),
        Text(f"Attention, by {sort}", style="bold cyan"),
        *_attention(view, sort, for_attention),
        Text("Newest events", style="bold cyan"),
        *_events(view, min(for_events, room - min(wanted, for_attention))),
    ]
    body = lines[: max(1, height - 1)]
    body += [Text()] * (height - 1 - len(body))
    foot = Text(f"q leaves   s sorts by {_after(sort)}", style="dim")
    for line in (*body, foot):
        line.truncate(max(1, width), overflow="ellipsis")
    return Text("\n").join([*body, foot][-height:])


def _after(sort: Sort) -> Sort:
    """The order that comes next."""
    return SORTS[(SORTS.index(sort) + 1) % len(SORTS)]


def _head(view: LiveView) -> Text:
    running = (
        ("not running", "bold red")
        if view.pid is None
        else (f"running (pid {view.pid})", "bold green")
    )
    return Text.assemble("timmyd is ", running, f" on {words.name(view.state, 200)}")


def _figures(view: LiveView) -> list[Text]:
    if view.trouble is not None:
        first, *more = view.trouble.splitlines()
        shown = [f"the database cannot be read: {first}", *(f"  hint: {line}" for line in more[:1])]
        return [Text(line, style="bold red") for line in shown]
    status = view.status
    if not status:
        return [Text("nothing was recorded yet")]
    parts = [f"{words.count(view.executions or 0)} calls counted"]
    parts.append(f"{words.count(int(status.get('backlog') or 0))} files wait")
    ingested_at = status.get("ingested_at")
    if ingested_at is not None:
        parts.append(f"last read {words.span(view.now - ingested_at)} ago")
    seen_at = status.get("seen_at")
    if seen_at is not None:
        parts.append(f"last tick {words.span(view.now - seen_at)} ago")
    return [Text(", ".join(parts)), _rates(view)]


def _rates(view: LiveView) -> Text:
    """Calls a minute and success of the last minutes, of all and of the busiest houses."""
    recent = [call for call in view.calls if 0 <= view.now - call.at < RATE_S]
    minutes = words.plural(int(RATE_S / _MINUTE_S), "minute")
    if not recent:
        return Text(f"last {minutes}: no calls")
    by_house: dict[str, list[SeenCall]] = {}
    for call in recent:
        by_house.setdefault(call.house, []).append(call)
    busiest = sorted(by_house.items(), key=lambda item: (-len(item[1]), item[0]))[:_MOST_HOUSES]
    parts = [f"last {minutes}: {_rate(recent)}"]
    parts += [f"{words.name(house, 20)} {_rate(calls)}" for house, calls in busiest]
    return Text("; ".join(parts))


def _rate(calls: Sequence[SeenCall]) -> str:
    rated = [call.ok for call in calls if call.ok is not None]
    success = f", {words.percent(sum(rated) / len(rated))} ok" if rated else ""
    return f"{len(calls) * _MINUTE_S / RATE_S:.1f} calls/min{success}"


def _attention(view: LiveView, sort: Sort, room: int) -> list[Text]:
    if not view.attention:
        calm = "Nothing needs attention." if view.trouble is None else ""
        return [Text(calm, style="green")]
    found = list(view.attention)
    if sort == "house":
        found.sort(key=lambda one: one.house or "")
    elif sort == "newest":
        found.sort(key=lambda one: words.unix(one.since) or 0.0, reverse=True)
    return attention_lines(found, most=len(found) if len(found) <= room else max(1, room - 1))


def _events(view: LiveView, room: int) -> list[Text]:
    if not view.events:
        return [Text("nothing has happened yet" if view.trouble is None else "")]
    return [
        Text(
            f"{words.short_moment(event.timestamp)}  {words.name(event.change_type)}:"
            f" {words.name(event.reason, 200)}"
        )
        for event in reversed(view.events[-max(1, room) :])
    ]
