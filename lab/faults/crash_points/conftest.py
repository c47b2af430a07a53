from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import connection

from lab.faults.crash_points.boundaries import Boundary
from lab.faults.crash_points.processes import Processes
from tests.support import record

sequences: Final = pytest.StashKey[dict[str, list[Boundary]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[sequences] = {}


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    found = config.stash[sequences]
    if found:
        terminalreporter.section(f"{sum(map(len, found.values()))} boundaries in {len(found)} scenarios")
        for name, sequence in sorted(found.items()):
            terminalreporter.write_line(f"{len(sequence):5} {name}")


@pytest.fixture(autouse=True)
def _bounded_by_its_plays() -> None:
    """Each play has a bound; how many there are is not known before, so that together they have none."""
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def processes(
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[Processes]:
    """The watched processes of this run."""
    if connection.vendor != "postgresql":
        pytest.skip("The lines know the protocol of PostgreSQL.")
    directory: Path = tmp_path_factory.mktemp("crash-points")
    os.environ[record.VARIABLE] = str(directory / "record")
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        # A crash of the server is not the subject here, and every commit would wait for the disk.
        cursor.execute(f'ALTER DATABASE "{connection.settings_dict["NAME"]}" SET synchronous_commit = off')
        connection.close()
    found = Processes(directory, pytestconfig.stash[sequences])
    yield found
    found.close()
    del os.environ[record.VARIABLE]
