"""`replay`: what other settings would have decided over the recorded history."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from timmyd.cli.options import JsonOption, StateOption
from timmyd.cli.output import UsageError, is_terminal, print_json, say
from timmyd.cli.where import context
from timmyd.clock import now
from timmyd.core.model import AdaptationEvent
from timmyd.service.logs import printable
from timmyd.store.history import History
from timmyd.tools.replaying import Replayed, replay

_SHOWN = 40
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(again)


def again(
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="The settings to try; by default those in force."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", help="From when on: 7d, 12h, or a time such as 2026-11-22T08:00 in UTC."
        ),
    ] = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """What other settings would have decided over the recorded history. Writes nothing."""
    found = context(config, state)
    start = 0.0 if since is None else moment(since)
    with closing(History(str(found.database), since=start)) as history:
        with _bar(len(history)) as progress:
            done = replay(history, found.settings, progress=progress)
        really = history.adaptations()
    if as_json:
        print_json({**msgspec.structs.asdict(done), "recorded": _kinds(really)})
    else:
        _print(done, really)


def moment(text: str) -> float:
    """`7d`, `12h`, or an ISO 8601 time, which is UTC unless it says otherwise, as Unix seconds.

    Raises:
        UsageError: It is neither.
    """
    unit = _UNITS.get(text[-1:])
    try:
        if unit is not None:
            return now() - timedelta(**{unit: float(text[:-1])}).total_seconds()
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        words = f"--since: expected 7d, 12h or a time such as 2026-11-22T08:00, found {text}"
        raise UsageError(words) from None


def _kinds(events: list[AdaptationEvent]) -> dict[str, int]:
    return dict(sorted(Counter(event.kind for event in events).items()))


def _words(kinds: dict[str, int]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "nothing"


def _print(done: Replayed, really: list[AdaptationEvent]) -> None:
    if done.since is None:
        say("nothing is recorded since then")
        return
    say(
        f"{done.executions} executions and {done.turns} ends of turns,"
        f" {done.since} to {done.until}, {done.ticks} ticks"
    )
    for event in done.decisions[:_SHOWN]:
        say(
            f"{event.timestamp}  {event.kind}  {printable(event.change_type)}"
            f"  {event.old_value} -> {event.new_value}  {printable(event.reason)}"
        )
    if len(done.decisions) > _SHOWN:
        say(f"and {len(done.decisions) - _SHOWN} more; --json lists all")
    say(f"decided in the replay: {_words(_kinds(done.decisions))}")
    say(f"decided in reality:    {_words(_kinds(really))}")
    for key, value in done.policies.items():
        say(f"{key} = {value:g}")
    for breaker in done.breakers:
        what = printable(breaker["tool"] or breaker["model"])
        say(f"{breaker['state']}: {printable(breaker['house'])} {what}: {breaker['reason']}")
    if done.accuracy:
        brier, base = done.accuracy["brier"], done.accuracy["baseline_brier"]
        say(f"predictions: Brier score {brier:.4f}, the running mean {base:.4f}")
    say(
        "the calls are taken as they were: how they would have ended under other values nobody"
        " knows; nothing obeyed the trials of a replay, so what they show is chance"
    )


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar over executions; none where nobody looks."""
    if not is_terminal():
        yield lambda _done: None
        return
    from rich.progress import Progress  # noqa: PLC0415 - only on a terminal

    with Progress(transient=True) as bar:
        task = bar.add_task("replaying", total=max(1, total))
        yield lambda done: bar.update(task, completed=done)
