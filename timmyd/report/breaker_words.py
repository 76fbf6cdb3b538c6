"""PURE: a breaker in sentences: what it is, since when and why, and what would change it."""

from collections.abc import Mapping
from typing import Any

from timmyd.house.circuit import CLOSED, OPEN
from timmyd.report import words


def breaker_sentences(found: Mapping[str, Any], now: str | None) -> list[str]:
    """What `explain` says of a breaker.

    Args:
        found: As the engine explains it.
        now: ISO 8601.
    """
    lines = _state(found, now)
    return lines + [f"{words.name(told, 240)}." for told in found.get("notices", ())]


def _state(found: Mapping[str, Any], now: str | None) -> list[str]:
    house, name = words.name(found["house"]), words.name(found["name"])
    what = f"{name} in {house}"
    if found["state"] == CLOSED:
        return _closed(found, what, now)
    since = f"since {words.moment(found['since'])} ({words.ago(found['since'], now)})"
    if found["forced"]:
        return [
            f"{what} is refused {since}, because the operator said so.",
            f"It stays so until: timmyd breaker clear {house} {name}",
        ]
    triggered = found["triggered"]
    why = "" if triggered is None else f", because then {words.name(triggered['reason'], 160)}"
    state = "refused" if found["state"] == OPEN else "being tried again, having been refused"
    begin = (
        "A call" if found["state"] != OPEN else f"From {words.moment(found['probe_at'])} on a call"
    )
    lines = [
        f"{what} is {state} {since}{why}.",
        f"{begin} now and then is let through; it is free again when enough of these succeed.",
    ]
    if found["observed"]:
        lines.append("[breaker] mode is observe: all this is only watched, and nothing is refused.")
    return lines


def _closed(found: Mapping[str, Any], what: str, now: str | None) -> list[str]:
    lines = [f"{what} is not refused: {words.name(found['reason'], 160)}."]
    triggered = found["triggered"]
    if triggered is not None:
        lines.append(
            f"It was opened last on {words.moment(triggered['at'])} ({words.ago(triggered['at'], now)}),"
            f" because then {words.name(triggered['reason'], 160)}."
        )
    lines.append(
        f"It would be, were there enough evidence that more than {found['limit']:.0%} of its calls fail."
    )
    lines += [f"What lacks: {words.name(block, 160)}." for block in found["blocks"]]
    return lines
