"""PURE: one signal that is watched for falls, and which of its parts gave the evidence it has."""

from typing import Final

import msgspec

from timmyd.core.estimating.falls import ALARM, WARM, FallDetector

FEW_CALLS: Final = 5
"""With fewer calls a part does not count as one of several."""
SHARED: Final = ALARM / 3.0
"""With less evidence from all other parts it is the doing of one."""

_SEVERAL: Final = 2
_SHARE, _USAGE_MOST = 0.05, 500.0


class WatchedSignal(msgspec.Struct):
    """A detector, and which parts gave the evidence it has.

    Attributes:
        parts: Of each sort, by name, evidence and calls since it began.
        usage: Decayed calls by name of the second sort, whether or not there is evidence.
    """

    detector: FallDetector = msgspec.field(default_factory=FallDetector)
    parts: list[dict[str, list[float]]] = []
    usage: dict[str, float] = {}

    def update(
        self, session: str, at: float, usual: float, parts: tuple[str, ...], *, ok: bool
    ) -> None:
        """Take in a call, as `FallDetector.update`; `parts` are its names, one of each sort."""
        if len(parts) > 1:
            self._use(parts[1])
        before = self.detector.evidence
        self.detector.update(session, at, usual, ok=ok)
        after = self.detector.evidence
        if after == 0.0:
            self.parts = []
            return
        if len(self.parts) != len(parts):
            self.parts = [{} for _ in parts]
        for sort, name in zip(self.parts, parts, strict=True):
            one = sort.setdefault(name, [0.0, 0.0])
            one[0] += after - before
            one[1] += 1.0

    def without(self, sort: int, name: str) -> float:
        """The evidence that others of its sort gave."""
        known = self.parts[sort].get(name, [0.0])[0] if sort < len(self.parts) else 0.0
        return self.detector.evidence - known

    def is_of_one(self, sort: int) -> bool:
        """Whether one part gave the evidence, while others had calls as well."""
        if sort >= len(self.parts) or len(self.called(sort)) < _SEVERAL:
            return False
        most = max(evidence for evidence, _ in self.parts[sort].values())
        return self.detector.evidence - most < SHARED

    def called(self, sort: int) -> set[str]:
        """The parts with more than a few calls since the evidence began."""
        found = self.parts[sort] if sort < len(self.parts) else {}
        return {name for name, (_, calls) in found.items() if calls >= FEW_CALLS}

    @property
    def used(self) -> set[str]:
        """The parts of the second sort that have their share of the calls."""
        total = sum(self.usage.values())
        return {name for name, calls in self.usage.items() if calls >= _SHARE * total}

    @property
    def is_hot(self) -> bool:
        """Whether the evidence is enough to tell of a fall."""
        detector = self.detector
        return (
            detector.fallen is None and detector.evidence >= ALARM and detector.level.seen >= WARM
        )

    def _use(self, name: str) -> None:
        self.usage[name] = self.usage.get(name, 0.0) + 1.0
        if self.usage[name] > _USAGE_MOST:
            halved = {one: calls / 2.0 for one, calls in self.usage.items()}
            self.usage = {one: calls for one, calls in halved.items() if calls >= 1.0}
