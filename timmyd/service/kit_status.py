"""How the house kit is in a Hermes home."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from timmyd.house import KIT_VERSION
from timmyd.house.budget import Budget
from timmyd.house.seam import Caps, caps_of
from timmyd.house.settings import kit_settings
from timmyd.service.hermes_config import ConfigLayoutError, is_enabled
from timmyd.service.hermes_version import hermes_version, numbers
from timmyd.service.kit_files import KitError, read_config
from timmyd.service.kit_record import read_record, version_of
from timmyd.service.kit_telemetry import Written, written
from timmyd.service.plain import open_plain
from timmyd.service.privilege import as_owner
from timmyd.sources import TELEMETRY_FOLDER

PLUGIN: Final = "timmy"
_SOURCE: Final = Path(__file__).parent.parent / "house"


@dataclass(frozen=True, slots=True)
class KitStatus:
    """How the kit is in one Hermes home.

    Attributes:
        kit: Version of the kit there; None: not installed.
        current: It is the version of this timmyd.
        damaged: It says that it is of this version, but a file of it is missing or was changed.
        enabled: Hermes loads it; None: config.yaml cannot be read with certainty.
        hermes: Version of Hermes, None if it was not found.
        trouble: Why config.yaml cannot be read; empty where it can.
        since: When this version came here, ISO 8601; None for a kit of 0.1.
        upgraded_from: The version that it took the place of.
        grace_until: Until when its new kinds of refusal are advice only, Unix seconds; None: they count.
        written: What it has written.
        capped: There are caps for this house.
    """

    home: Path
    house: str
    mode: str
    kit: str | None
    current: bool
    enabled: bool | None
    hermes: str | None
    damaged: bool = False
    trouble: str = ""
    since: str | None = None
    upgraded_from: str | None = None
    grace_until: float | None = None
    written: Written = field(default_factory=Written)
    capped: bool = False

    @property
    def caps(self) -> Caps | None:
        """Whether caps are held here, where there are some; None where there are none, or nobody knows."""
        return caps_of(self.written.caps) if self.capped else None


def homes(root: Path) -> list[Path]:
    """The Hermes home `root` and those of its profiles, each with settings of its own."""
    found = [root] if root.is_dir() else []
    with suppress(OSError):
        found += sorted(path for path in (root / "profiles").iterdir() if path.is_dir())
    return found


def status(home: Path, *, path: str | None = None) -> KitStatus:
    """How the kit is in a home; reads only."""
    folder = kit_folder(home)
    hermes = hermes_version(home, path)
    with as_owner(home):
        record = read_record(folder) or {}
        settings = kit_settings(home, folder, {})
        enabled, trouble = None, ""
        try:
            enabled = is_enabled(read_config(home).data or b"", PLUGIN)
        except (ConfigLayoutError, KitError) as error:
            trouble = error.sentence
        found = written(home)
        capped = bool(Budget(home / "sessions" / TELEMETRY_FOLDER).load())
        kit = version_of(record)
        damaged = kit == KIT_VERSION and not _is_whole(folder)
    return KitStatus(
        home=home, house=settings.house, mode=settings.mode, kit=kit, current=kit == KIT_VERSION,
        enabled=enabled, damaged=damaged, trouble=trouble, hermes=hermes, since=record.get("since"),
        upgraded_from=record.get("upgraded_from"), grace_until=settings.grace_until, written=found,
        capped=capped,
    )  # fmt: skip


def is_newer(one: KitStatus) -> bool:
    """Whether the kit of a home is of a later version than this timmyd."""
    return numbers(one.kit or "") > numbers(KIT_VERSION)


def kit_files() -> dict[str, bytes]:
    """The files of this version's kit, by name."""
    return {
        source.name: source.read_bytes()
        for source in sorted(_SOURCE.iterdir())
        if source.suffix in {".py", ".yaml"}
    }


def _is_whole(folder: Path) -> bool:
    try:
        for name, data in kit_files().items():
            with open_plain(folder / name) as file:
                if file.read(len(data) + 1) != data:
                    return False
    except OSError:
        return False
    return True


def kit_folder(home: Path) -> Path:
    """Where the kit of a home lies."""
    return home / "plugins" / PLUGIN
