"""Spans of time in seconds, said once for the whole package."""

from typing import Final

HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0
