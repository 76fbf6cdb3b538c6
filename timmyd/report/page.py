"""PURE: the intelligence report as one HTML page that loads nothing, runs nothing, and can be mailed.

Its content policy forbids scripts and every request; all text is escaped, names of sessions are
made harmless first (`words.name`).
"""

from html import escape

from timmyd.report import charts, pieces, words
from timmyd.report.data import Report
from timmyd.report.moving_html import attention_section, hours_section, trend_cell
from timmyd.report.sentences import accuracy_sentence, velocity_sentence
from timmyd.report.style import CSS
from timmyd.report.tally import Tally

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MOST_ROWS = 40
_MOST_EVENTS = 20


def render(report: Report) -> str:
    """The whole page."""
    sections = (
        attention_section, _houses, hours_section, _changes, _learning, _tools, _models, _usage, _providers, _policies, _intake,
    )  # fmt: skip
    body = "".join(part(report) for part in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="robots" content="noindex">'
        f"<title>timmyd intelligence report</title><style>{CSS}</style></head>"
        f"<body><main>{_head(report)}{_tiles(report)}{body}{_foot(report)}</main></body></html>\n"
    )


def _head(report: Report) -> str:
    line = words.period(report.period_days)
    if report.revision:
        line += f", policy revision {report.revision} ({words.name(report.mode)})"
    if report.data_through:
        line += f", newest evidence {words.ago(report.data_through, report.timestamp)}"
    return (
        f'<header><h1>timmyd intelligence report</h1><span class="soft">{escape(words.moment(report.timestamp))}'
        f'</span></header><p class="soft">{escape(line[:1].upper() + line[1:])}</p>'
    )


def _tiles(report: Report) -> str:
    calls = sum(house.total_executions for house in report.house_performance.values())
    velocity = report.learning_velocity
    open_now = sum(breaker.get("state") == "open" for breaker in report.breakers)
    tiles = (
        (words.count(calls), "executions in this period"),
        (words.count(report.ingest.sessions), "sessions, each counted once"),
        (words.name(velocity.velocity or "too early"), "learning velocity"),
        (words.count(len(report.trials)), "changes on trial"),
        (words.count(open_now), "breakers open"),
    )
    inner = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{label}</span></div>'
        for value, label in tiles
    )
    return f'<div class="tiles">{inner}</div>'


def _houses(report: Report) -> str:
    if not report.house_performance:
        return pieces.section("Houses", '<p class="soft">No house yet.</p>')
    rows = []
    for house in report.house_performance.values():
        label = f"{words.name(house.house)}: {words.percent(house.success_rate)}, {words.interval(house.interval)}"
        turns = f"{words.count(house.turns_completed)} of {words.count(house.turns)}"
        empty = house.success_rate is None
        rows.append(
            (
                pieces.named(house.house),
                words.count(house.total_executions),
                '<span class="soft">no data yet</span>'
                if empty
                else pieces.rate(house.success_rate),
                charts.whisker(house.success_rate, house.interval, label),
                pieces.interval(house.interval),
                escape(words.latency(house.avg_latency_ms)),
                turns if house.turns else words.UNKNOWN,
                trend_cell(report, house.house),
            )
        )
    heads = (
        "",
        ">calls",
        ">success",
        "0 to 100 %",
        "95 % interval",
        ">mean time",
        ">turns completed",
        "28 days",
    )
    return pieces.section("Houses", pieces.table(heads, rows))


def _changes(report: Report) -> str:
    if not report.recent_adaptations:
        said = "None. A change needs evidence, and none called for one."
        return pieces.section("Changes", f'<p class="soft">{said}</p>')
    rows = [
        (
            f'<span class="soft one">{escape(words.short_moment(event.timestamp))}</span>',
            pieces.tag(words.name(event.kind, 24).replace("_", " "), charts.kind_class(event.kind)),
            pieces.named(str(event.change_type).removeprefix("policy."), 64),
            pieces.values(event.old_value, event.new_value),
            pieces.said(event.reason),
        )
        for event in report.recent_adaptations[:_MOST_EVENTS]
    ]
    table = pieces.table(("", "", "policy", "value", "why"), rows)
    return pieces.section(
        "Changes", charts.timeline(report.recent_adaptations, report.timestamp) + table
    )


def _learning(report: Report) -> str:
    accuracy = report.prediction_scores
    said = f"<p>{escape(velocity_sentence(report))}</p><p>{escape(accuracy_sentence(report))}</p>"
    if not accuracy.calibration:
        return pieces.section("Learning", said)
    said += (
        '<p class="soft">Each prediction was published before its call began. On the dashed '
        "line a prediction of 70 % comes true 70 times in 100; larger points stand for more calls.</p>"
    )
    return pieces.section(
        "Learning",
        f'<div class="two">{charts.calibration(accuracy.calibration)}<div>{said}</div></div>',
    )


def _tally_cells(tally: Tally, label: str) -> tuple[str, ...]:
    return (
        words.count(tally.total),
        pieces.rate(tally.success_rate),
        charts.whisker(tally.success_rate, tally.interval, label),
        pieces.interval(tally.interval),
        escape(words.latency(tally.latency_ms.p50)),
        escape(words.latency(tally.latency_ms.p95)),
    )


_TALLY_HEADS = (">calls", ">success", "0 to 100 %", "95 % interval", ">median", ">95 %")


def _tools(report: Report) -> str:
    if not report.tools:
        return ""
    rows = [
        (
            pieces.named(tool.house),
            pieces.named(tool.tool, 30),
            *_tally_cells(tool, words.name(tool.tool)),
            trend_cell(report, f"{tool.house}/{tool.tool}"),
        )
        for tool in report.tools[:_MOST_ROWS]
    ]
    rest = len(report.tools) - len(rows)
    more = (
        f'<p class="soft">{words.plural(rest, "more tool")} in <code>--json</code>.</p>'
        if rest
        else ""
    )
    return pieces.section(
        "Tools", pieces.table(("house", "tool", *_TALLY_HEADS, "28 days"), rows) + more
    )


def _models(report: Report) -> str:
    if not report.models:
        return ""
    rows = []
    for model in report.models[:_MOST_ROWS]:
        chosen = report.choices.get(model.task_type, {}).get("model") == model.model
        tag = " " + pieces.tag("chosen", "good") if chosen else ""
        cells = _tally_cells(model, words.name(model.model))
        trend = trend_cell(report, f"model:{model.model}")
        rows.append(
            (pieces.named(model.task_type, 16), pieces.named(model.model, 30) + tag, *cells, trend)
        )
    return pieces.section("Models", pieces.table(("task", "model", *_TALLY_HEADS, "28 days"), rows))


def _usage(report: Report) -> str:
    if not report.usage:
        return ""
    rows = [
        (
            pieces.named(used.house, 24),
            pieces.named(used.model, 30),
            words.count(used.requests),
            words.maybe(used.tokens_in),
            words.maybe(used.tokens_out),
            words.money(used.cost),
        )
        for used in report.usage[:_MOST_ROWS]
    ]
    heads = ("house", "model", ">requests", ">tokens in", ">tokens out", ">cost")
    return pieces.section("Tokens and cost", pieces.table(heads, rows))


def _providers(report: Report) -> str:
    failing = [one for one in report.providers if one.failed][:_MOST_ROWS]
    if not failing:
        return ""
    rows = [
        (
            pieces.named(one.house, 24),
            pieces.named(one.provider, 30),
            words.count(one.requests),
            words.count(one.failed),
            pieces.said(words.why_failed(one.errors)),
        )
        for one in failing
    ]
    heads = ("house", "provider", ">requests", ">failed", "why")
    return pieces.section("Providers", pieces.table(heads, rows))


def _policies(report: Report) -> str:
    rows = []
    for owner, keys in report.current_policies.items():
        for key, value in keys.items():
            why = report.why.get(f"{owner}.{key}", {})
            default = why.get("default")
            moved = default is not None and default != value
            shown = escape(words.number(value))
            notes = pieces.tag("pinned", "other") if why.get("pinned") else ""
            if moved:
                since = escape(words.ago(why.get("since"), report.timestamp))
                notes += (
                    f' <span class="soft">{since}:</span> {pieces.said(why.get("reason") or "")}'
                )
            rows.append(
                (
                    pieces.named(f"{owner}.{key}", 64),
                    f'<span class="moved">{shown}</span>' if moved else shown,
                    escape(words.number(default)),
                    notes,
                )
            )
    return (
        pieces.section("Policies", pieces.table(("", ">value", ">default", ""), rows))
        if rows
        else ""
    )


def _intake(report: Report) -> str:
    taken = report.ingest
    said = (
        f"<p>{words.plural(taken.executions, 'execution')} of {words.plural(taken.sessions, 'session')}, each "
        f"counted once; {words.plural(taken.duplicates, 'repeat')} recognised, "
        f"{words.plural(taken.files_failed, 'file')} failed, {words.count(taken.files_ignored)} ignored.</p>"
    )
    by_source = [f"{pieces.said(name)} {words.count(n)}" for name, n in taken.by_source.items()]
    if by_source:
        said += f'<p class="soft">First seen in: {", ".join(by_source)}.</p>'
    skipped = [f"{pieces.said(reason)} {words.count(n)}" for reason, n in taken.skipped.items()]
    if skipped:
        said += f"<p>Could not be used: {', '.join(skipped)}.</p>"
    rows = [
        (
            pieces.named(source.house),
            pieces.named(source.source),
            words.count(source.files),
            escape(words.ago(source.last_read, report.timestamp)),
            pieces.said(source.note or ""),
        )
        for source in report.sources
    ]
    table = pieces.table(("house", "source", ">files", "last read", ""), rows) if rows else ""
    return pieces.section("Taken in", said + table)


def _foot(report: Report) -> str:
    return (
        f"<footer><p>Intervals: {escape(report.interval_method)}. A success rate is ok / (ok + error + "
        "timeout); for a model, calls that it spoilt count too. What was blocked, cancelled or never "
        "answered is counted and not rated.</p></footer>"
    )
