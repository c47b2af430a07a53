"""``python -m lab.merging PLAN``: what a plan would meet; ``--write`` carries it out in this checkout."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from lab.merging.merge import Merge
from lab.merging.plan import Plan
from lab.merging.sources import Checkout

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Merge, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--write", action="store_true", help="change the files, and tidy them by ruff")
    options = parser.parse_args()
    checkout = Checkout(ROOT)
    merge = Merge(checkout, Plan(options.plan, checkout))
    for problem in dict.fromkeys(merge.problems):
        print(problem)
    print(f"{len(merge.plan.home)} modules become {len(merge.plan.parts)}; {len(merge.problems)} problems")
    if merge.problems or not options.write:
        return bool(merge.problems)
    merge.write()
    subprocess.run(["ruff", "check", "-q", "--fix-only", "--select", "I,F401,F811", "."], cwd=ROOT, check=False)
    subprocess.run(["ruff", "format", "-q", "."], cwd=ROOT, check=False)
    for lost in merge.plan.mend(ROOT):
        print(lost)
    subprocess.run(["ruff", "format", "-q", "."], cwd=ROOT, check=False)
    return subprocess.run(["ruff", "check", "--output-format", "concise", "."], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
