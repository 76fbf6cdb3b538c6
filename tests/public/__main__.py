"""What was learned from data that nobody here made: `python -m tests.public DIR [TABLE]`."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.public import choice_table, prediction_table

TABLES: dict[str, Callable[[Path], Iterable[Any]]] = {
    "choice": choice_table.rows,
    "prediction": prediction_table.rows,
}


def main(arguments: list[str]) -> int:
    """Print the tables row by row; 1 if a bar was missed."""
    if not arguments or not Path(arguments[0]).is_dir():
        print(f"usage: python -m tests.public DIR [{'|'.join(TABLES)}]", file=sys.stderr)
        return 2
    missed = 0
    for name in arguments[1:] or TABLES:
        for row in TABLES[name](Path(arguments[0])):
            print("  ".join(f"{cell:<28}" for cell in row).rstrip(), flush=True)
            missed += row[-1] == "MISSED"
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
