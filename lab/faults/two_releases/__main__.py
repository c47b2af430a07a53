"""``python -m lab.faults.two_releases [--first old|new] [--seed N] [--keep]``: from one release to the other."""

from __future__ import annotations

import argparse
import sys

from lab.faults.endurance.servers import Servers
from lab.faults.launcher import launch
from lab.faults.two_releases.release import NONE_YET, NoHistory, commits, older_release, this_release


def _play(servers: Servers, options: argparse.Namespace) -> list[str]:
    from lab.faults.two_releases.play import play

    try:
        older = older_release(servers.directory)
    except NoHistory as error:
        return [str(error)]
    first, second = older.checked(servers.environ()), this_release()
    if options.first == "new":
        first, second = second, first
    return play(servers, first, second, options.seed)


def main() -> int:
    """Run, and return how the process is to exit."""
    if not commits():
        print(NONE_YET)
        return 0
    parser = argparse.ArgumentParser(prog="lab.faults.two_releases")
    parser.add_argument("--first", choices=["old", "new"], default="old", help="Whose workers are there first (old).")
    return launch(parser, _play)


if __name__ == "__main__":
    sys.exit(main())
