"""`timmyd demo`: made-up sessions through the real pipeline, half a day of them in seconds.

Real files in a real directory are found, read and counted; the real engine decides; the real policy
file is published, and the made-up houses obey it. Only the clock is not real.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from timmyd.config import Settings, database_path
from timmyd.core.model import AdaptationEvent, iso
from timmyd.engine import IntelligenceEngine
from timmyd.engine.ingest import Ingest
from timmyd.house.circuit import CLOSED
from timmyd.service.homes import Place
from timmyd.service.intake import Intake
from timmyd.service.outside import nobody_listens
from timmyd.service.publisher import Publisher
from timmyd.store.database import PatternDatabase
from timmyd.tools.demo_world import BEZALEL, EVERY_S, EZRA, MadeUpHouse

START: Final = 1_795_334_400.0
"""When the demo's day begins: 2026-11-22 08:00 UTC."""

LONGEST_S: Final = 36 * 3600.0
"""The demo ends when everything was shown, and at the latest after so much of its own time."""

_TICKS_S: Final = (45.0, 100.0, EVERY_S)
"""When the daemon ticks, in seconds after sessions began; the first finds them just over."""

_SURE_AT = 0.95
_SHOWN: Final = frozenset({"breaker_opened", "breaker_closed", "kept", "taken_back", "learned"})
_TOLD: Final = _SHOWN | {"trial_started", "restored"}


class DemoStep(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to see.

    Attributes:
        at: In the demo's time, ISO 8601.
        kind: `learned`, the kind of an adaptation, or `end`.
        words: For people.
        figures: For programs.
    """

    at: str
    kind: str
    words: str
    figures: dict[str, Any] = {}


class Demo:
    """A daemon with a clock of its own, and two houses that it learns from."""

    def __init__(self, folder: Path) -> None:
        """Make the houses, the state and the pipeline in an empty folder."""
        self.now = START
        self.settings = Settings()
        policy = folder / "policy.json"
        self.houses = [
            MadeUpHouse(name, folder / name, policy, start=START, clock=self.clock)
            for name in (EZRA, BEZALEL)
        ]
        self.database = PatternDatabase(database_path(folder / "state"), clock=self.clock)
        self.engine = IntelligenceEngine(self.database, settings=self.settings, clock=self.clock)
        self.publisher = Publisher(self.engine, policy)
        self.intake = Intake(
            [Place(folder / name, name) for name in (EZRA, BEZALEL)],
            self.database,
            Ingest.of(self.settings),
            largest_bytes=self.settings.files.largest_bytes,
            outside=nobody_listens(self.clock),
        )

    def clock(self) -> float:
        """The demo's time, Unix seconds."""
        return self.now

    def close(self) -> None:
        """Let go of the files."""
        self.intake.close()
        self.database.close()

    def run(self) -> Iterator[DemoStep]:
        """Let the day pass; yields what there is to see as it happens."""
        seen: set[str] = set()
        self._publish()
        while not seen >= _SHOWN and self.now < START + LONGEST_S:
            for house in self.houses:
                house.session(self.now)
            began = self.now
            for after_s in _TICKS_S:
                self.now = began + after_s
                for event in self._work():
                    if _is_told(event):
                        seen.add(event.kind)
                        yield _step(event)
            if "learned" not in seen and self._is_sure():
                seen.add("learned")
                yield self._learned()
        yield self._end(complete=seen >= _SHOWN)

    def _is_sure(self) -> bool:
        found = self.engine.explain_model("read")
        best = found.get("best") or {}
        return len(best) > 1 and best[found["model"]] >= _SURE_AT

    def _work(self) -> list[AdaptationEvent]:
        """What the daemon's loop does between two waits."""
        self.intake.find()
        self.intake.scan(trusted=False)
        for _ in self.intake.read_all():
            pass
        events = self.engine.analyze_and_adapt()
        while self.engine.behind:
            events += self.engine.analyze_and_adapt()
        self._publish()
        return events

    def _publish(self) -> None:
        self.publisher.publish(self.now, life_s=self.settings.publish.life_s)

    def _learned(self) -> DemoStep:
        success, why = self.engine.predict_success("read_file", EZRA)
        model = self.engine.get_best_model("read")
        house, _ = self.engine.get_optimal_house("terminal")
        figures = {
            "executions": self._count(),
            "read_file_success": success,
            "best_model_for_read": model,
            "best_house_for_terminal": house,
        }
        chance = "unknown" if success is None else f"{success:.0%}"
        words = (
            f"{figures['executions']} calls counted: read_file succeeds with {chance} ({why});"
            f" best model to read with: {model}; best house for terminal: {house}"
        )
        return DemoStep(at=iso(self.now) or "", kind="learned", words=words, figures=figures)

    def _end(self, *, complete: bool) -> DemoStep:
        values = self.engine.policies()
        figures = {
            "complete": complete,
            "executions": self._count(),
            "duplicates": self.database.counters().get("duplicates", 0),
            "refused_by_breakers": sum(house.refused for house in self.houses),
            "revision": self.publisher.revision,
            "policies": values,
        }
        words = (
            f"{figures['executions']} calls counted once each, {figures['refused_by_breakers']}"
            f" spared by breakers, policy revision {figures['revision']}:"
            f" ezra.evidence_threshold {values[EZRA]['evidence_threshold']:g},"
            f" bezalel.parallel_test_threshold {values[BEZALEL]['parallel_test_threshold']:g}"
        )
        return DemoStep(at=iso(self.now) or "", kind="end", words=words, figures=figures)

    def _count(self) -> int:
        return self.database.counters().get("executions", 0)


def _is_told(event: AdaptationEvent) -> bool:
    """Whether it belongs to the story; that a probe failed and another is awaited does not."""
    probed_in_vain = event.kind == "breaker_opened" and event.old_value != CLOSED
    return event.kind in _TOLD and not probed_in_vain


def _step(event: AdaptationEvent) -> DemoStep:
    what = event.change_type.partition(".")[2]
    words = f"{what}: {event.old_value} -> {event.new_value}, because {event.reason}"
    return DemoStep(
        at=event.timestamp,
        kind=event.kind,
        words=words,
        figures={"what": what, "old": event.old_value, "new": event.new_value},
    )
