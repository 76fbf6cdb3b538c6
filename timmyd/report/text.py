"""The intelligence report for a terminal: made for 80 columns, readable without colour.

Everything is a `rich.text.Text`, never markup: names come from sessions and are hostile.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from timmyd.report import words
from timmyd.report.attention_types import Attention
from timmyd.report.data import Report
from timmyd.report.fitting import FittingTable
from timmyd.report.marks import Spark, Whisker, colour
from timmyd.report.sentences import accuracy_sentence, velocity_sentence
from timmyd.report.tally import Tally

_MOST_ROWS = 12
_MOST_EVENTS = 8
_MOST_ATTENTION = 12
_WORTH_SAYING = 0.05
_NAME = 26
_DROPS = ("0 to 100 %", "14 days", "interval", "95 %", "median", "requests", "default")
"""Columns that a narrow terminal does without, the first of them first."""


def render(report: Report) -> RenderableType:
    """The whole report. Give it to `Console.print`; without a terminal rich leaves out the colours."""
    parts: list[RenderableType] = [_head(report)]
    for section in (
        _attention, _houses, _tools, _models, _usage, _providers, _policies, _adaptations, _learning, _intake,
    ):  # fmt: skip
        parts.extend(section(report))
    return Group(*parts)


def _head(report: Report) -> RenderableType:
    title = Table.grid(expand=True)
    title.add_column()
    title.add_column(justify="right")
    title.add_row(
        Text("timmyd intelligence report", style="bold"),
        Text(words.moment(report.timestamp), style="dim"),
    )
    line = words.period(report.period_days)
    if report.revision:
        line += f", policy revision {report.revision} ({words.name(report.mode)})"
    if report.data_through:
        line += f", newest evidence {words.ago(report.data_through, report.timestamp)}"
    return Group(title, Text(line, style="dim"))


def _section(title: str, body: RenderableType, note: str | None = None) -> list[RenderableType]:
    parts: list[RenderableType] = [
        Text(),
        Text(title, style="bold cyan"),
        Padding(body, (0, 0, 0, 2), expand=False),
    ]
    if note:
        parts.append(Padding(Text(note, style="dim"), (0, 0, 0, 2), expand=False))
    return parts


def _table(*columns: tuple[str, str]) -> Table:
    """A table without lines; each column a heading and `<` or `>`."""
    table = FittingTable(drops=_DROPS)
    for heading, side in columns:
        justify: Any = "right" if side == ">" else "left"
        table.add_column(Text(heading), justify=justify, no_wrap=side != "~", overflow="ellipsis")
    return table


def _rate(rate: float | None) -> Text:
    return Text(words.percent(rate), style=colour(rate))


def _name(text: object, longest: int = _NAME) -> Text:
    return Text(words.name(text, longest))


def _dim(text: str) -> Text:
    return Text(text, style="dim")


def _attention(report: Report) -> list[RenderableType]:
    """What needs attention, worst first; one line where nothing does."""
    if not report.attention:
        return _section("Attention", Text("Nothing needs attention.", style="green"))
    return _section("Attention", Group(*attention_lines(report.attention)))


def attention_lines(found: Sequence[Attention], *, most: int = _MOST_ATTENTION) -> list[Text]:
    """Each thing with what it costs, and the command that says more; `status` shows the same."""
    colours = {"critical": "bold red", "warning": "bold yellow", "info": "bold magenta"}
    marks = {"critical": "!! ", "warning": "!  ", "info": "   "}
    lines = []
    for one in found[:most]:
        cost = f", {one.lost_a_day:.1f} calls a day" if one.lost_a_day >= _WORTH_SAYING else ""
        command = f"  [{one.command}]" if one.command else ""
        lines.append(
            Text.assemble(
                (marks[one.severity], colours[one.severity]), one.text, cost, (command, "dim")
            )
        )
    if len(found) > most:
        lines.append(Text(f"   {words.plural(len(found) - most, 'more')} in --json", style="dim"))
    return lines


def _houses(report: Report) -> list[RenderableType]:
    if not report.house_performance:
        hint = (
            "No house yet. timmyd finds Hermes homes by itself; `timmyd check` says where it looks."
        )
        return _section("Houses", Text(hint))
    table = _table(("", "<"), ("calls", ">"), ("success", ">"), ("0 to 100 %", "<"), ("interval", "<"), ("14 days", "<"))  # fmt: skip
    for house in report.house_performance.values():
        if not house.total_executions:
            table.add_row(_name(house.house), _dim("0"), Text(), _dim("no data yet"))
            continue
        table.add_row(
            _name(house.house),
            Text(words.count(house.total_executions)),
            _rate(house.success_rate),
            Whisker(house.success_rate, house.interval),
            _dim(words.interval(house.interval)),
            Spark(report.trends.get(house.house, ())),
        )
    return _section("Houses", table)


def _tools(report: Report) -> list[RenderableType]:
    shown = report.tools[:_MOST_ROWS]
    if not shown:
        return []
    table = _table(("", "<"), ("", "<"), ("calls", ">"), ("success", ">"), ("interval", "<"), ("14 days", "<"), ("95 %", ">"))  # fmt: skip
    for tool in shown:
        table.add_row(
            _name(tool.house, 10),
            _name(tool.tool, 16),
            Text(words.count(tool.total)),
            _rate(tool.success_rate),
            _dim(words.interval(tool.interval)),
            Spark(report.trends.get(f"{tool.house}/{tool.tool}", ())),
            Text(words.latency(tool.latency_ms.p95)),
        )
    rest = len(report.tools) - len(shown)
    note = _unrated(report.tools)
    more = [f"{words.plural(rest, 'more tool')} in --json"] if rest else []
    return _section("Tools", table, ". ".join([*note, *more]) or None)


def _unrated(tools: Iterable[Tally]) -> list[str]:
    """The calls that are counted and shown, not rated."""
    sums = {
        name: sum(getattr(tool, name) for tool in tools)
        for name in ("blocked", "cancelled", "rejected", "unknown")
    }
    found = [f"{words.count(n)} {name}" for name, n in sums.items() if n]
    return ["Not rated: " + ", ".join(found)] if found else []


def _models(report: Report) -> list[RenderableType]:
    if not report.models:
        return []
    table = _table(("", "<"), ("", "<"), ("calls", ">"), ("success", ">"), ("interval", "<"), ("median", ">"), ("", "<"))  # fmt: skip
    for model in report.models[:_MOST_ROWS]:
        chosen = report.choices.get(model.task_type, {}).get("model") == model.model
        table.add_row(
            _name(model.task_type, 8),
            _name(model.model, 24),
            Text(words.count(model.total)),
            _rate(model.success_rate),
            _dim(words.interval(model.interval)),
            Text(words.latency(model.latency_ms.p50)),
            Text("chosen", style="green") if chosen else Text(),
        )
    rest = len(report.models) - _MOST_ROWS
    return _section("Models", table, f"{rest} more in --json" if rest > 0 else None)


def _usage(report: Report) -> list[RenderableType]:
    """Tokens and money; a dash is unknown, not nothing."""
    if not report.usage:
        return []
    table = _table(("", "<"), ("", "<"), ("requests", ">"), ("tokens in", ">"), ("out", ">"), ("cost", ">"))  # fmt: skip
    for used in report.usage[:_MOST_ROWS]:
        table.add_row(
            _name(used.house, 16),
            _name(used.model, 24),
            Text(words.count(used.requests)),
            Text(words.maybe(used.tokens_in)),
            Text(words.maybe(used.tokens_out)),
            Text(words.money(used.cost)),
        )
    return _section("Tokens and cost", table)


def _providers(report: Report) -> list[RenderableType]:
    """Requests to models that failed, by provider and class of error."""
    failing = [one for one in report.providers if one.failed][:_MOST_ROWS]
    if not failing:
        return []
    table = _table(("", "<"), ("", "<"), ("requests", ">"), ("failed", ">"), ("why", "~"))
    for one in failing:
        table.add_row(
            _name(one.house, 16),
            _name(one.provider, 24),
            Text(words.count(one.requests)),
            Text(words.count(one.failed)),
            _dim(words.why_failed(one.errors)),
        )
    return _section("Providers", table)


def _policies(report: Report) -> list[RenderableType]:
    table = _table(("", "<"), ("value", ">"), ("default", ">"), ("", "~"))
    for owner, keys in report.current_policies.items():
        for key, value in keys.items():
            why = report.why.get(f"{owner}.{key}", {})
            default = why.get("default")
            moved = default is not None and default != value
            pinned = "pinned" if why.get("pinned") else ""
            since = f"since {words.ago(why.get('since'), report.timestamp)}" if moved else ""
            table.add_row(
                Text(words.name(f"{owner}.{key}", 45)),
                Text(words.number(value), style="bold" if moved else ""),
                _dim(words.number(default)),
                _dim(", ".join(part for part in (pinned, since) if part)),
            )
    return _section("Policies", table) if table.row_count else []


def _adaptations(report: Report) -> list[RenderableType]:
    if not report.recent_adaptations:
        return _section("Changes", Text("None. A change needs evidence, and none called for one."))
    lines: list[RenderableType] = []
    for event in report.recent_adaptations[:_MOST_EVENTS]:
        key = str(event.change_type).removeprefix("policy.")
        lines.append(
            Text.assemble(
                (f"{words.ago(event.timestamp, report.timestamp):<15} ", "dim"),
                (words.name(event.kind, 16).replace("_", " "), "bold"),
                f"  {words.name(key, 45)}  {words.number(event.old_value)} to {words.number(event.new_value)}",
            )
        )
        lines.append(
            Padding(Text(words.name(event.reason, 240), style="dim"), (0, 0, 0, 16), expand=False)
        )
    return _section("Changes", Group(*lines))


def _learning(report: Report) -> list[RenderableType]:
    return _section(
        "Learning", Group(Text(velocity_sentence(report)), Text(accuracy_sentence(report)))
    )


def _intake(report: Report) -> list[RenderableType]:
    taken = report.ingest
    lines: list[RenderableType] = [
        Text(
            f"{words.plural(taken.executions, 'execution')} of {words.plural(taken.sessions, 'session')}, "
            f"each counted once; {words.plural(taken.duplicates, 'repeat')} recognised."
        )
    ]
    if taken.by_source:
        parts = [f"{words.name(source)} {words.count(n)}" for source, n in taken.by_source.items()]
        lines.append(_dim("First seen in: " + ", ".join(parts)))
    if taken.skipped:
        parts = [f"{words.name(reason)} {words.count(n)}" for reason, n in taken.skipped.items()]
        lines.append(Text("Could not be used: " + ", ".join(parts), style="yellow"))
    if taken.files_failed or taken.files_ignored:
        lines.append(
            Text(
                f"{words.plural(taken.files_failed, 'file')} failed, {words.count(taken.files_ignored)}"
                " ignored; `timmyd status` says which and why.",
                style="yellow" if taken.files_failed else "dim",
            )
        )
    lines.extend(
        Text(
            f"{words.name(source.house)} / {words.name(source.source)}: {words.name(source.note, 120)}"
        )
        for source in report.sources
        if source.note
    )
    return _section("Taken in", Group(*lines))
