"""Damaged files by the thousand, each beside good ones: `python -m tests.fuzz`."""
