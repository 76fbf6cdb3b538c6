"""What the policy says to a call that only repeats what has failed, and to a turn that goes on doing so."""

from typing import Any

from .folding import RepeatKey
from .keys import is_name
from .reader import Policies
from .retries import hopeless, upper_bound
from .spirals import Spirals, Stuck

RETRY_LIMIT = "retry_limit"
DEFAULT_LIMIT = 3
_MOST_HELPED = 2


class Repeats:
    """`retry_limit` of one house, on the turns of its sessions.

    Args:
        policies: Where the limit, the curves and the remedies come from; without a document that is in force
            nothing is refused.
        house: Whose calls these are.
    """

    def __init__(self, policies: Policies, house: str) -> None:
        self._policies = policies
        self._house = house
        self._spirals = Spirals()

    def failures(self, key: RepeatKey, short: str, *, session: str, turn: str) -> int:
        """After how many failures the call is to be refused; 0: it may run."""
        document = self._policies.document
        if document is None:
            return 0
        repeats = self._spirals.repeats(session, turn, key)
        if repeats.is_new:
            return 0
        limit = round(self._policies.value(self._house, RETRY_LIMIT) or DEFAULT_LIMIT)
        curves = document.retries.get(self._house, {})
        return hopeless(repeats, limit, lambda k: upper_bound(curves, key.tool, short, k))

    def refusal(self, tool: str, short: str, failures: int, name: str) -> str:
        """One sentence for the model: what failed how often, and what has helped before.

        Args:
            tool: The tool.
            short: The shape of the call.
            failures: How often it failed.
            name: What the tool is called in a sentence.
        """
        helped = self.helped(tool, short)
        return (
            f"{name} was not run again: this call failed {failures} times in this turn, and after so many "
            f"failures repeating it hardly ever works{helped and '; ' + helped}. Change the arguments, mend the "
            f"cause, or go on without it and say so."
        )

    def advice(self, tool: str, short: str, name: str) -> str:
        """The same of calls that ran: one sentence for all of a kind, so that it is told once."""
        helped = self.helped(tool, short)
        return (
            f"{name} was called again and again as before though it failed each time, and repeating it hardly ever "
            f"works{helped and '; ' + helped}. Change the arguments, mend the cause, or go on without it and say so."
        )

    def helped(self, tool: str, short: str) -> str:
        """What has helped after such a failure, in words; empty where nothing is known."""
        document = self._policies.document
        table = {} if document is None else document.remedies.get(self._house, {})
        found: dict[str, float] = {}
        for failure, remedies in table.items():
            if failure.split("|")[:2] == [tool, short]:
                for one in remedies:
                    found.setdefault(f"{one['tool']} ({one['shape']})", float(one["success"]))
        best = sorted(found.items(), key=lambda item: -item[1])[:_MOST_HELPED]
        named = [f"{name} in {share:.0%} of cases" for name, share in best if is_name(name)]
        return f"what has helped before: {', '.join(named)}" if named else ""

    def refused(
        self, key: RepeatKey, short: str, failures: int, *, session: str, turn: str
    ) -> None:
        """A call was refused: it may be tried once in later turns, and two in a row end this one."""
        self._spirals.refuse(session, turn, key, Stuck(key.tool, short, failures))

    def ran(
        self, key: RepeatKey, *, outcome: str, answer: Any, task: str, session: str, turn: str
    ) -> bool:
        """A call has run; what it answered is hashed and forgotten. True: its failure says nothing new of its tool."""
        return self._spirals.ran(session, turn, key, outcome=outcome, answer=answer, task=task)

    def end_of_turn(self, session: str, turn: str) -> str | None:
        """The answer that ends a turn that does nothing but repeat; None lets it go on."""
        stuck = None if self._policies.document is None else self._spirals.stuck(session, turn)
        if stuck is None:
            return None
        what = (
            f"{stuck.tool} ({stuck.shape})"
            if is_name(f"{stuck.tool} {stuck.shape}")
            else "one call"
        )
        helped = self.helped(stuck.tool, stuck.shape)
        return (
            f"I stopped here. {what} failed {stuck.failures} times in this turn and was refused when it was tried "
            f"again, because repeating it as it is hardly ever works."
            f"{' ' + helped[:1].upper() + helped[1:] + '.' if helped else ''} To go on, mend the cause or ask for "
            f"another way; if it is mended, say so, and the call is tried again. (timmy)"
        )
