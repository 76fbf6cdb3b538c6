"""`python -m tests.worlds [--full]`: every promise of the statistics in one table."""

import argparse
import importlib
import importlib.util
import sys

from tests.worlds import fall_tables, fleet_world, learning_tables, notice_tables, predict_tables
from tests.worlds.learning_tables import Row


def knob_rows(*, quick: bool) -> list[Row]:
    """The rows of the knob judgement."""
    if importlib.util.find_spec("tests.worlds.knob_tables") is None:
        return []
    found: list[Row] = importlib.import_module("tests.worlds.knob_tables").rows(quick)
    return found


def main() -> int:
    """Print the table; 1 if the full one misses a bar."""
    parser = argparse.ArgumentParser(prog="python -m tests.worlds")
    parser.add_argument("--full", action="store_true", help="the seeds and lengths of the bars")
    quick = not parser.parse_args().full
    table = [("table", "world", "figure", "ours", "bar", "verdict")]
    table += predict_tables.rows(quick=quick)
    table += fall_tables.rows(quick=quick)
    table += notice_tables.rows(quick=quick)
    table += learning_tables.rows(quick=quick)
    table += knob_rows(quick=quick)
    table += fleet_world.rows(quick=quick)
    widths = [max(len(row[i]) for row in table) for i in range(6)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    if quick:
        sys.stdout.write("few seeds and short streams: bars are indicative; --full judges them\n")
    return int(not quick and any(row[-1] == "MISSED" for row in table))


if __name__ == "__main__":
    sys.exit(main())
