"""Who pools with whom, and whose calls bind whose houses (law 8): the unit of distrust is the owner."""

from collections.abc import Collection, Iterable, Mapping

from timmyd.core.ownership import UNKNOWN


class Units:
    """Owners in units: each alone, or with those whom the operator lets pool with it.

    Args:
        together: Groups of owners that pool; groups that share an owner are one.
    """

    def __init__(self, together: Iterable[Collection[str]] = ()) -> None:
        groups: list[set[str]] = []
        for names in together:
            group = set(names)
            for known in [known for known in groups if known & group]:
                groups.remove(known)
                group |= known
            groups.append(group)
        self._of = {owner: min(group) for group in groups for owner in group}

    def of(self, owners: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        """The units of these owners, by name, each with its owners in order.

        Calls that nobody is known to have made are a unit of their own, but where there is no
        more than one other: then there is nobody to be protected from anybody.
        """
        units: dict[str, list[str]] = {}
        for owner in sorted(set(owners)):
            units.setdefault(self._of.get(owner, owner), []).append(owner)
        others = [unit for unit in units if unit != UNKNOWN]
        if UNKNOWN in units and len(others) == 1:
            units[others[0]] += units.pop(UNKNOWN)
        return {unit: tuple(members) for unit, members in units.items()}
