"""What one owner may use (law 8), and who came to a limit."""

import pwd
from typing import NamedTuple, Self

from timmyd.config.quota import Quota

_REACHED_MOST = 200


class Quotas(NamedTuple):
    """Limits of one owner.

    Attributes:
        files_per_s: Files that are read in a second while another owner waits.
        files: Files that a scan looks at.
        profiles: Profiles of one home.
    """

    files_per_s: float
    files: float
    profiles: int

    @classmethod
    def of(cls, quota: Quota) -> Self:
        """As the settings say."""
        return cls(quota.files_per_s, quota.files, quota.profiles)

    @classmethod
    def none(cls) -> Self:
        """No limits: a command does its own work."""
        return cls(float("inf"), float("inf"), 1 << 31)


class QuotasReached:
    """Who came to which limit, and with which house; the operator is told, the others do not notice."""

    def __init__(self) -> None:
        self.limits: dict[tuple[int | str, str], str] = {}

    def note(self, owner: int | str, limit: str, house: str) -> None:
        """An owner, by uid or by name, came to a limit."""
        if len(self.limits) < _REACHED_MOST:
            self.limits[owner, limit] = house

    def told(self) -> list[dict[str, object]]:
        """The same as plain JSON."""
        return [
            {"owner": owner_name(owner), "house": house, "limit": limit}
            for (owner, limit), house in sorted(self.limits.items(), key=str)
        ]


def owner_name(uid: int | str) -> str:
    """The name of a user, or the number where it has none."""
    if isinstance(uid, str):
        return uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
