"""PURE: a call before it runs, and what it shares with others."""

from dataclasses import dataclass

Key = tuple[str, ...]
"""The kind of an effect, and the names that tell it from others of its kind."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of a call before it runs; None is left out.

    Attributes:
        tool: Its name.
        house: Where it would run.
        signature: Digest of its exact arguments.
        shape: Their safe short form, such as `git status`.
        model: Which model asks.
        task: The task type, as the model's effect differs by it.
        hour: Hour of day, 0 to 23, in the configured zone.
    """

    tool: str
    house: str
    signature: str | None = None
    shape: str | None = None
    model: str | None = None
    task: str | None = None
    hour: int | None = None


def keys_of(call: Call) -> list[Key]:
    """The effects that an execution shares with others."""
    tool, house = call.tool, call.house
    keys: list[Key] = [
        ("all",),
        ("tool", tool),
        ("house", house),
        ("tool+house", tool, house),
    ]
    if call.shape is not None:
        keys.append(("shape", tool, call.shape))
    if call.signature is not None:
        keys.append(("arguments", tool, call.signature))
        keys.append(("house+arguments", house, tool, call.signature))
    if call.model is not None:
        keys.append(("model+task", call.model, call.task or ""))
        keys.append(("tool+house+model", tool, house, call.model))
    if call.hour is not None:
        keys.append(("hour", str(call.hour)))
    return keys
