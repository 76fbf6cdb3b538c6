"""The names that a house may have, and how much of timmy it takes."""

from enum import StrEnum
from typing import ClassVar, Self

from .keys import is_house


class Mode(StrEnum):
    """How much of timmy a house takes.

    `SIMPLE` records; `INTELLIGENT` also obeys the policy; `SOVEREIGN` obeys only a policy file
    of this machine: no link, no network file system.
    """

    SIMPLE = "simple"
    INTELLIGENT = "intelligent"
    SOVEREIGN = "sovereign"


class House(str):
    """The name of a house, `[a-z0-9_-]{1,32}`; ValueError for anything else."""

    __slots__ = ()
    TIMMY: ClassVar["House"]
    EZRA: ClassVar["House"]
    BEZALEL: ClassVar["House"]

    def __new__(cls, name: str) -> Self:
        """Check the name."""
        if not is_house(name):
            raise ValueError(name)
        return super().__new__(cls, name)


House.TIMMY, House.EZRA, House.BEZALEL = House("timmy"), House("ezra"), House("bezalel")
