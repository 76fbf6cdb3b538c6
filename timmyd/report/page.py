"""PURE: the intelligence report as one HTML page that loads nothing, runs nothing, and can be mailed.

Its content policy forbids scripts and every request; all text is escaped, names of sessions are
made harmless first (`words.name`).
"""

from collections.abc import Iterable
from html import escape

from timmyd.report import charts, words
from timmyd.report.data import Report
from timmyd.report.sentences import accuracy_sentence, velocity_sentence
from timmyd.report.style import CSS
from timmyd.report.tally import Tally

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MOST_ROWS = 40
_MOST_EVENTS = 20


def render(report: Report) -> str:
    """The whole page."""
    sections = (
        _now, _houses, _changes, _learning, _tools, _models, _policies, _intake,
    )  # fmt: skip
    body = "".join(section(report) for section in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="robots" content="noindex">'
        f"<title>timmyd intelligence report</title><style>{CSS}</style></head>"
        f"<body><main>{_head(report)}{_tiles(report)}{body}{_foot(report)}</main></body></html>\n"
    )


def _name(text: object, longest: int = 40) -> str:
    return f'<span class="name">{escape(words.name(text, longest))}</span>'


def _said(text: object, longest: int = 300) -> str:
    return escape(words.name(text, longest))


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Headings that begin with `>` are of numbers; cells are HTML already."""
    heads = list(headings)
    numeric = [head.startswith(">") for head in heads]

    def line(tag: str, cells: Iterable[str]) -> str:
        return "<tr>" + "".join(
            f'<{tag} class="n">{cell}</{tag}>' if right else f"<{tag}>{cell}</{tag}>"
            for right, cell in zip(numeric, cells, strict=True)
        ) + "</tr>"  # fmt: skip

    head = line("th", (head.removeprefix(">") for head in heads))
    return f"<table><thead>{head}</thead><tbody>{''.join(line('td', row) for row in rows)}</tbody></table>"


def _rate(rate: float | None) -> str:
    return f'<span class="rate {charts.grade(rate)}">{escape(words.percent(rate))}</span>'


def _values(old: object, new: object) -> str:
    """A change of a value, kept on one line."""
    return f'<span class="one">{escape(words.number(old))} to {escape(words.number(new))}</span>'


def _interval(bounds: tuple[float, float] | None) -> str:
    return f'<span class="soft one">{words.interval(bounds)}</span>'


def _tag(text: str, kind: str) -> str:
    return f'<span class="tag {kind}">{escape(text)}</span>'


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


def _now(report: Report) -> str:
    rows: list[str] = []
    for breaker in report.breakers:
        half = breaker.get("state") == "half_open"
        tag = _tag("half open", "fair") if half else _tag("open", "poor")
        what = breaker.get("tool") or breaker.get("model")
        rows.append(
            f"<tr><td>{tag}</td><td>{_name(breaker.get('house'))} / {_name(what)}</td>"
            f'<td>{_said(breaker.get("reason") or "")}</td><td class="soft">since '
            f"{escape(words.ago(breaker.get('since'), report.timestamp))}</td></tr>"
        )
    for trial in report.trials:
        values = f"{words.number(trial.get('old'))} against {words.number(trial.get('new'))}"
        rows.append(
            f"<tr><td>{_tag('on trial', 'begun')}</td><td>{_name(trial.get('policy'), 64)}</td>"
            f'<td>{escape(values)}</td><td class="soft">now the {_said(trial.get("arm"), 16)} value</td></tr>'
        )
    if not rows:
        return _section("Now", '<p class="soft">No breaker is open, and no change is on trial.</p>')
    return _section("Now", f'<table class="now">{"".join(rows)}</table>')


def _houses(report: Report) -> str:
    if not report.house_performance:
        return _section("Houses", '<p class="soft">No house yet.</p>')
    rows = []
    for house in report.house_performance.values():
        label = f"{words.name(house.house)}: {words.percent(house.success_rate)}, {words.interval(house.interval)}"
        turns = f"{words.count(house.turns_completed)} of {words.count(house.turns)}"
        empty = house.success_rate is None
        rows.append(
            (
                _name(house.house),
                words.count(house.total_executions),
                '<span class="soft">no data yet</span>' if empty else _rate(house.success_rate),
                charts.whisker(house.success_rate, house.interval, label),
                _interval(house.interval),
                escape(words.latency(house.avg_latency_ms)),
                turns if house.turns else words.UNKNOWN,
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
    )
    return _section("Houses", _table(heads, rows))


def _changes(report: Report) -> str:
    if not report.recent_adaptations:
        said = "None. A change needs evidence, and none called for one."
        return _section("Changes", f'<p class="soft">{said}</p>')
    rows = [
        (
            f'<span class="soft one">{escape(words.short_moment(event.timestamp))}</span>',
            _tag(words.name(event.kind, 24).replace("_", " "), charts.kind_class(event.kind)),
            _name(str(event.change_type).removeprefix("policy."), 64),
            _values(event.old_value, event.new_value),
            _said(event.reason),
        )
        for event in report.recent_adaptations[:_MOST_EVENTS]
    ]
    table = _table(("", "", "policy", "value", "why"), rows)
    return _section("Changes", charts.timeline(report.recent_adaptations, report.timestamp) + table)


def _learning(report: Report) -> str:
    accuracy = report.prediction_scores
    said = f"<p>{escape(velocity_sentence(report))}</p><p>{escape(accuracy_sentence(report))}</p>"
    if not accuracy.calibration:
        return _section("Learning", said)
    said += (
        '<p class="soft">Each prediction was published before its call began. On the dashed '
        "line a prediction of 70 % comes true 70 times in 100; larger points stand for more calls.</p>"
    )
    return _section(
        "Learning",
        f'<div class="two">{charts.calibration(accuracy.calibration)}<div>{said}</div></div>',
    )


def _tally_cells(tally: Tally, label: str) -> tuple[str, ...]:
    return (
        words.count(tally.total),
        _rate(tally.success_rate),
        charts.whisker(tally.success_rate, tally.interval, label),
        _interval(tally.interval),
        escape(words.latency(tally.latency_ms.p50)),
        escape(words.latency(tally.latency_ms.p95)),
    )


_TALLY_HEADS = (">calls", ">success", "0 to 100 %", "95 % interval", ">median", ">95 %")


def _tools(report: Report) -> str:
    if not report.tools:
        return ""
    rows = [
        (_name(tool.house), _name(tool.tool, 30), *_tally_cells(tool, words.name(tool.tool)))
        for tool in report.tools[:_MOST_ROWS]
    ]
    rest = len(report.tools) - len(rows)
    more = (
        f'<p class="soft">{words.plural(rest, "more tool")} in <code>--json</code>.</p>'
        if rest
        else ""
    )
    return _section("Tools", _table(("house", "tool", *_TALLY_HEADS), rows) + more)


def _models(report: Report) -> str:
    if not report.models:
        return ""
    rows = []
    for model in report.models[:_MOST_ROWS]:
        chosen = report.choices.get(model.task_type, {}).get("model") == model.model
        tag = " " + _tag("chosen", "good") if chosen else ""
        cells = _tally_cells(model, words.name(model.model))
        rows.append((_name(model.task_type, 16), _name(model.model, 30) + tag, *cells))
    return _section("Models", _table(("task", "model", *_TALLY_HEADS), rows))


def _policies(report: Report) -> str:
    rows = []
    for owner, keys in report.current_policies.items():
        for key, value in keys.items():
            why = report.why.get(f"{owner}.{key}", {})
            default = why.get("default")
            moved = default is not None and default != value
            shown = escape(words.number(value))
            notes = _tag("pinned", "other") if why.get("pinned") else ""
            if moved:
                since = escape(words.ago(why.get("since"), report.timestamp))
                notes += f' <span class="soft">{since}:</span> {_said(why.get("reason") or "")}'
            rows.append(
                (
                    _name(f"{owner}.{key}", 64),
                    f'<span class="moved">{shown}</span>' if moved else shown,
                    escape(words.number(default)),
                    notes,
                )
            )
    return _section("Policies", _table(("", ">value", ">default", ""), rows)) if rows else ""


def _intake(report: Report) -> str:
    taken = report.ingest
    said = (
        f"<p>{words.plural(taken.executions, 'execution')} of {words.plural(taken.sessions, 'session')}, each "
        f"counted once; {words.plural(taken.duplicates, 'repeat')} recognised, "
        f"{words.plural(taken.files_failed, 'file')} failed, {words.count(taken.files_ignored)} ignored.</p>"
    )
    by_source = [f"{_said(name)} {words.count(n)}" for name, n in taken.by_source.items()]
    if by_source:
        said += f'<p class="soft">First seen in: {", ".join(by_source)}.</p>'
    skipped = [f"{_said(reason)} {words.count(n)}" for reason, n in taken.skipped.items()]
    if skipped:
        said += f"<p>Could not be used: {', '.join(skipped)}.</p>"
    rows = [
        (
            _name(source.house),
            _name(source.source),
            words.count(source.files),
            escape(words.ago(source.last_read, report.timestamp)),
            _said(source.note or ""),
        )
        for source in report.sources
    ]
    table = _table(("house", "source", ">files", "last read", ""), rows) if rows else ""
    return _section("Taken in", said + table)


def _foot(report: Report) -> str:
    return (
        f"<footer><p>Intervals: {escape(report.interval_method)}. A success rate is ok / (ok + error + "
        "timeout); for a model, calls that it spoilt count too. What was blocked, cancelled or never "
        "answered is counted and not rated.</p></footer>"
    )
