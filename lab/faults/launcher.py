"""Starts a suite on servers of its own: as a command, and as a test that runs this command.

The settings of such a suite lead to its servers. So it is a process of its own, and sets Django up once they run.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import django

from lab.faults.endurance.servers import Servers
from tests.support.directories import open_directory

if TYPE_CHECKING:
    import pytest

#: Plays the suite with the options of its command, a seed among them, and returns what is wrong.
Play: TypeAlias = Callable[[Servers, argparse.Namespace], list[str]]
ROOT: Final = Path(__file__).resolve().parents[2]
_FINDINGS: Final = "\nfindings: "
#: So many lines of a report are told of a test that failed.
_TOLD: Final = 40


def launch(parser: argparse.ArgumentParser, play: Play) -> int:
    """Play as the command's arguments say, print what is found, and return how the process is to exit."""
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="Draws what happens.")
    parser.add_argument("--keep", action="store_true", help="Keep the directory with all logs, as after findings.")
    options = parser.parse_args()
    servers = Servers(open_directory(f"django-jobs-{parser.prog.rpartition('.')[2]}-"))
    print(f"{options}, in {servers.directory}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    is_good = False
    try:
        _set_up(servers)
        found = play(servers, options)
        is_good = not found
    finally:
        servers.stop()
        if is_good and not options.keep:
            shutil.rmtree(servers.directory)
    print("\n  - ".join([f"{_FINDINGS}{len(found)}", *found]), flush=True)
    return 0 if is_good else 1


def _set_up(servers: Servers) -> None:
    """Start the servers, and make the tables of this release."""
    servers.start()
    os.environ.update(servers.environ())
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "-v", "0"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    django.setup()


def check(request: pytest.FixtureRequest, module: str, *arguments: str) -> None:
    """Run a suite's command, with the seed of the test run where it has one; fail with what it found."""
    faulthandler.cancel_dump_traceback_later()  # on a slow machine it takes longer; each of its steps has a bound
    seed = request.config.getoption("randomly_seed", random.randrange(10**6))
    command = [sys.executable, "-m", module, *arguments, "--seed", str(seed)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        try:
            report, _ = run.communicate()
        except BaseException:
            run.send_signal(signal.SIGTERM)  # it ends what it started
            raise
    print(report)
    assert run.returncode == 0, f"exit code {run.returncode}:\n{reason(report)}"


def reason(report: str) -> str:
    """Return what a suite found; where it did not get so far, what it said last."""
    _, mark, found = report.rpartition(_FINDINGS)
    lines = report.strip().splitlines()
    return "\n".join(f"{mark}{found}".strip().splitlines()[:_TOLD] if mark else lines[-_TOLD:])
