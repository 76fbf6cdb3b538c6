"""The commands. Nothing else in timmyd prints."""

from timmyd.cli.app import main

__all__ = ["main"]
