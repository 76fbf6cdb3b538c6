"""`status` and `report`: how the daemon is, and what was learned; both work with the daemon down."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from timmyd.cli.options import ConfigOption, JsonOption, StateOption
from timmyd.cli.output import FAILED, UsageError, console, print_json, say, say_folded
from timmyd.cli.where import Context, context, look_into
from timmyd.clock import now as wall_clock
from timmyd.errors import StoreError
from timmyd.report.words import span
from timmyd.service.lock import holder
from timmyd.service.logs import printable
from timmyd.service.privilege import as_root
from timmyd.service.telling import read_status

if TYPE_CHECKING:
    from timmyd.report.attention_types import Attention

_STALE_S = 120.0
_MOST_FAILING = 50


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(report)


def status(
    *,
    watch: Annotated[
        bool,
        typer.Option("--watch", "-w", help="Follow it on one screen: q leaves, s sorts."),
    ] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Is it alive, what waits, what was published, what is ignored or failing and why."""
    found = context(config, state)
    if watch:
        if as_json:
            raise UsageError("--watch is for eyes\n  hint: timmyd events --follow --json")
        from timmyd.cli.watch import watch as follow  # noqa: PLC0415 - `run` need not wait for it

        follow(found)
        return
    pid = holder(found.state)
    known = {"running": pid is not None, "pid": pid, "state": str(found.state)}
    try:
        known = (_recorded(found) if found.database.exists() else {}) | known
    except StoreError as error:  # what the daemon said of it stands in a file of its own
        said = read_status(found.state)
        if not said:
            raise
        known = said | known | {"trouble": said.get("trouble") or f"the database: {error.detail}"}
    if as_json:
        print_json(known)
    else:
        _print_status(known, wall_clock())
    if pid is None:
        raise typer.Exit(FAILED)


def _recorded(found: Context) -> dict[str, Any]:
    """What the daemon said of itself with its last tick, and what the database knows."""
    from timmyd.report.moving import needs_attention  # noqa: PLC0415 - `run` need not wait for it

    engine = look_into(found)
    database = engine.database
    known: dict[str, Any] = json.loads(database.state("status") or b"{}")
    said = read_status(found.state)
    if (said.get("seen_at") or 0.0) >= (known.get("seen_at") or 0.0):
        known |= said
    failing = database.files(("failed",))
    found_wanting = needs_attention(engine)
    return known | {
        "revision": engine.revision,
        "executions": database.counters().get("executions", 0),
        "skipped": database.skipped(),
        "open_breakers": engine.open_breakers(),
        "trials": engine.trials(),
        "attention": found_wanting,
        "files_failing": len(failing),
        "failing": [
            {
                "file": printable(row.path.decode("utf-8", "backslashreplace")),
                "reason": row.reason,
                "place": row.place,
                "detail": row.detail,
            }
            for row in failing[:_MOST_FAILING]
        ],
    }


def _print_status(known: dict[str, Any], now: float) -> None:
    pid = known["pid"]
    running = "not running" if pid is None else f"running (pid {pid})"
    say_folded(f"timmyd is {running} on {printable(known['state'])}")
    seen = known.get("seen_at")
    if seen is None:
        say_folded("nothing was recorded yet")
        return
    if pid is not None and now - seen > _STALE_S:
        say_folded(f"it said nothing for {span(now - seen)}: it hangs, or cannot write")
    if known.get("trouble"):
        say_folded(f"in trouble: {printable(known['trouble'])}")
    say_folded(f"as of {span(now - seen)} ago:")
    _print_clock(known.get("clock") or {})
    say_folded(
        f"revision {known.get('revision', 0)}, published {_when(known.get('published_at'), now)};"
        f" last read {_when(known.get('ingested_at'), now)};"
        f" {known.get('backlog', 0)} files wait"
    )
    if "executions" in known:
        say_folded(
            f"{known['executions']} executions counted; {known['open_breakers']} breakers open"
        )
        _print_attention(known["attention"])
    for found in known.get("databases", ()):
        say_folded(
            f"{found['state']}: {printable(found['path'])} of {found['house']} {found['words']}"
        )
    for folder in known.get("folders", ()):
        why = f" ({folder['reason']})" if folder["reason"] else ""
        say_folded(
            f"{folder['state']}: {printable(folder['path'])} is {printable(folder['house'])}{why}"
        )
    if known.get("observer") == "polling":
        say_folded("inotify has no room: directories are polled")
    _print_failing(known)


def _print_failing(known: dict[str, Any]) -> None:
    for row in known.get("failing", ()):
        say_folded(
            f"failing: {row['file']}: {row['reason']} at {printable(row['place'])}:"
            f" {printable(row['detail'])}"
        )
    for row in known.get("quotas", ()):
        who = f"{printable(row['owner'])} (house {printable(row['house'])})"
        say_folded(f"at a limit: {who} has more {printable(row['limit'])} than [quota] allows")
    for row in known.get("refused", ()):
        say_folded(f"refused: {printable(row['file'])}: {row['reason']}")
    if known.get("skipped"):
        parts = [f"{printable(reason)} {n}" for reason, n in known["skipped"].items()]
        say_folded(f"could not be used, all beside it was: {', '.join(parts)}")
    if known.get("ignored"):
        say_folded(f"{known['ignored']} files are none of ours and were ignored")


def _print_attention(found: Sequence["Attention"]) -> None:
    from timmyd.report.text import attention_lines  # noqa: PLC0415

    if not found:
        say_folded("nothing needs attention")
    for line in attention_lines(found):
        say_folded(line.plain.rstrip())


def _print_clock(clock: dict[str, Any]) -> None:
    ahead_s = clock.get("ahead_s") or 0.0
    if ahead_s:
        where = "ahead of" if ahead_s > 0 else "behind"
        say_folded(
            f"the clock is {span(abs(ahead_s))} {where} what our ticks and the files say:"
            " nothing is deleted until they agree"
        )
    elif clock.get("jumps"):
        say_folded(f"the clock jumped {clock['jumps']} times, last by {clock['jump_s']:+.0f} s")


def _when(at: float | None, now: float) -> str:
    return "never" if at is None else f"{span(now - at)} ago"


def report(
    *,
    days: Annotated[
        float, typer.Option("--days", min=0.04, help="How many days to look back.")
    ] = 7.0,
    everything: Annotated[bool, typer.Option("--all", help="All that is kept.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write it as one self-contained page.")
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """The intelligence report: who succeeds at what, how surely, and what was decided on it."""
    from timmyd.report.collect import collect  # noqa: PLC0415 - `run` need not wait for it
    from timmyd.report.data import to_json  # noqa: PLC0415
    from timmyd.report.page import render as render_page  # noqa: PLC0415
    from timmyd.report.text import render  # noqa: PLC0415

    found = collect(look_into(context(config, state)), days=None if everything else days)
    if html is not None:
        with as_root():
            html.write_text(render_page(found), encoding="utf-8")
        say(f"written to {html}")
    elif as_json:
        say(to_json(found))
    else:
        console().print(render(found))
