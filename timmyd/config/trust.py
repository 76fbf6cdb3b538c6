"""`[trust]`: who learns from whom (law 8)."""

from typing import Annotated

import msgspec

from timmyd.config.texts import Groups


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """Whose houses learn from each other freely; no other user alone can decide anything for them."""

    together: Annotated[
        tuple[tuple[str, ...], ...],
        Groups("groups of users that learn from each other freely", "a list of lists of users"),
    ] = ()
