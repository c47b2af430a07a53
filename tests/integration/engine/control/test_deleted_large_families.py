"""A parent of very many is deleted at once; what this means for its children follows page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pytest
from django.db import connection, transaction

from django_jobs import cancel_job, get_job_status, retry_job, submit_jobs
from django_jobs.models import DependencyTask, Job, JobDependency
from tests.support import verbs
from tests.support.brokers import end, returned, start
from tests.support.deletions import delete_jobs
from tests.support.families import Submitter, complete, is_ready, kill, statuses
from tests.support.tuning import Tuning
from tests.support.verbs import Decided, Interpose, Scheduler

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nothing_is_dispatched")]

PAGE: Final = 10
CHILDREN: Final = 35
#: Parameters of the largest statement: about two for each job of a page.
PARAMETERS: Final = 3 * PAGE


@pytest.fixture(autouse=True)
def small_pages(tuning: Tuning) -> None:
    tuning.set(follow_up_page_jobs=PAGE, deleted_links_at_once=PAGE)


def parent_of_many(submit: Submitter, *others: Job, **fields: Any) -> Job:
    """A job on which many depend, each of which depends on the others too."""
    parent = submit()
    item = {"job_type": submit.kind, "organization": submit.organization, **fields}
    submit_jobs([item | {"depends_on": [parent.name, *(job.name for job in others)]}] * CHILDREN)
    verbs.follow_up()
    return parent


def count(**fields: Any) -> int:
    return Job.objects.filter(**fields).count()


@contextmanager
def measured(about: str = "") -> Iterator[list[tuple[int, int]]]:
    """How many rows each statement changed, and how many parameters it had; of those only that name a table."""
    sizes: list[tuple[int, int]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if about in sql:
            sizes.append((0 if sql.startswith("SELECT") else context["cursor"].rowcount, len(params or ())))
        return result

    with connection.execute_wrapper(note):
        yield sizes


@pytest.mark.parametrize("ending", [kill, complete, cancel_job])
@pytest.mark.parametrize("release", [False, True])
def test_no_statement_grows_with_the_family(submit: Submitter, ending: Callable[[Job], Any], release: bool) -> None:
    parent = parent_of_many(submit)
    ending(parent)
    Job.objects.filter(status="Pending").update(status="Completed", ready_at=None)
    with measured() as sizes:
        assert delete_jobs([parent.pk], release_children=release) == 1
    assert max(rows for rows, _ in sizes) <= PAGE
    assert max(parameters for _, parameters in sizes) <= PARAMETERS
    assert not JobDependency.objects.exists()
    assert not DependencyTask.objects.exists()


def test_many_parents_of_few_are_deleted_in_such_statements_too(submit: Submitter) -> None:
    parents = [submit() for _ in range(6)]
    for parent in parents:
        for _ in range(4):
            submit(parent)
    complete(*parents)
    Job.objects.filter(status="Pending").update(status="Completed", ready_at=None)
    with measured(JobDependency._meta.db_table) as sizes:
        assert delete_jobs([parent.pk for parent in parents]) == 6
    assert max(rows for rows, _ in sizes) <= PAGE
    assert not JobDependency.objects.exists()


def test_what_died_with_it_stays_dead_before_and_after_its_page_is_turned(
    submit: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = submit()
    killer = parent_of_many(submit, other)
    kill(killer)
    with Tuning() as brief:
        brief.set(follow_up_commit_seconds=0.0)
        assert delete_jobs([killer.pk]) == 1
        assert JobDependency.objects.filter(parent_id=killer.pk).count() == CHILDREN - PAGE
        complete(other)
    verbs.follow_up()
    assert count(status="Dead Letter", is_orphaned=False) == CHILDREN
    assert not JobDependency.objects.filter(parent_id=killer.pk).exists()


def test_what_waited_for_its_end_alone_goes_on(submit: Submitter) -> None:
    parent = parent_of_many(submit, run_after="ended")
    Job.objects.filter(pk=parent.pk).update(status="Dead Letter", ready_at=None)
    assert delete_jobs([parent.pk], release_children=True) == 1
    assert count(ready_at__isnull=False) == CHILDREN


def test_what_died_with_it_lives_again_if_it_was_retried_and_completed(
    submit: Submitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    killer = parent_of_many(submit)
    kill(killer)
    with monkeypatch.context() as patch:
        Interpose(patch)("follow_up", lambda *args: 0)
        retry_job(killer)
        end(returned(start(killer)))
        assert delete_jobs([killer.pk]) == 1
    verbs.follow_up()
    assert count(status="Pending", ready_at__isnull=False) == CHILDREN


def test_it_stays_for_a_moment_while_one_of_them_is_about_to_end_with_it(submit: Submitter) -> None:
    parent = parent_of_many(submit)
    Job.objects.filter(pk=parent.pk).update(status="Dead Letter", ready_at=None)
    assert delete_jobs([parent.pk], release_children=True) == 0
    assert JobDependency.objects.count() == CHILDREN


def test_a_deletion_that_is_rolled_back_changes_no_child(submit: Submitter) -> None:
    killer = parent_of_many(submit)
    kill(killer)
    with transaction.atomic():
        delete_jobs([killer.pk])
        transaction.set_rollback(True)
    retry_job(killer)
    assert count(status="Pending") == CHILDREN + 1


@pytest.fixture
def mortal(interpose: Interpose) -> None:
    """The process dies when it comes to the third page."""
    decide = verbs.decide_children
    calls = iter([decide, decide])

    def once_more(pks: Sequence[int]) -> Decided:
        call = next(calls, None)
        if call is None:
            raise SystemExit
        return call(pks)

    interpose("decide_children", once_more)


def test_the_scheduler_goes_on_after_a_dead_process(submit: Submitter, request: pytest.FixtureRequest) -> None:
    killer = parent_of_many(submit)
    kill(killer)
    request.getfixturevalue("mortal")
    with pytest.raises(SystemExit):
        delete_jobs([killer.pk])
    request.getfixturevalue("monkeypatch").undo()
    assert count(is_orphaned=True) == CHILDREN - 2 * PAGE
    Scheduler("test").tick()
    assert count(status="Dead Letter", is_orphaned=False) == CHILDREN
    assert not DependencyTask.objects.exists()


@pytest.fixture
def deleted_killer(submit: Submitter, monkeypatch: pytest.MonkeyPatch) -> tuple[Job, Job]:
    """The child and the other parent of one that was deleted, which nobody has followed up."""
    killer, other = submit(), submit()
    child = submit(killer, other)
    kill(killer)
    with monkeypatch.context() as patch:
        Interpose(patch)("follow_up", lambda *args: 0)
        assert delete_jobs([killer.pk]) == 1
    return child, other


def test_a_child_knows_it_no_longer_at_once(deleted_killer: tuple[Job, Job]) -> None:
    child, other = deleted_killer
    assert get_job_status(child).depends_on == [other.name]


def test_a_child_that_is_retried_by_hand_dies_and_lives_with_its_other_parents(
    deleted_killer: tuple[Job, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    child, other = deleted_killer
    with monkeypatch.context() as patch:
        Interpose(patch)("follow_up", lambda *args: 0)
        retry_job(child)
        DependencyTask.objects.filter(deleted_as="").delete()
        Job.objects.filter(pk=other.pk).update(status="Dead Letter", ready_at=None)
    with transaction.atomic():
        verbs.decide_children([child.pk])
    retry_job(other)
    assert statuses(child) == ["Pending"]
    complete(other)
    assert is_ready(child)
