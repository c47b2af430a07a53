"""A line to the database on which the server hears and does, and no answer comes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, wait_for_status
from tests.support.databases import DEFAULT_PORTS, database_url
from tests.support.factories import make_job_type
from tests.support.networks import HalfOpenLine
from tests.support.tuning import tuned
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

pytestmark = pytest.mark.skipif(connection.vendor == "sqlite", reason="there is no line to a file")

#: What only a claim writes while nothing runs.
CLAIM = b"lease_expires_at"


@pytest.fixture
def line(transactional_db: None) -> Iterator[HalfOpenLine]:
    config = connection.settings_dict
    line = HalfOpenLine(config["HOST"], int(config["PORT"] or DEFAULT_PORTS[connection.vendor]))
    yield line
    line.close()


def over(line: HalfOpenLine, **values: float) -> dict[str, str]:
    """The environment of a worker that is connected over this line, and has these times."""
    url = database_url({**connection.settings_dict, "HOST": "127.0.0.1", "PORT": str(line.port)})
    return {"DATABASE_URL": url, **tuned(**values)}


def test_a_child_whose_loop_stands_still_is_replaced_and_what_it_held_pays_nothing(
    processes: ProcessPool, stage: Stage, line: HalfOpenLine
) -> None:
    environ = over(line, stalled_child_seconds=3.0)
    line.lose_answer_to(CLAIM)
    job = stage.submit(make_job_type(max_retries=0))
    worker = processes.worker(settings={"LEASE_SECONDS": 600}, environ=environ)
    wait_until(lambda: "event=child_stalled" in worker.log(), PATIENCE, "the end of the child")
    assert wait_for_status(job, Status.COMPLETED).retry_count == 0
