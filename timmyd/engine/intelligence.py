"""IntelligenceEngine: the verbs of the system. It reads, asks the core, and records the answer."""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import msgspec

from timmyd.clock import Clock, now as wall_clock
from timmyd.config import Settings
from timmyd.core.counting.identity import ANSWERED, TELEMETRY, hash_text
from timmyd.core.judging.houses import moved
from timmyd.core.judging.judgement import StateError
from timmyd.core.model import AdaptationEvent, iso
from timmyd.core.ownership import published_names
from timmyd.core.policy import as_json
from timmyd.core.publishing import build
from timmyd.engine.asking import Answers
from timmyd.engine.events import trials_of
from timmyd.engine.facts import facts_key
from timmyd.engine.formats import check_formats
from timmyd.engine.ingest import Ingest
from timmyd.engine.intake import Origin
from timmyd.engine.learning import Learner
from timmyd.engine.orders import carry_out
from timmyd.engine.requests import RECENT_S, Requests
from timmyd.engine.setting_aside import Aside
from timmyd.engine.spending import budgets
from timmyd.engine.steps import Step, load_steps
from timmyd.errors import SessionError, StoreError
from timmyd.house.keys import FALLBACK_HOUSE
from timmyd.sources import session as plain
from timmyd.store.batch import Batch
from timmyd.store.database import PatternDatabase
from timmyd.store.given import execution_from, owned

EVIDENCE_SLICE = 1_000
"""Executions, by id, that one tick looks at: half a second where each is of another tool."""

SAVE_AFTER = 5_000
"""Executions, by id, after which the whole state is written again."""

REBUILD_SLICE = 2_000
"""Executions, by id, that one tick learns again where a part is rebuilt."""

LATE_SLICE = 1_000
"""Late answers and ends of turns that one tick takes in at most."""

LOG_MOST = 60
"""Steps after which the whole state is written again."""

_GIVEN_HOME = "given"


class IntelligenceEngine(Answers):
    """Every execution teaches, every pattern informs the next decision.

    The verbs are the original design's. A caller without files feeds `record_executions`, calls
    `analyze_and_adapt` and reads `policy_document`.
    """

    def __init__(
        self,
        db: PatternDatabase | None = None,
        *,
        settings: Settings | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        """Go on from what the database holds.

        Args:
            db: The store; None for the user's own.
            settings: All settings; None for the defaults.
            clock: Gives Unix seconds.

        Raises:
            StoreError: The database cannot be used.
        """
        self.database = PatternDatabase(clock=clock) if db is None else db
        self.settings = Settings() if settings is None else settings
        self.clock = clock
        self.behind = False
        self._unsaved = 0
        self._is_settled = True
        states = self.database.states()
        self._aside = Aside(self.database)
        self.learner = self._load(states)
        self._log: list[Step] = []
        self._ingest = Ingest.of(self.settings)
        self._mark = int(states.get("mark", b"0"))
        self._turn_mark = int(states.get("turn_mark", b"0"))
        self._requests = Requests.load(states.get("requests"))
        self.revision = int(states.get("revision", b"0"))
        self._data_through = _float(states.get("data_through"))
        self._status = states.get("status", b"{}")
        # what the loading itself has changed is told by the next tick, not lost in what was told
        notices = self.learner.judgement.take_notices()
        self._go_over_again(load_steps(states.get("log")))
        self.learner.judgement.note(notices)

    def _load(self, states: Mapping[str, bytes]) -> Learner:
        path = self.database.path
        check_formats(states, path)
        try:
            learner = Learner(self.settings, states, aside=self._aside.houses)
        except StateError as error:
            raise StoreError(
                path,
                f"what it has learned ({error.part}) cannot be read",
                hint="restore a backup: timmyd db restore FILE; or move the database away and"
                " import the history again",
            ) from error
        self._is_settled = not learner.settled
        return learner

    def use(self, settings: Settings) -> None:
        """Work under other settings from now on; what was learned stays."""
        self.settings = settings
        self.save()
        self.learner = Learner(settings, self.learner.dump(), aside=self._aside.houses)
        self._ingest = Ingest.of(settings)

    # -------------------------------------------------------------------- taking in
    def ingest_hermes_session(self, session_data: Mapping[str, Any]) -> int:
        """Take in a session given as a dict; returns how many executions were new.

        Args:
            session_data: As Hermes writes it, or in the plain form. A key `house` names the house.

        Raises:
            SessionError: It is no session.
        """
        now = self.clock()
        house = session_data.get("house")
        if not session_data:
            return 0
        shown = plain.from_dict(dict(session_data))
        if shown is None:
            raise SessionError("no_messages", "$", "expected a key messages, found none")
        named = str(house) if house else FALLBACK_HOUSE
        origin = Origin(_GIVEN_HOME, named, "session", shown.session_id, now, now)
        with self.database.batch() as batch:
            taken = self._ingest.take_session(batch, origin, shown, None)
            batch.count("duplicates", taken.duplicates)
        return taken.executions

    def record_executions(self, executions: Iterable[Mapping[str, Any]]) -> int:
        """Count executions given as dicts (CONTRACT §6), all of them or none.

        With a `call_id` and a `session_id` a second sight of the same call is not counted again.

        Returns:
            How many were new.

        Raises:
            ValueError: One of them has a value that cannot be right.
        """
        now = self.clock()
        with self.database.batch() as batch:
            return sum(self._record(batch, data, now) for data in executions)

    def _record(self, batch: Batch, data: Mapping[str, Any], now: float) -> bool:
        execution = owned(execution_from(data, 0, now=now), batch, now=now)
        session_id = data.get("session_id")
        lineage = 0
        if session_id is not None:
            home, sid = batch.name(_GIVEN_HOME), hash_text(str(session_id))
            found = batch.lineage_of(home, sid)
            if found is None:
                found = batch.new_lineage(execution.house, started_at=execution.at, now=now)
                batch.enter(home, sid, found)
            lineage = found
            call_id = data.get("call_id")
            if call_id is not None:
                register = batch.register(lineage)
                key = hash_text(str(call_id))
                if register.with_keys((key,)):
                    batch.count("duplicates")
                    return False
                facts = facts_key(execution.tool, execution.signature)
                execution.id = batch.new_execution()
                register.add(
                    (key,),
                    facts,
                    execution.id,
                    rank=TELEMETRY,
                    seen_at=execution.at,
                    flags=ANSWERED,
                )
                batch.touch(lineage, now)
        if not execution.id:
            execution.id = batch.new_execution()
        execution.session = lineage
        if execution.cost is None and execution.model:
            execution.cost = self._ingest.price(
                execution.model, execution.tokens_in, execution.tokens_out
            )
        batch.add(execution)
        return True

    # --------------------------------------------------------------------- deciding
    def analyze_and_adapt(self) -> list[AdaptationEvent]:
        """One tick at the clock's time: carry out orders, take new evidence in, decide, keep it all.

        Returns:
            What changed. `behind` tells whether evidence is left for another tick.
        """
        now = self.clock()
        events, orders = self._carry_out_orders(now)
        met, aside = self.learner.choices.houses, self._aside.houses
        houses = [h for h in self.database.owners.all().values() if h.name not in aside]
        last = self.database.last_execution_id()
        upto = min(last, self._mark + EVIDENCE_SLICE)
        late = self.database.answered_late(self._mark, LATE_SLICE)
        turn_upto = self.database.last_turn_id(self._turn_mark, LATE_SLICE)
        is_behind = upto < last or len(late) == LATE_SLICE
        again, rebuild = 0, self.learner.rebuild
        if rebuild.parts and len(late) < LATE_SLICE:
            again = min(max(upto, self._mark), rebuild.upto + REBUILD_SLICE)
        step = Step(
            now=now,
            after=self._mark,
            upto=max(upto, self._mark),
            turn_after=self._turn_mark,
            turn_upto=turn_upto,
            late=late,
            requests=self._requests.since(self.database.request_totals(now - RECENT_S)),
            decided=not is_behind,
            again=again,
            houses={h.name: h.owner for h in houses if met.get(h.name) != h.owner},
        )
        events.extend(self._go_over(step))
        self.behind = is_behind or bool(self.learner.rebuild.parts)
        # what was answered before this tick covered it has served as evidence with its answer
        used = [*late, *self.database.answered_between(step.after, step.upto)]
        is_much = len(self._log) >= LOG_MOST or self._unsaved >= SAVE_AFTER
        whole = bool(orders) or is_much or not self._is_settled
        numbers = self.database.decide(
            events, self._states(whole=whole), at=now, used=used, orders=orders
        )
        for event, number in zip(events, numbers, strict=True):
            event.id = number
        return events

    def _go_over_again(self, steps: Sequence[Step]) -> None:
        """After a restart: what was answered after a step had covered it was unanswered in that step."""
        later = set(self.database.answered_between(0, steps[-1].upto)) if steps else set()
        unanswered: list[set[int]] = []
        for step in reversed(steps):
            unanswered.append(set(later))
            later.update(step.late)
        for step in steps:
            self._go_over(step, unanswered.pop())

    def _go_over(self, step: Step, unanswered: Set[int] = frozenset()) -> list[AdaptationEvent]:
        """Take in what a step covers and decide; going over the same step again gives the same.

        So the state, which grows with what was learned, need not be written at every tick: after a
        restart the last whole state and the few steps since give it back, bit for bit.
        """
        self._log.append(step)
        if step.published is not None:
            self.learner.published(step.published, now=step.now)
            return []
        self.learner.choices.know(step.houses)
        aside = self._aside.houses
        executions = self.database.executions_between(step.after, step.upto)
        for execution in executions:
            if execution.id in unanswered:
                execution.outcome = "unknown"
        late = [e for e in map(self.database.execution, step.late) if e is not None]
        turns = self.database.turns_between(step.turn_after, step.turn_upto)
        self._mark, self._turn_mark = step.upto, step.turn_upto
        self._unsaved += len(executions)
        newest = max((execution.at for execution in executions), default=None)
        if newest is not None:
            self._data_through = max(newest, self._data_through or newest)
        observed = [e for e in (*executions, *late) if e.house not in aside]
        turns = [turn for turn in turns if turn.house not in aside]
        self.learner.observe(observed, turns, now=step.now)
        if step.again:
            self._learn_again(step, unanswered)
        requests = [one for one in self._requests.take(step.requests) if one[0] not in aside]
        self.learner.observe_requests(requests, now=step.now)
        return self.learner.tick(step.now) if step.decided else []

    def _learn_again(self, step: Step, unanswered: Set[int]) -> None:
        """Take the next rows into what is rebuilt."""
        rows = self.database.executions_between(self.learner.rebuild.upto, step.again)
        aside = self._aside.houses
        rows = [e for e in rows if e.id not in unanswered and e.house not in aside]
        self._unsaved += len(rows)
        done = step.again >= self._mark
        self.learner.learn_again(rows, upto=step.again, done=done, now=step.now)

    def save(self) -> None:
        """Write the whole state, as before an orderly end."""
        self.database.save_state(self._states(whole=True))

    def _states(self, *, whole: bool) -> dict[str, bytes]:
        """What a restart needs: the whole state, or the steps since it was last written."""
        states: dict[str, bytes] = {"status": self._status}
        if whole:
            self._log.clear()
            self._unsaved = 0
            self._is_settled = True
            states |= self.learner.dump()
            states["mark"] = str(self._mark).encode()
            states["turn_mark"] = str(self._turn_mark).encode()
            states["requests"] = self._requests.dump()
            if self._data_through is not None:
                states["data_through"] = repr(self._data_through).encode()
        states["log"] = msgspec.json.encode(self._log)
        return states

    def _carry_out_orders(self, now: float) -> tuple[list[AdaptationEvent], list[tuple[int, str]]]:
        orders = self.database.open_orders()
        events = [
            carry_out(
                kind, body, now,
                learner=self.learner, aside=self._aside, database=self.database, mark=self._mark,
            )
            for _, kind, body in orders
        ]  # fmt: skip
        done = [(order[0], event.reason) for order, event in zip(orders, events, strict=True)]
        return events, done

    # ------------------------------------------------------------------- publishing
    def policy_document(
        self, *, revision: int | None = None, now: float | None = None, ahead_s: float = 0.0
    ) -> dict[str, Any]:
        """The document of CONTRACT §3 as of now, for houses whose clocks are `ahead_s` ahead of that."""
        now = self.clock() if now is None else now
        learner, settings = self.learner, self.settings
        values = moved(learner.judgement.values())
        observing = settings.breaker.mode == "observe"
        houses = self.database.owners.all().values()
        owners = {house.name: house.owner for house in houses}
        names = published_names(house for house in houses if house.state != "forgotten")
        document = build(
            revision=self.revision + 1 if revision is None else revision,
            published_at=now + ahead_s,
            data_through=self._data_through,
            life_s=settings.publish.life_s,
            mode=settings.publish.mode,
            policies=values,
            owner_of=lambda house: owners.get(house, house),
            models=learner.bound().models,
            routes=learner.bound().routes,
            **({"own": learner.bound().own} if learner.bound().own else {}),
            breaker_rule={
                name: getattr(settings.breaker, name)
                for name in ("open_at", "wait_s", "wait_max_s", "probe_every_s")
            },
            breakers=[] if observing else learner.breakers.published(now),
            trials=trials_of(learner.judgement),
            predictions=learner.predictions.published(now),
            notices=learner.notices.published(now),
            why={key: self._why(key) for key in values},
            **({"names": names} if names else {}),
            **learner.retrying.published(owners, values),
            **({"budgets": spent} if (spent := budgets(settings, learner.raises, now)) else {}),
        )
        return as_json(document)

    def _why(self, key: str) -> dict[str, Any]:
        found = self.learner.judgement.explain(key)
        return {
            "default": found["default"],
            "since": iso(found.get("since")) if isinstance(found.get("since"), float) else None,
            "event": None,
            "rule": found.get("rule") or None,
            "reason": str(found.get("reason") or ""),
            "pinned": bool(found.get("pinned")),
        }

    def announce(self, revision: int, *, now: float) -> None:
        """Remember that a revision goes out with the present values, before it does."""
        self._go_over(Step(now=now, published=revision))
        self.revision = revision
        states = self._states(whole=False)
        states["revision"] = str(revision).encode()
        self.database.save_state(states)

    def save_status(self, status: Mapping[str, object]) -> None:
        """Keep what the daemon says of itself, for `timmyd status`; written with the tick that follows."""
        self._status = msgspec.json.encode(status)

    # ---------------------------------------------------------------------- asking
    @property
    def current_policies(self) -> dict[str, dict[str, float]]:
        """The values in force, by house and key, in the original's shape."""
        return self.policies()

    @property
    def adaptation_history(self) -> Sequence[AdaptationEvent]:
        """All adaptations, oldest first."""
        return self.database.get_adaptations(limit=100_000)[::-1]

    def policy_keys(self) -> list[str]:
        """All policies that there are."""
        return sorted(self.learner.judgement.values())

    def trials(self) -> list[dict[str, Any]]:
        """The running trials, times in Unix seconds."""
        return trials_of(self.learner.judgement)

    def open_breakers(self) -> int:
        """How many breakers are not closed."""
        return self.learner.open_breakers()

    def breaker_states(self) -> dict[str, int]:
        """How many breakers are in each state."""
        counts: dict[str, int] = {}
        for _, breaker in self.learner.breakers:
            counts[breaker.state] = counts.get(breaker.state, 0) + 1
        return counts


def _float(value: bytes | None) -> float | None:
    return None if value is None else float(value)
