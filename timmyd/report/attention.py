"""PURE: what needs attention, from one list that `status`, `report` and the page show alike, worst first.

Sorted by harm: calls lost a day. One cause is one line: a house that fell as a whole stands for its tools, a
tool that fell everywhere stands for its houses, an open breaker for the fall behind it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from timmyd.report import words
from timmyd.report.attention_moving import failing_at_hours, falls
from timmyd.report.attention_types import Attention, AttentionInput, explain, grouped_by, predict
from timmyd.store.trends import HourCount

_NEAR: Final = 0.8
_HOURS: Final = 24
_WELL: Final = frozenset({"open", "absent"})
_DAYS_SHOWN: Final = 28


def attention(given: AttentionInput) -> list[Attention]:
    """The list, worst first."""
    broken = list(_breakers(given))
    covered = {(one.house, one.subject) for one in broken if one.kind == "breaker_open"}
    fell = [one for one in falls(given) if (one.house, one.subject) not in covered]
    told = {(one.house, one.subject) for one in (*broken, *fell)}
    notices = [one for one in _notices(given) if (one.house, one.subject) not in told]
    found = [*broken, *fell, *notices, *failing_at_hours(given), *_service(given), *_trials(given)]
    rank = {"critical": 0, "warning": 1, "info": 2}
    return sorted(found, key=lambda one: (rank[one.severity], -one.lost_a_day, one.text))


def _breakers(given: AttentionInput) -> Iterable[Attention]:
    """Open and half-open ones, and those that are about to open."""
    opens_at = float(given.document.get("breaker_rule", {}).get("open_at") or 0.0)
    calls = {
        (house, tool): _a_day(rows, given.at)
        for house, mine in grouped_by(given.rows, lambda row: row.house).items()
        for tool, rows in grouped_by(mine, lambda row: row.tool).items()
    }
    for breaker in given.document.get("breakers", ()):
        house = str(breaker.get("house"))
        tool = breaker.get("tool")
        subject = str(tool or f"model:{breaker.get('model')}")
        state, evidence = breaker.get("state"), float(breaker.get("evidence") or 0.0)
        shown = f"{words.name(subject)} in {words.name(house)}"
        if state != "closed":
            reason = words.name(breaker.get("reason") or "", 120)
            yield Attention(
                kind="breaker_open",
                severity="critical" if state == "open" else "warning",
                house=house,
                subject=subject,
                text=f"{shown} is {'refused' if state == 'open' else 'being tried again'}"
                + (f": {reason}" if reason else ""),
                since=breaker.get("since"),
                lost_a_day=round(calls.get((house, subject), 0.0), 2),
                command=explain(house, subject),
            )
        elif opens_at and evidence >= _NEAR * opens_at:
            yield Attention(
                kind="breaker_near",
                severity="warning",
                house=house,
                subject=subject,
                text=f"{shown} is about to be refused: evidence {evidence:.0f} of {opens_at:.0f}",
                lost_a_day=round(calls.get((house, subject), 0.0), 2),
                command=explain(house, subject),
            )


def _notices(given: AttentionInput) -> Iterable[Attention]:
    """What the detectors published as fallen."""
    for notice in given.document.get("notices", ()):
        if notice.get("kind", "fell") != "fell":
            continue
        house = notice.get("house")
        subject = notice.get("tool") or notice.get("model") or "all tools"
        shape = notice.get("shape")
        name = words.name(f"{subject} ({shape})" if shape else subject)
        where = "" if house is None else f" in {words.name(house)}"
        yield Attention(
            kind="notice",
            severity="warning",
            house=house,
            subject=str(subject),
            text=f"{name}{where} fell from {words.percent(notice.get('from'))}"
            f" to {words.percent(notice.get('to'))}",
            since=notice.get("since"),
            command=explain(house, subject) if house else predict(subject),
        )


def _service(given: AttentionInput) -> Iterable[Attention]:
    """The service's own trouble, and sources that it cannot read."""
    for trouble in given.status.get("troubles", ()):
        yield Attention(
            kind="service",
            severity="critical",
            house=None,
            subject="timmyd",
            text=words.name(trouble, 240),
            command="timmyd check",
        )
    for folder in (*given.status.get("folders", ()), *given.status.get("databases", ())):
        # one that is not there has mostly never been: `check` tells of those
        if folder.get("state") in _WELL or folder.get("reason") == "vanished":
            continue
        yield Attention(
            kind="source",
            severity="warning",
            house=folder.get("house"),
            subject=words.name(folder.get("path"), 120),
            text=f"{words.name(folder.get('path'), 120)} is {words.name(folder.get('state'))}"
            + (f": {words.name(folder['reason'], 120)}" if folder.get("reason") else ""),
            command="timmyd check",
        )
    if given.failing:
        first = given.failing[0]
        more = len(given.failing) - 1
        yield Attention(
            kind="file",
            severity="warning",
            house=None,
            subject=words.name(first.get("file"), 120),
            text=f"{words.name(first.get('file'), 120)} cannot be taken in: {words.name(first.get('reason'))}"
            + (f", and {words.plural(more, 'more file')}" if more else ""),
            command="timmyd status",
        )


def _trials(given: AttentionInput) -> Iterable[Attention]:
    for trial in given.document.get("trials", ()):
        key = words.name(trial.get("policy"), 64)
        yield Attention(
            kind="trial",
            severity="info",
            house=None,
            subject=key,
            text=f"{key} is on trial: {words.number(trial.get('old'))} against"
            f" {words.number(trial.get('new'))}",
            since=trial.get("since"),
            command=f"timmyd explain {key}",
        )


def _a_day(rows: Sequence[HourCount], now: float) -> float:
    """Calls a day over the time that is shown, of what has been called at all."""
    days = max(1.0, min(_DAYS_SHOWN, now / 86_400 - rows[0].hour / _HOURS))
    return sum(row.calls for row in rows) / days
