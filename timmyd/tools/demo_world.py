"""The made-up houses of `timmyd demo`: they call tools, obey the published policy, and record what came of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from timmyd.house import KIT_VERSION, Policies
from timmyd.house.recorder import Recorder
from timmyd.house.shape import shape, signature

EZRA: Final = "ezra"
BEZALEL: Final = "bezalel"
EVERY_S: Final = 300.0
"""A session of each house begins so often."""

OUTAGE_S: Final = (7_200.0, 8_700.0)
"""From when to when, in seconds of the demo, nothing can be searched in the web."""

_SEARCHES_UNTIL_S: Final = 12_600.0
_TESTS_FAIL_S: Final = 5_400.0
_GAP_S: Final = 4.0
_MODELS: Final = ("hermes3:8b", "qwen3:14b")
_MS: Final = {"web_search": 900.0, "read_file": 12.0, "terminal": 4_000.0, "write_file": 20.0}


@dataclass(frozen=True, slots=True)
class _Act:
    """One call that a session wants to make, and how likely it succeeds."""

    tool: str
    params: Mapping[str, Any]
    success: float


class MadeUpHouse:
    """One house. Every session is a process of its own, as with real agents.

    Its luck comes from a hash, so it is the same on every machine and in every Python.
    """

    def __init__(
        self, house: str, home: Path, policy: Path, *, start: float, clock: Callable[[], float]
    ) -> None:
        """Make its home.

        Args:
            house: Its name.
            home: A Hermes home; telemetry goes where the kit would put it.
            policy: The published file, which it obeys.
            start: When the demo begins, Unix seconds.
            clock: The demo's clock.
        """
        self.house = house
        self.refused = 0
        self._sessions = home / "sessions" / "timmy"
        self._sessions.mkdir(parents=True)
        self._policy = policy
        self._start = start
        self._clock = clock
        self._at = start
        self._count = 0

    def session(self, at: float) -> int:
        """Work through one session that begins at a time; returns how many calls it made."""
        self._at = at
        self._count += 1
        name = f"{self.house}_{self._count:04d}"
        policies = Policies(self._policy, clock=self._now, monotonic=self._now)
        recorder = Recorder(self._sessions, house=self.house, kit=KIT_VERSION, clock=self._now)
        recorder.about(name, platform="demo")
        model = _MODELS[self._count % len(_MODELS)]
        calls = 0
        for number, act in enumerate(self._acts(at - self._start, model, policies)):
            self._at += _GAP_S
            calls += 1
            self._call(recorder, policies, name, number, act, model)
        recorder.end(name, completed=self._luck("turn") < 0.98, interrupted=False)  # noqa: PLR2004
        return calls

    def _now(self) -> float:
        return max(self._at, self._clock())

    def _acts(self, since_s: float, model: str, policies: Policies) -> Iterator[_Act]:
        """What a session does: read, then build or test; web searches in the first hours."""
        reads = 0.99 if model == _MODELS[0] else 0.8
        for number in range(2):
            yield _Act("read_file", {"path": f"src/module_{number}.py"}, reads)
        if self.house == EZRA and since_s < _SEARCHES_UNTIL_S:
            down = OUTAGE_S[0] <= since_s < OUTAGE_S[1]
            for number in range(4):
                yield _Act("web_search", {"query": f"{number}"}, 0.02 if down else 0.97)
        works = _build(policies) if self.house == EZRA else _test(policies, since_s)
        for number in range(6):
            if self.house == EZRA:
                yield _Act("write_file", {"path": f"src/new_{number}.py"}, works)
            else:
                yield _Act("terminal", {"command": "pytest -q"}, works)

    def _call(
        self,
        recorder: Recorder,
        policies: Policies,
        session: str,
        number: int,
        act: _Act,
        model: str,
    ) -> None:
        verdict = policies.allows(act.tool, house=self.house)
        ok = self._luck(f"{number}") < act.success
        outcome = ("ok" if ok else "error") if verdict.allowed else "blocked"
        if verdict.allowed:
            policies.record(act.tool, outcome, house=self.house, session=session)
        else:
            self.refused += 1
        took = _MS[act.tool] * (0.5 + self._luck(f"{number} took"))
        choice = policies.choice("read") if act.tool == "read_file" else None
        recorder.tool(
            session,
            tool=act.tool,
            call_id=f"call_{number}",
            turn="1",
            inner=False,
            model=model,
            signature=signature(act.params),
            shape=shape(act.tool, act.params),
            outcome=outcome,
            rule="demo" if verdict.allowed else "breaker",
            error_type=None if ok or not verdict.allowed else "demo",
            latency_ms=took if verdict.allowed else None,
            policy=policies.revision,
            followed=None if choice is None else choice["model"] == model,
        )

    def _luck(self, what: str) -> float:
        """A number in [0, 1)."""
        digest = sha256(f"{self.house} {self._count} {what}".encode()).digest()
        return int.from_bytes(digest[:7]) / 2**56


def _build(policies: Policies) -> float:
    """Asked for much evidence, ezra builds on what has gone stale meanwhile; asked for less, it does not."""
    threshold = policies.value(EZRA, "evidence_threshold") or 0.0
    return 0.42 if threshold > 0.75 else 0.9  # noqa: PLR2004 - between the default and one step


def _test(policies: Policies, since_s: float) -> float:
    """Run one at a time, bezalel's tests only get worse: they wait for each other."""
    threshold = policies.value(BEZALEL, "parallel_test_threshold") or 0.0
    if since_s < _TESTS_FAIL_S:
        return 0.65
    return 0.38 if threshold < 0.55 else 0.16  # noqa: PLR2004 - between the default and one step
