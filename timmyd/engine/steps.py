"""What each tick and publication covered, so that a restart can go over it again."""

from contextlib import suppress

import msgspec

from timmyd.engine.requests import RequestRow


class Step(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One tick, or one publication, as what it covered: enough to go over it again.

    Attributes:
        now: Unix seconds.
        after: Executions with greater ids were new, up to `upto`.
        late: Executions that were answered after they had been looked at.
        requests: Calls of models since the last step: hour, house, model, answered, failed.
        decided: Nothing was left for another tick, so rules and breakers decided.
        published: The revision that went out; then nothing else of the step counts.
        again: Executions up to this id were learned again by what is rebuilt; 0 for none.
        houses: That were met for the first time, each with its owner.
    """

    now: float
    after: int = 0
    upto: int = 0
    turn_after: int = 0
    turn_upto: int = 0
    late: list[int] = []
    requests: list[RequestRow] = []
    decided: bool = False
    published: int | None = None
    again: int = 0
    houses: dict[str, str] = {}


def load_steps(log: bytes | None) -> list[Step]:
    """The steps since the whole state was written; of another form: none, its rows are new again."""
    with suppress(msgspec.MsgspecError):
        return msgspec.json.decode(log or b"[]", type=list[Step])
    return []
