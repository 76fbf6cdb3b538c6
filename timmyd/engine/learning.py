"""What the engine has learned, in one piece: it takes executions in, decides at a tick, and survives restarts.

No file, no clock, no SQL: the engine feeds it and keeps its bytes.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import partial
from typing import TypeVar

import msgspec

from timmyd.config import Settings
from timmyd.core.estimating.notices import Notices
from timmyd.core.judging.fallbacks import KEY as FALLBACK_KEY
from timmyd.core.model import AdaptationEvent, Execution
from timmyd.core.ownership import UNKNOWN
from timmyd.engine.bound import Bound, bound
from timmyd.engine.choices import Choices
from timmyd.engine.events import breaker_events, event_of, states_of
from timmyd.engine.formats import FATES, FORMATS, Settled, dump_formats, settled
from timmyd.engine.loading import (
    REBUILD_MOST,
    Rebuild,
    begin_anew,
    load_breakers,
    load_fallbacks,
    load_judgement,
    meet,
    rebuild_of,
)
from timmyd.engine.name_quota import OTHER, NameQuota, has_names
from timmyd.engine.observations import of_call, of_turn
from timmyd.engine.predictions import FRESH_S, REJECTED, Predictions
from timmyd.engine.retrying import Retrying
from timmyd.engine.spending import Raises
from timmyd.engine.watching import notice_events, watch
from timmyd.house.circuit import CLOSED, OPEN
from timmyd.house.keys import FALLBACK_HOUSE
from timmyd.house.outcome import RATED
from timmyd.store.queries import TurnRow

_T = TypeVar("_T")
_ONE_SESSION_S = 300.0


class Learner:
    """The judgement of policies and the breakers, fed with one stream of executions."""

    def __init__(
        self, settings: Settings, saved: Mapping[str, bytes], *, aside: Set[str] = frozenset()
    ) -> None:
        """Go on from what `dump` gave, under settings that may have changed.

        Args:
            settings: The settings in force.
            saved: The result of `dump`, also of an earlier version, empty at first. Its key `mark`
                is the id of the last execution that was observed.
            aside: Houses that nothing is learned from.

        Raises:
            StateError: What must not be lost cannot be read.
        """
        self.settings = settings
        self.settled = settled(saved)
        self._judged: dict[str, str] = msgspec.json.decode(
            saved.get("judged", b"{}"), type=dict[str, str]
        )
        self._judged.setdefault(FALLBACK_HOUSE, UNKNOWN)
        self.judgement = load_judgement(settings, saved, self._judged)
        self.breakers = load_breakers(settings, saved)
        self.rebuild = rebuild_of(saved)
        older = {part for part, _, _ in self.settled}
        self.predictions = self._part(
            "estimates", Predictions, {} if "estimates" in older else saved
        )
        self.choices = self._part(
            "choices", self._new_choices(aside), {} if "choices" in older else saved
        )
        self.retrying = self._part("retries", Retrying.load, {} if "retries" in older else saved)
        self.names = NameQuota(settings.quota, saved.get("names"))
        self.raises = Raises.load(saved.get("raises"))
        self._fallbacks = load_fallbacks({} if "fallbacks" in older else saved)
        self._bound: Bound | None = None
        self._states = states_of(self.breakers)
        self.notices = self._part("notices", Notices, {} if "notices" in older else saved)

    def _new_choices(self, aside: Set[str]) -> Callable[[bytes | None], Choices]:
        settings = self.settings
        return partial(
            Choices,
            exploration=settings.choice.exploration,
            minimum=settings.choice.minimum,
            houses=[house.name for house in settings.houses if house.name not in aside],
            models=[*settings.prices, *settings.choice.models],
            together=settings.trust.together,
        )

    def leave(self, house: str, *, aside: Set[str], mark: int) -> str:
        """Let go of all that was learned from a house; returns in words what is lost with it.

        Args:
            house: Its rows are not observed any more.
            aside: All such houses.
            mark: The id of the last execution that was observed.
        """
        breakers = self.breakers.leave(house)
        rules = self.judgement.leave(house)
        self.retrying.leave(house)
        self.learn_anew(aside=aside, mark=mark)
        return (
            f"predictions and choices are learned again from the newest {REBUILD_MOST:,} rows of the"
            f" others, {rules} rules begin their evidence anew, {breakers} of its breakers are gone"
        )

    def learn_anew(self, *, aside: Set[str], mark: int) -> None:
        """Learn predictions and choices again from the rows: houses were set aside or released."""
        self.predictions = Predictions()
        self.choices = self._new_choices(aside)(None)
        self.notices = Notices()
        self.rebuild = Rebuild(["choices", "estimates", "notices"], max(0, mark - REBUILD_MOST))
        self._states = states_of(self.breakers)
        self._bound = None

    def _part(self, part: str, new: Callable[[bytes | None], _T], saved: Mapping[str, bytes]) -> _T:
        """A part that can be learned from the rows again, where it cannot be read."""
        try:
            return new(saved.get(part))
        except msgspec.MsgspecError:
            self.settled.append(Settled(part, FORMATS[part], FATES[part]))
            self.rebuild = begin_anew(self.rebuild, [part], saved)
            return new(None)

    def dump(self) -> dict[str, bytes]:
        """All that a restart needs."""
        return dump_formats() | {
            "judgement": self.judgement.dump(),
            "judged": msgspec.json.encode(self._judged),
            "breakers": json.dumps(self.breakers.to_dict()).encode(),
            "estimates": self.predictions.dump(),
            "notices": self.notices.dump(),
            "choices": self.choices.dump(),
            "retries": self.retrying.dump(),
            "names": self.names.dump(),
            "raises": self.raises.dump(),
            "fallbacks": msgspec.msgpack.encode(self._fallbacks),
            "rebuild": msgspec.json.encode(self.rebuild),
        }

    def observe(
        self, executions: Iterable[Execution], turns: Iterable[TurnRow], *, now: float
    ) -> None:
        """Take executions and ends of turns in, in event order."""
        self._bound = None
        ordered = self.names.fold(sorted(executions, key=lambda e: (e.at, e.id)))
        if meet(self._judged, ordered):
            saved = dump_formats() | {"judgement": self.judgement.dump()}
            self.judgement = load_judgement(self.settings, saved, self._judged)
        rebuild = self.rebuild
        self.predictions.learn(
            [e for e in ordered if not rebuild.has("estimates", e.id)],
            now=now,
            scored="estimates" not in rebuild.parts,
        )
        rated = [e for e in ordered if e.outcome in RATED or e.outcome == REJECTED]
        self.choices.learn([e for e in rated if has_names(e) and not rebuild.has("choices", e.id)])
        wasted = self.retrying.learn(e for e in ordered if not rebuild.has("retries", e.id))
        watch(self.notices, (e for e in ordered if not rebuild.has("notices", e.id)), now)
        fresh = [execution for execution in ordered if now - execution.at <= FRESH_S]
        told = self._fallbacks.tell
        observations = [
            of_call(
                e,
                wasted=e.id in wasted,
                fell_back=told(tool=e.tool, house=e.house, at=e.at, revision=e.policy),
            )
            for e in fresh
        ]
        self.judgement.observe([*observations, *map(of_turn, turns)])
        for execution in fresh:
            self._count(execution)

    def learn_again(
        self, executions: Iterable[Execution], *, upto: int, done: bool, now: float
    ) -> None:
        """Take the next rows, up to an id, into the parts that are rebuilt; `done`: the last ones."""
        rated = [e for e in executions if e.outcome in RATED or e.outcome == REJECTED]
        rated = self.names.fold(sorted(rated, key=lambda e: (e.at, e.id)))
        if "notices" in self.rebuild.parts:
            watch(self.notices, rated, now)
        if "estimates" in self.rebuild.parts:
            self.predictions.learn(rated, now=now, scored=False)
        if "choices" in self.rebuild.parts:
            self.choices.learn(list(filter(has_names, rated)))
        if "retries" in self.rebuild.parts:
            self.retrying.learn(rated)
        self.rebuild = Rebuild() if done else Rebuild(self.rebuild.parts, upto)
        self._bound = None

    def _count(self, execution: Execution) -> None:
        """Towards the breaker of its tool and of its model, which answers for calls that are none."""
        house, at, outcome = execution.house, execution.at, execution.outcome
        session = str(execution.session or -execution.id)
        if outcome in RATED and execution.tool != OTHER:
            self.breakers.record(house, execution.tool, at, outcome, session=session)
        if execution.model not in {None, "", OTHER} and (outcome in RATED or outcome == REJECTED):
            asked = "error" if outcome == REJECTED else "ok"
            self.breakers.record(house, None, at, asked, session=session, model=execution.model)

    def observe_requests(
        self, requests: Iterable[tuple[str, str, Sequence[bool]]], *, now: float
    ) -> None:
        """Take calls of models in: house, model, and of each call whether it was answered.

        Whose they were is not counted, and one session may try in vain again and again, so what
        comes within five minutes counts as one session's.
        """
        session = f"requests {int(now // _ONE_SESSION_S)}"
        for house, model, answers in requests:
            for answered in answers:
                outcome = "ok" if answered else "error"
                self.breakers.record(house, None, now, outcome, session=session, model=model)

    def tick(self, now: float) -> list[AdaptationEvent]:
        """Decide; returns what changed, in order."""
        events = [event_of(change) for change in self.judgement.tick(now)]
        self.breakers.published(now)
        before, self._states = self._states, states_of(self.breakers)
        events.extend(breaker_events(before, self._states, now=now))
        events.extend(notice_events(self.notices, self._states, now))
        self._bound = None
        self._note_fallbacks(now)
        self.predictions.note(now=now, life_s=None)
        return events

    def published(self, revision: int, *, now: float) -> None:
        """Say under which revision the present values, choices and predictions went out."""
        self.predictions.note(now=now, life_s=self.settings.publish.life_s)
        self.judgement.published(revision)
        self._fallbacks.published(revision)

    def _note_fallbacks(self, now: float) -> None:
        value = self.judgement.values().get(FALLBACK_KEY)
        if value is None or len(self.choices.houses) <= 1:
            return
        trials = {trial.policy: trial for trial in self.judgement.trials()}
        trial = trials.get(FALLBACK_KEY)
        self._fallbacks.note(
            now,
            self.bound().routes,
            self.predictions.published(now),
            values=(value,) if trial is None else (trial.old, trial.new),
            trial_at=None if trial is None else trial.started_at,
            keep_s=FRESH_S,
        )

    def open_breakers(self) -> int:
        """How many breakers are not closed."""
        return sum(breaker.state != CLOSED for _, breaker in self.breakers)

    def bound(self) -> Bound:
        """Which choices bind which house, as they are published; settled with each tick."""
        if self._bound is None:
            self._bound = bound(self.choices, self.broken())
        return self._bound

    def broken(self) -> dict[str, frozenset[str]]:
        """For each tool the houses in which its breaker is open; none where it only observes.

        One that is half-open is asked for probes, and calls are what probes it.
        """
        if self.settings.breaker.mode == "observe":
            return {}
        found: dict[str, set[str]] = {}
        for key, breaker in self.breakers:
            if key.tool is not None and breaker.state == OPEN:
                found.setdefault(key.tool, set()).add(key.house)
        return {tool: frozenset(houses) for tool, houses in found.items()}
