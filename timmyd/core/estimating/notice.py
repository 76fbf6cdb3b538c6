"""PURE: something fell, or recovered, as it is told and published."""

from typing import Any, Literal

import msgspec

Kind = Literal["fell", "recovered"]


class Notice(msgspec.Struct, kw_only=True):
    """Something fell or recovered.

    Attributes:
        kind: `fell` or `recovered`.
        house: In which house; of a model the one with most of its calls.
        tool: None where all tools of the house, or a model, are meant.
        shape: None for all calls of the tool.
        model: None unless it is the model's doing.
        before: Success rate from which, and `now` to which, it went.
        since: Unix seconds, about.
        at: When it was told, Unix seconds.
        evidence: Log likelihood ratio.
    """

    kind: Kind
    house: str
    tool: str | None = None
    shape: str | None = None
    model: str | None = None
    before: float
    now: float
    since: float
    at: float
    evidence: float

    @property
    def subject(self) -> str:
        """What it is about, in words that name it."""
        if self.model is not None:
            return f"model:{self.model}"
        if self.tool is None:
            return "all tools"
        return self.tool if self.shape is None else f"{self.tool} ({self.shape})"


def facts(notice: Notice) -> dict[str, Any]:
    """A notice as it is published (CONTRACT §3)."""
    named = {"tool": notice.tool, "shape": notice.shape, "model": notice.model}
    return {
        "kind": notice.kind,
        "house": notice.house,
        **{name: value for name, value in named.items() if value is not None},
        "from": notice.before,
        "to": notice.now,
        "since": notice.since,
        "evidence": notice.evidence,
    }
