"""The text of `/timmy`: what is open, what was learned, which policy is in force."""

from datetime import UTC, datetime
from typing import Any

from .kit import Kit
from .policy import is_name
from .providers import in_words
from .requests import in_words as budget_in_words
from .seam import Caps, caps_of

_MOST = 5


def text(kit: Kit, raw_args: str, *, now: float, failures: int, seam: str) -> str:
    """Answer `/timmy`; `raw_args` may name a tool, which is then explained alone.

    Names come from sessions: one that is not fit to be shown is not shown.

    Args:
        kit: The kit of this home.
        raw_args: What was typed after the command.
        now: Unix seconds.
        failures: How often something of the plugin went wrong in this process.
        seam: How the kit takes part in tool calls.
    """
    tool = raw_args.strip()
    if tool:
        return _tool(kit, tool)
    lines = [*_policy(kit, now), f"tool calls: this kit {seam}", *_grace(kit, now)]
    lines += [*_open(kit, now), *_budgets(kit), *_learned(kit)]
    if kit.recorder.dropped:
        lines.append(f"not recorded: {kit.recorder.dropped} lines that the disk did not take")
    if kit.unplaced:
        lines.append(f"not recorded: {kit.unplaced} calls of which Hermes does not tell whose")
    if failures:
        lines.append(f"errors of this plugin, none of which reached the agent: {failures}")
    return "\n".join(lines)


def _policy(kit: Kit, now: float) -> list[str]:
    first = f"timmy: house {kit.settings.house}, mode {kit.settings.mode}"
    policies = kit.policies
    if not policies.fresh:
        why = policies.problem
        return [first, f"policy: none in force ({why}); defaults apply, nothing is blocked"]
    document = policies.document
    if document is None:
        return [first, f"policy: revision {policies.revision} only observes, nothing is enforced"]
    age_s = max(0, round(now - document.published_at))
    return [first, f"policy: revision {document.revision}, {age_s} s old"]


def _grace(kit: Kit, now: float) -> list[str]:
    until = kit.settings.grace_until
    if until is None or now >= until:
        return []
    day = datetime.fromtimestamp(until, UTC)
    return [f"kinds of refusal that are new in this version are advice only until {day:%Y-%m-%d}"]


def _open(kit: Kit, now: float) -> list[str]:
    lines: list[str] = []
    for what, models in (("tool", False), ("model", True)):
        found = kit.policies.closed_to(kit.settings.house, models=models)
        shown = sorted((name, at) for name, _, at in found if is_name(name))
        lines += [
            f"breaker open: {what} {name}, {_next_try(at, now)}" for name, at in shown[:_MOST]
        ]
        if len(shown) > _MOST:
            lines.append(f"breaker open: {len(shown) - _MOST} more {what}s")
    for outage in kit.requests.providers.open()[:_MOST]:
        lines.append(
            f"provider down: {in_words(outage, 'one model')}, {_next_try(outage.until, now)}"
        )
    return lines or ["breakers: all closed"]


def _next_try(at: float | None, now: float) -> str:
    return "until cleared" if at is None else f"next try in {max(0, round(at - now))} s"


def _budgets(kit: Kit) -> list[str]:
    lines = [f"budget: {budget_in_words(one)}" for one in kit.requests.budget.standing()[:_MOST]]
    if kit.requests.budget.trouble:
        lines.append(f"budget: {kit.requests.budget.trouble}")
    caps = caps_of(kit.recorder.caps)
    if caps not in {None, Caps.HELD} and kit.requests.budget.load():
        lines.append(f"budget: {caps.words}")
    return lines


def _learned(kit: Kit) -> list[str]:
    document = kit.policies.document
    tools: dict[str, Any] = {}
    if document is not None:
        tools = dict(document.predictions.get(kit.settings.house, {}))
    ranked = sorted(tools.items(), key=lambda item: float(item[1]["success"]))
    return [
        f"learned: {tool} succeeds in {found['success']:.0%} of {found['samples']:.0f} calls"
        for tool, found in ranked[:_MOST]
    ] or ["learned: nothing about this house yet"]


def _tool(kit: Kit, tool: str) -> str:
    if not is_name(tool):
        return "timmy: that is no tool's name"
    success, words = kit.policies.predict_success(tool, kit.settings.house)
    house, confidence = kit.policies.get_optimal_house(tool)
    rate = "unknown" if success is None else f"{success:.0%}"
    where = "" if confidence is None else f"; best house: {house} ({confidence:.0%})"
    return f"{tool}: success {rate}, {words}{where}"
