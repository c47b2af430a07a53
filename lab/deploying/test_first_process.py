"""Workers and schedulers as the first process of a container, which gets no signal that it does not handle."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.support.waiting import wait_until
from tests.support.workers import ManagedProcess

#: Sees only what it starts itself, and is number 1 there; with it ends all that it started.
FIRST: Final = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
#: Docker kills after so long.
GRACE: Final = 10.0


@pytest.fixture
def waiting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ManagedProcess]:
    """A command that waits for its database, as the first process."""
    tried = subprocess.run([*FIRST, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"This machine lets nobody be a first process: {tried.stderr.strip()}")
    environ = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path}/nowhere/db.sqlite3",
    }
    started = ManagedProcess(tuple(request.param), tmp_path / "log", environ, FIRST)
    yield started
    started.clean_up()


@pytest.mark.parametrize(
    "waiting", [["jobs_worker"], ["jobs_worker", "--skip-checks"], ["jobs_scheduler"]], indirect=True, ids=" ".join
)
def test_sigterm_ends_what_waits_for_its_database(waiting: ManagedProcess) -> None:
    waiting.wait_for_log("(OperationalError: ")
    wait_until(lambda: psutil.Process(waiting.pid).children(), GRACE, "a first process")
    (first,) = psutil.Process(waiting.pid).children()
    first.send_signal(signal.SIGTERM)
    assert waiting.wait(GRACE) == 0
