"""``python -m lab.faults.endurance [--seconds N] [--seed N] [--keep]``: the long run."""

from __future__ import annotations

import argparse
import sys

from lab.faults.endurance.servers import Servers
from lab.faults.launcher import launch
from tests.support import slots


def _play(servers: Servers, options: argparse.Namespace) -> list[str]:
    from lab.faults.endurance.run import run

    slots.choose(slots.Slots(options.slots))
    return run(servers, options.seconds, options.seed)


def main() -> int:
    """Run, and return how the process is to exit."""
    parser = argparse.ArgumentParser(prog="lab.faults.endurance")
    parser.add_argument("--seconds", type=float, default=600, help="For so long faults happen (600).")
    text = "How those workers run jobs that have no threads else (one)."
    parser.add_argument("--slots", choices=[*slots.Slots], default=slots.Slots.ONE, help=text)
    return launch(parser, _play)


if __name__ == "__main__":
    sys.exit(main())
