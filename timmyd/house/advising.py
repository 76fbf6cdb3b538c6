"""What a house tells the model: tools that are unavailable, tests to run alone, houses that do better."""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from .checks import at_from_iso
from .reader import Policies
from .tasks import DEFAULT_TASKS, TaskTable

MOST_LINES = 4
TASKS = TaskTable.of(DEFAULT_TASKS)
_MOST_TESTS = 3
_WORTH_SAYING = 0.2
_SHOWABLE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,47}( [a-z][a-z0-9:-]{0,23}){0,2}")


class Advice:
    """Sentences for a prompt, made of published figures and of names that are fit to stand there.

    Args:
        policies: Where the policy comes from.
        house: Whose model is told.
        clock: Unix seconds.
        tools: The tools that exist here, if that is known; no other is named.
    """

    def __init__(
        self,
        policies: Policies,
        house: str,
        *,
        clock: Callable[[], float],
        tools: Callable[[], Container[str] | None],
    ) -> None:
        self._policies = policies
        self._house = house
        self._clock = clock
        self._tools = tools

    def lines(self) -> tuple[str, ...]:
        """At most four short lines for the model, none when all is well."""
        document = self._policies.document
        if document is None:
            return ()
        lines: list[str] = []
        closed = self._policies.closed_to(self._house)
        for tool, since, retry_at in closed:
            if self._showable(tool):
                lines.append(self.unavailable(tool, since, retry_at))
        lines.extend(self._fallen(document.notices, {tool for tool, _, _ in closed}))
        fragile = self._fragile_tests()
        if fragile:
            lines.append(
                f"Run test calls ({fragile}) one at a time; together they often fail here."
            )
        lines.extend(self._better_houses())
        return tuple(lines[:MOST_LINES])

    def _showable(self, tool: str) -> bool:
        """Whether a name from the policy, so from some session, may stand in a prompt."""
        tools = self._tools()
        return _SHOWABLE.fullmatch(tool) is not None and (tools is None or tool in tools)

    def named(self, tool: str) -> str:
        """What a tool is called in a sentence; names come from sessions."""
        return f"The tool {tool}" if _SHOWABLE.fullmatch(tool) else "This tool"

    def unavailable(self, tool: str, since: float | None, retry_at: float | None) -> str:
        """The sentence about a tool whose breaker is open."""
        name = self.named(tool)
        began = "" if since is None else f" since {datetime.fromtimestamp(since, UTC):%H:%M} UTC"
        if retry_at is None:
            again = "it stays so until the operator clears it"
        else:
            again = f"it is tried again in about {max(1, round(retry_at - self._clock()))} s"
        return (
            f"{name} is unavailable{began}, because it keeps failing; {again}. "
            f"Do not repeat this call before that: use another way, or go on without it and say so."
        )

    def _fallen(self, notices: Iterable[Mapping[str, Any]], told: Container[str]) -> Iterator[str]:
        """A line for each tool, or shape of it, that succeeds less often than it used to."""
        for notice in notices:
            tool, shape = notice.get("tool"), notice.get("shape")
            fell = notice["house"] == self._house and notice.get("kind", "fell") == "fell"
            if not fell or tool is None or tool in told or not self._showable(tool):
                continue
            if shape is not None and not _SHOWABLE.fullmatch(shape):
                continue
            since = datetime.fromtimestamp(at_from_iso(notice["since"]), UTC)
            name = tool if shape is None else f"{tool} ({shape})"
            yield (
                f"{name} succeeds in {notice['to']:.0%} of cases since {since:%d %b %H:%M} UTC, before "
                f"in {notice['from']:.0%}: check what it returns, or use another way."
            )

    def _fragile_tests(self) -> str:
        """The test calls that should not run side by side, as a short list of shapes."""
        document = self._policies.document
        limit = self._policies.value(self._house, "parallel_test_threshold")
        if document is None or limit is None:
            return ""
        found = [
            like
            for tool, item in document.predictions.get(self._house, {}).items()
            for like, figures in item.get("shapes", {}).items()
            if figures["success"] < limit
            and TASKS.task_type(tool, like) == "test"
            and _SHOWABLE.fullmatch(like)
        ]
        return ", ".join(sorted(found)[:_MOST_TESTS])

    def _better_houses(self) -> list[str]:
        document = self._policies.document
        lines: list[str] = []
        for tool in () if document is None else sorted(document.bound("routes", self._house)):
            house, confidence = self._policies.get_optimal_house(tool, asking=self._house)
            own, _ = self._policies.predict_success(tool, self._house)
            if house == self._house or own is None or confidence is None:
                continue
            if confidence - own >= _WORTH_SAYING and self._showable(tool):
                lines.append(
                    f"House {house} succeeds with {tool} in {confidence:.0%} of cases, this house "
                    f"in {own:.0%}: hand such work over where you can."
                )
        return lines
