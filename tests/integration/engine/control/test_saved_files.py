"""The storage is asked only for the files of jobs that may have saved some: an object store takes its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_jobs.models import FileDeletion, Job
from tests.support import verbs
from tests.support.attempts import FreeRunner
from tests.support.brokers import WORKER, end, job_in, pending_job, reread, returned, start
from tests.support.verbs import Claimed

pytestmark = pytest.mark.usefixtures("broker")


def attempt(job: Job, handler: Callable[[Any], Any]) -> Job:
    """Run the handler as the job's next attempt, as a worker does."""
    claimed = start(job)
    claimed.handler = handler
    verbs.settle([verbs.attempt(claimed, verbs.context_for(claimed, FreeRunner()))], WORKER)
    return reread(job)


def nothing(_: Any) -> None:
    pass


def fail(_: Any) -> None:
    raise OSError


def save(context: Any) -> None:
    context.save_output("a.txt", "a")


def save_and_fail(context: Any) -> None:
    save(context)
    raise OSError


def lose(claimed: Claimed) -> None:
    verbs.settle_lost([(claimed.pk, claimed.attempt)], "its process was killed", WORKER)


def noted(job: Job) -> bool:
    """Whether the job's deletion leaves files to be deleted."""
    assert verbs.delete_job_rows([job.pk]).job_ids == [job.name]
    return FileDeletion.objects.filter(pk=job.name).exists()


def test_nothing_is_asked_for_a_job_that_saved_no_file() -> None:
    assert not noted(attempt(pending_job(), nothing))


def test_nothing_is_asked_for_a_job_that_never_ran() -> None:
    assert not noted(job_in("Canceled"))


def test_nothing_is_asked_for_a_job_none_of_whose_attempts_saved_a_file() -> None:
    job = attempt(pending_job(), fail)
    assert (job.status, job.fileless_attempts) == ("Failed", 1)
    assert not noted(attempt(job, nothing))


def test_the_files_of_a_job_that_saved_one_are_deleted() -> None:
    assert noted(attempt(pending_job(), save))


def test_the_files_of_an_earlier_attempt_are_deleted() -> None:
    assert noted(attempt(attempt(pending_job(), save_and_fail), nothing))


def test_of_an_attempt_that_was_lost_nobody_knows_what_it_saved() -> None:
    job = pending_job()
    lose(start(job))
    assert noted(attempt(reread(job), nothing))


def test_of_an_attempt_whose_end_does_not_say_nobody_knows_it() -> None:
    job = attempt(pending_job(), fail)
    claimed = start(job)
    end(returned(claimed))
    assert (reread(job).attempt, reread(job).fileless_attempts) == (2, 1)
    assert noted(job)
