"""Requests to models: let through, booked, or answered by ourselves when a cap, a spiral or an outage ends the turn."""

import hashlib
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from .answers import answer
from .budget import Budget, BudgetVerdict, Usage
from .keys import is_name
from .ledger import Reached
from .model_request import count, text
from .outages import Outage, Upstream
from .providers import PROVIDER_DOWN, Providers, outage_answer
from .repeats import RETRY_LIMIT
from .surroundings import has_fallback, is_interrupted

BUDGET = "budget"
_PERCENT = 100.0
_MOST_SESSIONS: Final = 4096
_PATIENCE_S: Final = 6.0
_LOOK_EVERY_S: Final = 0.2


class RequestDecision(NamedTuple):
    """One request that is under way.

    Attributes:
        answer: What is given instead of the model's; None where the request is sent.
        rule: Why: `retry_limit`, `provider_down` or `budget`.
        ticket: Of the budget.
        turn: Its turn.
        model: The model that is asked.
    """

    answer: object | None = None
    rule: str = ""
    ticket: str = ""
    turn: str = ""
    model: str = ""


_NOT_ASKED: Final = RequestDecision()


class RequestGate:
    """What is asked before and told after every request to a model of one home.

    Args:
        budget: The caps of the house.
        providers: What is known to be down.
        end_of_turn: Gives the answer that ends a turn of nothing but repeats, by session and turn.
        house: Whose requests these are.
        clock: Unix seconds.
        pause: Waits so many seconds.
        has_fallback: Whether Hermes turns to another provider by itself, which an answer of ours would keep it from.
    """

    def __init__(
        self,
        budget: Budget,
        providers: Providers,
        end_of_turn: Callable[[str, str], str | None],
        house: str,
        *,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
        has_fallback: Callable[[], bool] = has_fallback,
    ) -> None:
        self.budget = budget
        self.providers = providers
        self._clock = clock
        self._pause = pause
        self._has_fallback = has_fallback
        self._under_way: dict[str, str] = {}
        self._end_of_turn = end_of_turn
        self._house = house
        self._open: dict[str, RequestDecision] = {}

    def before(
        self,
        given: Mapping[str, Any],
        *,
        session: str,
        turn: str,
        model: str | None = None,
        may_end: bool,
    ) -> RequestDecision:
        """A request is about to be sent: the answer to give instead, or a reservation.

        Args:
            given: What Hermes tells of it.
            session: Whose request.
            turn: In which turn.
            model: The model that was put into it; None: the one that Hermes tells.
            may_end: It may be answered for another reason than a cap: it is no work beside its session, and a
                policy that enforces is in force.
        """
        name, mode = model or text(given.get("model")), text(given.get("api_mode"))
        self._forget(session)
        if may_end:
            for rule, end in ((RETRY_LIMIT, self._spiral), (PROVIDER_DOWN, self._outage)):
                said = end(given, session, turn, name)
                made = None if said is None else answer(mode, said, model=name)
                if made is not None:
                    return RequestDecision(made, rule, turn=turn, model=name)
        verdict = self.budget.before(_name(session, turn))
        made = None if verdict.allowed else answer(mode, self.refusal(verdict), model=name)
        if made is not None:
            return RequestDecision(made, BUDGET, turn=turn, model=name)
        asked = RequestDecision(ticket=verdict.ticket, turn=turn, model=name)
        self._open[session] = asked
        return asked

    def _spiral(self, _: Mapping[str, Any], session: str, turn: str, __: str) -> str | None:
        return self._end_of_turn(session, turn)

    def _outage(self, given: Mapping[str, Any], session: str, _: str, model: str) -> str | None:
        """What ends a turn whose provider is down; never between the tries of one request, which are Hermes' own."""
        request = text(given.get("api_request_id"))
        if request and self._under_way.get(session) == request:
            return None
        upstream = Upstream.of(text(given.get("provider")), text(given.get("base_url")), model)
        outage = self._waited_out(upstream)
        if outage is not None:
            return outage_answer(outage, model if is_name(model) else "your model", self._clock())
        self._under_way.pop(session, None)
        self._under_way[session] = request
        while len(self._under_way) > _MOST_SESSIONS:
            self._under_way.pop(next(iter(self._under_way)), None)
        return None

    def _waited_out(self, upstream: Upstream) -> Outage | None:
        """Why a request cannot be sent; a probe that is due in a moment is waited for rather than a turn ended."""
        left_s = _PATIENCE_S
        while (
            outage := self.providers.admit(upstream, stands_aside=self._stands_aside)
        ) is not None:
            if outage.until - self._clock() > left_s:
                return outage
            self._pause(_LOOK_EVERY_S)
            left_s -= _LOOK_EVERY_S
        return None

    def _stands_aside(self) -> bool:
        return is_interrupted() or self._has_fallback()

    def failed(self, asked: RequestDecision, session: str) -> None:
        """The request came to nothing."""
        self._open.pop(session, None)
        self.budget.released(asked.ticket)

    def usage(self, session: str, model: str, usage: Usage | None) -> None:
        """What an answered request used is known; one that was not asked about counts all the same."""
        asked = self._open.pop(session, _NOT_ASKED)
        self.budget.over(
            asked.ticket, "" if asked is _NOT_ASKED else _name(session, asked.turn), model, usage
        )

    def aside(self, model: str, usage: Usage | None) -> None:
        """Hermes asked a model for itself (a title, a summary): counted, and never stopped."""
        self.budget.over("", "", model, usage)

    def refusal(self, verdict: BudgetVerdict) -> str:
        """The answer of a turn that a cap ends."""
        if verdict.reached is None:
            return (
                f"I stopped here: the budget of {self._house} cannot be kept ({verdict.trouble}), and its operator "
                f"asked to stop then. (timmy)"
            )
        until = _until(verdict.resets_at)
        return (
            f"I stopped here: {self._house} has reached its cap, {in_words(verdict.reached)}. {until} An operator "
            f"can raise it; nothing of this turn is lost. (timmy)"
        )

    def warning(self) -> str | None:
        """A line for the model where a cap is near; None where none is."""
        near = self.budget.near()
        return None if near is None else f"Be brief: {in_words(near)} is used."

    def _forget(self, session: str) -> None:
        """A request whose usage nobody told before the next one counts as what was reserved."""
        left = self._open.pop(session, None)
        if left is not None and left.ticket:
            self.budget.over(left.ticket, _name(session, left.turn), left.model, None)


def _name(session: str, turn: str) -> str:
    """A turn's name in the ledger: short, whatever ids a client makes up."""
    return hashlib.blake2b(
        f"{session} {turn}".encode("utf-8", "replace"), digest_size=12
    ).hexdigest()


def usage_of(told: object) -> Usage | None:
    """Tokens of an answered request, cached and reasoning ones included, from what the hooks tell."""
    if not isinstance(told, Mapping):
        return None
    read = count(told.get("input_tokens", told.get("prompt_tokens")))
    written = count(told.get("output_tokens", told.get("completion_tokens")))
    total = count(told.get("total_tokens"))
    if read is None and written is None and total is None:
        return None
    if "input_tokens" in told:
        read = (read or 0) + sum(
            count(told.get(name)) or 0 for name in ("cache_read_tokens", "cache_write_tokens")
        )
    known = float(read or 0) + float(written or 0)
    return (
        Usage(max(float(read or 0), (total or 0.0) - (written or 0)), float(written or 0))
        if known or total
        else None
    )


def in_words(reached: Reached) -> str:
    """`19,800 of 20,000 tokens a day (99 %)`."""
    unit, _, window = reached.cap.partition("_per_")
    share = reached.used / reached.limit * _PERCENT if reached.limit else _PERCENT
    figures = ":,.0f" if unit == "tokens" else ":,.2f"
    used, limit = (format(one, figures[1:]) for one in (reached.used, reached.limit))
    return f"{used} of {limit} {unit} a {window} ({share:.0f} %)"


def _until(resets_at: datetime | None) -> str:
    if resets_at is None:
        return "The next turn has a cap of its own."
    return f"It begins anew at {resets_at:%H:%M} on {resets_at:%d %B} ({resets_at.tzname()})."
