"""Ten slots, in threads and as coroutines: the ways in which jobs end. With `--slots` all other tests do so too."""

from __future__ import annotations

import pytest

from django_jobs import cancel_job
from django_jobs.statuses import Status
from tests.acceptance.steps import Stage, messages_of, wait_for_message, wait_for_status
from tests.support import slots
from tests.support.factories import make_job_type
from tests.support.slots import Slots
from tests.support.workers import ProcessPool


@pytest.mark.parametrize("way", [Slots.THREADS, Slots.COROUTINES])
def test_jobs_end_in_ten_slots_as_they_do_in_one(processes: ProcessPool, stage: Stage, way: Slots) -> None:
    slots.choose(way)
    running = [stage.submit_recorded(make_job_type("record_and_wait"), f"job-{number}") for number in range(5)]
    canceled = stage.submit(make_job_type("wait_with_checkpoints"))
    late = stage.submit(make_job_type("record_and_wait", default_timeout=1, max_retries=0), log="/dev/null", path="/no")
    returned = stage.submit(make_job_type("echo"), number=1)
    retried = stage.submit(make_job_type("fail_until_attempt", retry_delay=0), succeeds_at=2)
    dead = stage.submit(make_job_type("return_what_was_asked_for"), result="set")
    worker = processes.worker()

    assert ("coroutines" in canceled.job_type.handler_method) == (way is Slots.COROUTINES)
    assert len({recorded.pid(attempt=1) for recorded in running}) == 1
    wait_for_message(canceled, "waiting")
    cancel_job(canceled.name)
    wait_for_status(canceled, Status.CANCELED)
    wait_for_status(late, Status.DEAD_LETTER)
    assert messages_of(late, Status.TIMED_OUT) == ["Ran longer than 1 seconds"]
    assert wait_for_status(returned, Status.COMPLETED).result == {"echo": {"number": 1}}
    assert wait_for_status(retried, Status.COMPLETED).result == {"attempt": 2}
    assert wait_for_status(dead, Status.DEAD_LETTER).error_type == "Permanent"
    for recorded in running:
        recorded.let_go()
        assert wait_for_status(recorded.job, Status.COMPLETED).attempt == 1
    assert worker.stop() == 0
    assert "event=child_ended" not in worker.log()[: worker.log().index("event=stopping")]
    assert ("threads=10" in worker.log(), worker.log().count("event=child_started")) == (True, 1)
