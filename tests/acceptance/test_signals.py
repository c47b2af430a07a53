"""Receivers of signals in worker processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.steps import PATIENCE, Stage, wait_for_all, wait_for_status
from tests.support.factories import make_job_type
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_slow_receiver_holds_no_job_up_and_is_told_everything(
    threads: str, processes: ProcessPool, stage: Stage
) -> None:
    log, gate = stage.directory / "log", stage.directory / "gate"
    processes.worker("--processes", "1", "--threads", threads)
    first = stage.submit(make_job_type("listen_slowly"), log=str(log), path=str(gate))
    wait_for_status(first, "Completed")
    others = [stage.submit(make_job_type(), number=number) for number in range(3)]

    wait_for_all(others)
    assert not log.exists()
    gate.touch()
    expected = sorted(f"{job.name} Completed" for job in [first, *others])
    wait_until(lambda: lines(log) == expected, PATIENCE, "the receiver to hear of every job")


def lines(log: Path) -> list[str]:
    return sorted(log.read_text().splitlines()) if log.exists() else []
