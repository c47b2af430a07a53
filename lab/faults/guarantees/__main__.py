"""``python -m lab.faults.guarantees [--write] [NAME …]``: measure, print the table, and perhaps write it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import django

if TYPE_CHECKING:
    from lab.faults.guarantees.table import Measured


PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "guarantees.md"


def main() -> int:
    """Return 0 if every figure is within its bound."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from lab.faults.guarantees import measurements
    from lab.faults.guarantees.table import as_markdown, put_into

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(measurements.ALL)}; default: all of them")
    parser.add_argument("--write", action="store_true", help="put the table into docs/guarantees.md")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is measured")
    options = parser.parse_args()
    measured: list[Measured] = []
    for name in options.names or measurements.ALL:
        measured.append(measurements.ALL[name](options.repeat))
        print(f"{name}: {measured[-1]}", flush=True)
    table = as_markdown(measured)
    print(f"\n{table}")
    if options.write:
        put_into(PAGE, table)
    return 0 if all(item.holds for item in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
