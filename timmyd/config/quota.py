"""The limits of one owner, as a table of the settings file."""

from typing import Annotated

import msgspec

from timmyd.config.kinds import Whole


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """What one owner of homes may use, so that nobody's sessions keep another's waiting."""

    files_per_s: Annotated[
        int, Whole("files read in a second while another owner's wait", 1, 1_000_000)
    ] = 2_000
    files: Annotated[
        int, Whole("files that are looked at in all directories of one owner", 100, 100_000_000)
    ] = 250_000
    profiles: Annotated[int, Whole("profiles of one home, the first ones by name", 1, 10_000)] = 200
    tools: Annotated[
        int, Whole("names of tools that are learned of; more are other", 10, 1_000_000)
    ] = 1_000
    shapes: Annotated[
        int, Whole("shapes of calls that are learned of; more are other", 10, 10_000_000)
    ] = 20_000
    models: Annotated[
        int, Whole("names of models that are learned of; more are other", 2, 1_000_000)
    ] = 200
    sessions: Annotated[
        int, Whole("sessions of a day that count as evidence of their own", 100, 100_000_000)
    ] = 50_000
