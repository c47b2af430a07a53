"""What becomes of a task that is enqueued: whose job it is, when it runs, and when it is the same work."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from django_jobs import cancel_job, submit_job
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, OrganizationNotFound
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import tasks, verbs
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.refusals import refused
from tests.support.verbs import InvalidTask, InvalidTaskBackend, TaskResultDoesNotExist, TaskResultStatus


def set_options(settings: Any, **options: Any) -> Any:
    settings.TASKS = {"default": {"BACKEND": "django_jobs.tasks.JobsBackend", "OPTIONS": options}}
    return verbs.task_backends["default"]


def owner_of(result: Any) -> str:
    return Job.objects.by_id(result.id).organization_name


# -- whose job it is ---------------------------------------------------------------------------------------------------


def test_it_belongs_to_the_system_organization_where_nothing_else_is_said() -> None:
    assert owner_of(tasks.add.enqueue(1)) == "SYSTEM"


def test_the_options_name_an_organization_or_a_function(settings: Any) -> None:
    make_organization(name="ORG-CHOSEN")
    make_organization(name="tests.of.ours")
    for named in ("ORG-CHOSEN", "tests.support.tasks.whose", tasks.whose):
        set_options(settings, organization=named)
        assert owner_of(tasks.add.enqueue(1)) == "ORG-CHOSEN"


def test_a_text_that_is_no_path_is_an_id() -> None:
    assert verbs.organization_function_at("ORG-1", "default") is None
    assert verbs.organization_function_at("acme.example", "default") is None
    with refused(InvalidTaskBackend, "not_importable"):
        verbs.organization_function_at("tests.support.tasks.who", "default")


def test_using_names_an_organization_for_one_job_and_no_path(organization: Organization) -> None:
    make_organization(name="ORG-CHOSEN")
    for named in (organization, organization.name):
        assert owner_of(tasks.add.using(organization=named).enqueue(1)) == organization.name
    with pytest.raises(OrganizationNotFound):
        tasks.add.using(organization="tests.support.tasks.whose").enqueue(1)


def test_inside_a_job_it_belongs_to_the_jobs_organization(organization: Organization) -> None:
    result = tasks.enqueue_another.using(organization=organization).enqueue(1)
    run_jobs()
    result.refresh()
    inner = tasks.add.get_result(result.return_value)
    assert (owner_of(inner), inner.return_value) == (organization.name, 2)


def test_without_any_the_error_says_what_to_set(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": None}
    with pytest.raises(OrganizationNotFound, match=r"(?s)OPTIONS.*using.*SYSTEM_ORGANIZATION"):
        tasks.add.enqueue(1)


# -- the backend's options ---------------------------------------------------------------------------------------------


def test_options_are_defaults_of_its_tasks(settings: Any) -> None:
    set_options(settings, max_retries=0, timeout=9)
    job = Job.objects.by_id(tasks.bare.enqueue().id)
    assert (job.max_retries, job.timeout_seconds) == (0, 9)


def test_unknown_options_are_errors(settings: Any) -> None:
    backend = set_options(settings, organisation="x")
    assert [item.id for item in backend.check()] == ["django_jobs.E043"]
    with refused(InvalidTaskBackend, "unknown_option") as caught:
        tasks.add.enqueue(1)
    assert re.search("'organisation'.* organization", str(caught.value))


@pytest.mark.parametrize("options", [{"timeout": 0}, {"organization": "tests.support.tasks.who"}])
def test_wrong_values_of_options_are_errors(settings: Any, options: Any) -> None:
    assert [item.id for item in set_options(settings, **options).check()] == ["django_jobs.E044"]


def test_a_pool_that_is_not_configured_is_warned_of(settings: Any) -> None:
    (warning,) = set_options(settings, pool="gpu").check()
    assert warning.id == "django_jobs.W026"
    assert re.match(r"TASKS\['default'\]\['OPTIONS'\]: pool: .*'gpu'.* default\b", warning.msg)


def test_right_options_are_fine(settings: Any) -> None:
    assert set_options(settings, organization="tests.support.tasks.whose", pool="default").check() == []


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ((1, timezone.now()), {}, "argument 2"),
        ((), {"when": timezone.now()}, "argument 'when'"),
        (({"deep": [object()]},), {}, "argument 1"),
        ((b"\xff",), {}, "argument 1"),
    ],
    ids=["position", "keyword", "inside", "bytes"],
)
def test_what_is_no_json_is_named(args: Any, kwargs: Any, named: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        tasks.bare.enqueue(*args, **kwargs)
    text = caught.value.args[0]
    assert (text.code, text.values["task"], text.values["argument"]) == ("no_json", "tests.support.tasks.bare", named)
    assert Job.objects.count() == 0


def test_what_contains_itself_is_named() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with refused(ValueError, "too_deep") as caught:
        tasks.bare.enqueue(endless)
    assert caught.value.args[0].values["argument"] == "argument 1"


@pytest.mark.parametrize("value", [math.nan, "a\0b", "x" * 70_000], ids=["NaN", "NUL", "large"])
def test_what_no_database_stores_is_refused(value: Any) -> None:
    with pytest.raises(InvalidSubmission, match="parameters"):
        tasks.bare.enqueue(value)


# -- when it runs ------------------------------------------------------------------------------------------------------


def test_it_waits_for_its_moment() -> None:
    later = timezone.now() + dt.timedelta(hours=1)
    result = tasks.add.using(run_after=later).enqueue(1)
    assert run_jobs() == []
    assert tasks.add.get_result(result.id).task.run_after == later
    past = tasks.add.using(run_after=timezone.now() - dt.timedelta(hours=1)).enqueue(1)
    assert [status.job_id for status in run_jobs()] == [past.id]


def test_the_more_urgent_run_first() -> None:
    results = [tasks.add.using(priority=number).enqueue(1) for number in (-1, 0, 10, 100)]
    assert [status.job_id for status in run_jobs()] == [result.id for result in results[::-1]]


def test_of_one_priority_the_larger_numbers_run_first() -> None:
    numbers = (51, 100, -100, 75, -1, 1, 50, 0, -50, 75)
    named = [tasks.add, tasks.bare]
    results = [(number, named[place % 2].using(priority=number).enqueue(1)) for place, number in enumerate(numbers)]
    in_order = sorted(results, key=lambda item: -item[0])  # and those of the same as they came
    assert [status.job_id for status in run_jobs()] == [result.id for _, result in in_order]


@pytest.mark.parametrize("number", [-100, -1, 0, 1, 50, 51, 75, 100])
def test_the_number_is_told_as_it_was_enqueued(number: int) -> None:
    result = tasks.add.using(priority=number).enqueue(1)
    assert (result.task.priority, tasks.add.get_result(result.id).task.priority) == (number, number)
    assert run_jobs() != []
    result.refresh()
    assert (result.task.priority, tasks.add.get_result(result.id).task.priority) == (number, number)


def test_the_number_of_a_later_task_takes_the_place_of_the_earlier_ones() -> None:
    keyed = tasks.sync_customer.using(on_duplicate="replace", priority=60)
    first, other = keyed.enqueue(7), keyed.enqueue(8)
    assert keyed.using(priority=90).enqueue(8).id == other.id
    assert tasks.sync_customer.get_result(other.id).task.priority == 90
    assert [status.job_id for status in run_jobs()] == [other.id, first.id]


def test_a_transaction_that_is_rolled_back_enqueues_nothing() -> None:
    with transaction.atomic():
        result = tasks.add.enqueue(1)
        transaction.set_rollback(True)
    with pytest.raises(TaskResultDoesNotExist):
        tasks.add.get_result(result.id)


# -- the same work -----------------------------------------------------------------------------------------------------


def test_each_enqueuing_is_a_job_of_its_own() -> None:
    assert tasks.add.enqueue(1).id != tasks.add.enqueue(1).id


def test_a_unique_key_gives_the_earlier_result() -> None:
    told: list[str] = []

    def tell(task_result: Any, **_: Any) -> None:
        told.append(task_result.id)

    verbs.task_enqueued.connect(tell)
    first, same, other = (tasks.sync_customer.enqueue(*args) for args in ((7,), (7,), (8,)))
    verbs.task_enqueued.disconnect(tell)
    assert (same, told) == (first, [first.id, other.id])
    with pytest.raises(DuplicateJob):
        tasks.sync_customer.using(on_duplicate="raise").enqueue(customer=7)


def test_a_default_that_is_said_makes_no_other_work() -> None:
    keyed = tasks.add.using(unique_key="{first}+{second}", deduplication_window=60)
    assert keyed.enqueue(1).id == keyed.enqueue(1, 0).id != keyed.enqueue(1, 2).id


def test_a_unique_key_may_be_made_by_a_function() -> None:
    keyed = tasks.add.using(unique_key=lambda first: f"{first % 2}", deduplication_window=60)
    assert keyed.enqueue(1).id == keyed.enqueue(3).id != keyed.enqueue(2).id
    of_one_job = tasks.sync_customer.using(unique_key="all")
    assert of_one_job.enqueue(7).id == of_one_job.enqueue(8).id


@pytest.mark.parametrize("key", ["{nobody}", "{first.x}", 5, lambda first: first])
def test_a_unique_key_that_does_not_fit_is_refused(key: Any) -> None:
    with pytest.raises(InvalidTask, match="unique_key"):
        tasks.add.using(unique_key=key, deduplication_window=60).enqueue(1)


def test_a_concurrency_key_names_an_argument() -> None:
    jobs = [Job.objects.by_id(tasks.charge.enqueue(*args).id) for args in ((7,), (7,), (8,))]
    assert jobs[0].input_parameters == {"args": [7], "kwargs": {}, "customer": 7}
    assert jobs[0].lane_key == jobs[1].lane_key != jobs[2].lane_key
    with refused(InvalidTask, "reserved_name"):
        dataclasses.replace(tasks.bare, options={"concurrency_key": "args"}).enqueue(1)
    with refused(TypeError, "wrong_arguments") as caught:
        tasks.charge.enqueue()
    assert caught.value.args[0].values["what"] == "concurrency_key"


# -- results -----------------------------------------------------------------------------------------------------------


def test_only_this_backends_tasks_have_results() -> None:
    plain = submit_job(make_job_type(), None)
    other = tasks.add.using(backend="other").enqueue(1)
    of_another_year = tasks.add.enqueue(1).id.replace(str(timezone.now().year), "1999")
    for result_id in (plain.name, other.id, of_another_year):
        with pytest.raises(TaskResultDoesNotExist):
            tasks.add.get_result(result_id)
    assert tasks.add.using(backend="other").get_result(other.id) == other


def test_a_canceled_task_has_failed() -> None:
    result = tasks.add.enqueue(1)
    cancel_job(result.id)
    result.refresh()
    assert (result.status, result.attempts, len(result.errors)) == (TaskResultStatus.FAILED, 0, 1)
    assert result.errors[0].exception_class.__name__ == "JobCanceled"
    assert result.finished_at is not None


def test_every_attempt_and_its_error_is_told() -> None:
    result = tasks.fail.enqueue("boom")
    run_jobs(retries=True)
    result.refresh()
    assert (result.status, result.attempts, result.worker_ids) == (TaskResultStatus.FAILED, 2, ["run_jobs"] * 2)
    assert [error.exception_class for error in result.errors] == [tasks.Refused] * 2
    assert ExecutionLog.objects.filter(to_status="Dead Letter").count() == 1


# -- signals -----------------------------------------------------------------------------------------------------------


def test_the_signals_tell_of_each_attempt_and_of_the_end() -> None:
    told: list[tuple[str, str, int]] = []

    def tell(word: str) -> Any:
        def receive(sender: Any, task_result: Any, **_: Any) -> None:
            told.append((f"{word} by {sender.__name__}", str(task_result.status), task_result.attempts))

        return receive

    receivers = [(signal, tell(word)) for signal, word in _SIGNALS]
    for signal, receive in receivers:
        signal.connect(receive)
    tasks.fail.enqueue("boom")
    run_jobs(retries=True)
    for signal, receive in receivers:
        signal.disconnect(receive)
    assert told == [
        ("enqueued by JobsBackend", "READY", 0),
        ("started by JobsBackend", "RUNNING", 1),
        ("started by JobsBackend", "RUNNING", 2),
        ("finished by JobsBackend", "FAILED", 2),
    ]


_SIGNALS = [(verbs.task_enqueued, "enqueued"), (verbs.task_started, "started"), (verbs.task_finished, "finished")]


def test_a_receiver_that_fails_harms_no_task() -> None:
    def fail(**_: Any) -> None:
        raise ZeroDivisionError

    for signal in (verbs.task_started, verbs.task_finished):
        signal.connect(fail)
    result = tasks.add.enqueue(1)
    run_jobs()
    for signal in (verbs.task_started, verbs.task_finished):
        signal.disconnect(fail)
    result.refresh()
    assert result.return_value == 1


def test_a_task_of_a_backend_that_has_another_alias_now_runs_and_tells_of_itself(settings: Any) -> None:
    told: list[str] = []

    def tell(task_result: Any, **_: Any) -> None:
        told.append(task_result.id)

    results = [tasks.tell_context.using(backend=alias).enqueue() for alias in ("other", "default")]
    settings.TASKS = {"default": settings.TASKS["default"]}
    verbs.task_finished.connect(tell)
    statuses = [str(status.status) for status in run_jobs()]
    verbs.task_finished.disconnect(tell)
    assert (statuses, told) == (["Completed"] * 2, [result.id for result in results])


def test_a_job_whose_metadata_are_no_tasks_keeps_no_other_from_its_signals() -> None:
    told: list[tuple[str, str, Any]] = []

    def tell(task_result: Any, **_: Any) -> None:
        told.append((task_result.id, str(task_result.status), task_result.finished_at))

    results = [tasks.add.enqueue(number) for number in (1, 2)]
    run_jobs()  # the second one has ended when its beginning is told
    jobs = [Job.objects.by_id(result.id) for result in results]
    Job.objects.filter(pk=jobs[0].pk).update(metadata={"task_priority": "soon"})
    verbs.task_started.connect(tell)
    verbs.tell_task_signals([_moved(job) for job in jobs])
    verbs.task_started.disconnect(tell)
    assert told == [(results[1].id, "RUNNING", None)]


def test_a_users_number_of_priority_breaks_no_result(organization: Organization) -> None:
    tasks.add.enqueue(1)
    JobType.objects.update(submit_by="members")
    told: list[str] = []

    def tell(task_result: Any, **_: Any) -> None:
        told.append(task_result.id)

    said = {"task_priority": 10**30, "task_backend": "no such", "task_queue": []}
    member = make_user(member_of=[organization])
    job = submit_job("task:tests.support.tasks.add", organization, {"args": [1]}, metadata=said, user=member)
    verbs.task_finished.connect(tell)
    run_jobs()
    verbs.task_finished.disconnect(tell)
    assert job.name in told
    assert tasks.add.get_result(job.name).return_value == 1


def _moved(job: Job) -> Any:
    return SimpleNamespace(pk=job.pk, job_id=job.name, to_status="Running", error=None)
