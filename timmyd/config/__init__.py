"""Settings: TOML files, every problem of all of them reported at once with its place, then frozen.

`Settings()` holds without a file; `load` reads files; `sample` and `schema` describe what they may hold.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from timmyd.config.assemble import assemble
from timmyd.config.describe import sample, schema
from timmyd.config.document import decode, dotted, read
from timmyd.config.places import (
    database_path,
    default_paths,
    metrics_path,
    policy_path,
    state_dir,
)
from timmyd.config.settings import (
    BreakerSettings,
    ChoiceSettings,
    Clock,
    EvidenceSettings,
    Files,
    HouseSettings,
    Log,
    Outcome,
    Price,
    Publish,
    Retention,
    Schedule,
    Settings,
)
from timmyd.config.tables import Reading, key_name
from timmyd.errors import ConfigError, Problem

__all__ = [
    "BreakerSettings",
    "ChoiceSettings",
    "Clock",
    "EvidenceSettings",
    "Files",
    "HouseSettings",
    "Log",
    "Outcome",
    "Price",
    "Publish",
    "Retention",
    "Schedule",
    "Settings",
    "database_path",
    "default_paths",
    "diff",
    "load",
    "metrics_path",
    "parse",
    "policy_path",
    "sample",
    "schema",
    "state_dir",
]


def load(paths: Sequence[Path]) -> Settings:
    """Read settings files, later ones winning key by key, and check them whole.

    Houses of all files add up. A rule or a policy is one table, whichever files name it.

    Args:
        paths: In order, such as `default_paths` gives them; none is all defaults.

    Raises:
        ConfigError: With all problems of all files.
    """
    reading = Reading()
    for number, path in enumerate(paths):
        try:
            reading.take(read(path, number))
        except Problem as problem:
            reading.wrong(problem, file=number)
    return _finish(reading)


def parse(text: str, place: str) -> Settings:
    """Check settings that are not in a file.

    Args:
        text: TOML.
        place: What to call it in problems.

    Raises:
        ConfigError: With all problems.
    """
    reading = Reading()
    try:
        reading.take(decode(text, place))
    except Problem as problem:
        reading.wrong(problem, file=0)
    return _finish(reading)


def _finish(reading: Reading) -> Settings:
    settings = assemble(reading)
    problems = reading.problems()
    if problems:
        raise ConfigError(problems)
    return settings


def diff(old: Settings, new: Settings) -> list[str]:
    """The keys that differ, such as `schedule.tick`, `houses.ezra.home`, `rules.low_x.limit`."""
    before, after = dict(_flat(old)), dict(_flat(new))
    order = [*after, *(key for key in before if key not in after)]
    return [key for key in order if before.get(key) != after.get(key)]


def _flat(settings: Settings) -> Iterable[tuple[str, Any]]:
    for info in msgspec.structs.fields(settings):
        value = getattr(settings, info.name)
        if isinstance(value, msgspec.Struct):
            entries: dict[tuple[str, ...], Any] = {(): value}
        elif isinstance(value, tuple):
            entries = {(getattr(item, "name", str(n)),): item for n, item in enumerate(value, 1)}
        else:
            entries = {(name,): item for name, item in value.items()}
        for label, entry in entries.items():
            if not isinstance(entry, msgspec.Struct):
                yield dotted((info.name, *label)), entry
                continue
            for field, item in msgspec.structs.asdict(entry).items():
                name = key_name(field)
                yield dotted((info.name, *label, name)), item
