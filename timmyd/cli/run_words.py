"""The words after `timmyd run`, read without waiting for the parser of the other commands.

That parser (`timmyd.cli.daemon`) defines them, says their help and refuses wrong ones; this only takes the short
way for words that are right. A test holds both to the same options.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class RunWords(NamedTuple):
    """What `timmyd run` was asked for; None and empty: as the settings say."""

    home: Sequence[str] = ()
    sessions: Sequence[str] = ()
    policy: Path | None = None
    once: bool = False
    config: Path | None = None
    state: Path | None = None
    json: bool = False


SWITCHES = frozenset({"once", "json"})
LISTS = frozenset({"home", "sessions"})
PATHS = frozenset({"policy", "config", "state"})


def quick(words: Sequence[str]) -> RunWords | None:
    """What well-formed words ask for; None for all others, which the parser has to look at."""
    found: dict[str, object] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, has_value, value = word.removeprefix("--").partition("=")
        if not word.startswith("--"):
            return None
        if name in SWITCHES and not has_value:
            found[name] = True
            continue
        if name not in LISTS | PATHS or not (has_value or rest):
            return None
        value = value if has_value else rest.pop(0)
        if not value or value.startswith("-"):
            return None
        if name in LISTS:
            found[name] = (*found.get(name, ()), value)  # type: ignore[misc]  # of our own making
        else:
            found[name] = Path(value)
    return RunWords(**found)  # type: ignore[arg-type]  # the same
