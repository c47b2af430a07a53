"""What a handler reads of the jobs that its own depends on, and whether its attempt still owns the job."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_jobs import JobCanceled, ResultReference, submit_job
from django_jobs.models import Job, JobDependency, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import verbs
from tests.support.attempts import FreeRunner, Stage
from tests.support.brokers import end, queue_up, raised, returned, running_job, start
from tests.support.families import Submitter, kill, run_after_ended
from tests.support.tuning import Tuning
from tests.support.verbs import outcomes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("broker")


def context_of(child: Job) -> Any:
    """What the handler of the child's next attempt gets."""
    return verbs.context_for(start(child), FreeRunner())


def finish(job: Job, result: Any) -> None:
    end(returned(start(job), result))


@pytest.fixture
def family(submit: Submitter) -> tuple[Job, Job, Job]:
    """Two parents that returned something, and their child, which may start."""
    first, second = submit(), submit()
    child = submit(second, first)
    finish(first, {"rows": 3})
    finish(second, {"rows": 4, "text": "ä\u20ac"})
    verbs.follow_up()
    return first, second, child


def test_the_results_of_all_parents_come_by_job_id_in_the_order_of_their_submission(
    family: tuple[Job, Job, Job],
) -> None:
    first, second, child = family
    parents = context_of(child).parents
    assert parents == {first.name: {"rows": 3}, second.name: {"rows": 4, "text": "ä\u20ac"}}
    assert list(parents) == [first.name, second.name]


def test_a_job_without_parents_has_no_results_of_any(submit: Submitter) -> None:
    assert context_of(submit()).parents == {}


def test_what_a_parent_returned_that_did_not_complete_is_none(submit: Submitter) -> None:
    dead, silent, failed_before = submit(), submit(), submit()
    child = run_after_ended(submit(dead, silent, failed_before))
    kill(dead)
    finish(silent, None)
    end(raised(start(failed_before)))
    finish(failed_before, {"at": "last"})
    verbs.follow_up()
    assert context_of(child).parents == {dead.name: None, silent.name: None, failed_before.name: {"at": "last"}}


def test_a_parent_that_was_deleted_is_missing(family: tuple[Job, Job, Job]) -> None:
    first, second, child = family
    JobDependency.objects.filter(parent=first).delete()
    Job.objects.filter(pk=first.pk).delete()
    assert list(context_of(child).parents) == [second.name]


def test_results_of_many_parents_are_read(submit: Submitter) -> None:
    parents = [submit() for _ in range(30)]
    child = submit(*parents)
    Job.objects.filter(pk__in=[job.pk for job in parents]).update(status="Completed", result={"a": 1}, ready_at=None)
    verbs.follow_up()
    assert context_of(child).parents == {job.name: {"a": 1} for job in parents}


def test_beyond_a_megabyte_there_are_references_which_load_one_result(submit: Submitter, tuning: Tuning) -> None:
    tuning.set(parent_results_characters=1_000)
    small, large, huge, tiny = (submit() for _ in range(4))
    child = submit(small, large, huge, tiny)
    for job, size in ((small, 100), (large, 700), (huge, 900), (tiny, 1)):
        finish(job, {"text": "x" * size})
    verbs.follow_up()
    parents = context_of(child).parents
    assert {name for name, result in parents.items() if isinstance(result, ResultReference)} == {huge.name}
    assert parents[huge.name].load() == {"text": "x" * 900}
    assert parents[tiny.name] == {"text": "x"}


@pytest.mark.parametrize("job_id", ["JOB-2026-99999", "nonsense"])
def test_a_reference_to_nothing_loads_none(job_id: str) -> None:
    assert ResultReference(job_id).load() is None


def ask_all(context: Any) -> list[Any]:
    """All that a handler may ask here."""
    name = next(iter(context.parents))
    return [context.parents, context.still_owned(), ResultReference(name).load()]


async def ask_in_the_loop(context: Any) -> list[Any]:
    return ask_all(context)


async def ask_in_a_thread(context: Any) -> list[Any]:
    return await sync_to_async(ask_all)(context)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ask", [ask_in_the_loop, ask_in_a_thread])
def test_an_async_handler_asks_too_and_leaves_no_thread_behind(family: tuple[Job, Job, Job], ask: Any) -> None:
    first, second, child = family
    answers: list[Any] = []

    async def handler(context: Any) -> None:
        answers.extend(await ask(context))

    claimed = start(child)
    claimed.handler = handler
    threads = threading.active_count()
    assert isinstance(Stage().attempt(claimed), outcomes.Returned)
    results = {first.name: {"rows": 3}, second.name: {"rows": 4, "text": "ä\u20ac"}}
    assert answers == [results, True, {"rows": 3}]
    wait_until(lambda: threading.active_count() <= threads, 10, "the threads to end")


def test_they_are_there_in_a_hosts_tests(both_ways: str, kind: JobType, organization: Organization) -> None:
    JobType.objects.create(type_name="gather", handler_method="tests.support.handlers.gather", deduplication_window=0)
    JobType.objects.create(
        type_name="gather_async", handler_method="tests.support.handlers.gather_async", deduplication_window=0
    )
    JobType.objects.create(type_name="echo", handler_method="tests.support.handlers.echo", deduplication_window=0)
    parent = submit_job("echo", organization, {"a": 1})
    for name in ("gather", "gather_async"):
        submit_job(name, organization, depends_on=parent)
    _, *others = run_jobs(raise_errors=True)
    assert [status.result for status in others] == [
        {"parents": {parent.name: {"echo": {"a": 1}}}, "still_owned": True}
    ] * 2


def test_an_attempt_owns_its_job_while_it_runs() -> None:
    _, claimed = running_job()
    context: Any = verbs.context_for(claimed, FreeRunner())
    assert context.still_owned()


def test_an_attempt_whose_job_was_taken_away_owns_it_no_more() -> None:
    job, claimed = running_job()
    context: Any = verbs.context_for(claimed, FreeRunner())
    Job.objects.filter(pk=job.pk).update(lease_expires_at=None)
    verbs.rescue_expired()
    assert not context.still_owned()
    start(job)  # elsewhere
    assert not context.still_owned()


def test_an_attempt_that_has_ended_owns_its_job_no_more() -> None:
    job, claimed = running_job()
    context: Any = verbs.context_for(claimed, FreeRunner())
    end(raised(claimed))
    assert not context.still_owned()
    queue_up(job)
    assert not context.still_owned()


def test_what_a_handler_left_behind_owns_nothing_and_reads_nothing(family: tuple[Job, Job, Job]) -> None:
    context = context_of(family[2])
    with context.interruptible():
        assert context.still_owned()
    assert not context.still_owned()
    with pytest.raises(JobCanceled):
        _ = context.parents
