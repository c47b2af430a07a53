"""The type of each task: made at the first enqueue, and up to date with the code, but for administrators' edits."""

from __future__ import annotations

import dataclasses
import datetime as dt
import html
import re
import sys
from typing import Any, Final

import django
import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone

from django_jobs import get_job_status, schedule_job, submit_job
from django_jobs.exceptions import JobTypeDisabled
from django_jobs.models import Job, JobType
from django_jobs.testing import fire_schedules, run_jobs
from tests.support import admin, tasks, verbs
from tests.support.api import client_of
from tests.support.clocks import Clock
from tests.support.factories import make_job_type, make_system_admin, make_user
from tests.support.refusals import code_in, refused
from tests.support.statements import before_statement
from tests.support.tasks import task
from tests.support.tuning import Tuning
from tests.support.verbs import InvalidTask, InvalidTaskBackend, JobTask, TaskResultStatus

ADD: Final = "task:tests.support.tasks.add"
FAIL: Final = "task:tests.support.tasks.fail"


@pytest.fixture(autouse=True)
def _new_process(tuning: Tuning) -> None:
    verbs.forget_seen_tasks()
    tuning.set(loaded_handlers={})


def test_the_first_enqueue_makes_the_type() -> None:
    for _ in range(2):
        tasks.add.enqueue(1)
    kind = JobType.objects.get(pk=ADD)
    assert (kind.handler_method, kind.submit_by, kind.deduplication_window) == (ADD, "code", 0)
    assert (kind.max_retries, kind.default_timeout) == (5, 300)


def test_what_the_code_says_is_in_the_row() -> None:
    tasks.fail.enqueue("x")
    kind = JobType.objects.get(pk=FAIL)
    assert (kind.max_retries, kind.retry_delay, kind.default_timeout) == (1, 0, 17)
    assert (kind.display_name, kind.concurrency_key) == ("A task that fails", "")


def test_an_administrators_edit_stays_and_other_fields_follow_the_code() -> None:
    tasks.fail.enqueue("x")
    JobType.objects.filter(pk=FAIL).update(default_timeout=99)
    verbs.forget_seen_tasks()  # a later release begins
    changed = dataclasses.replace(tasks.fail, options={"timeout": 18, "retry_delay": 7})
    job = Job.objects.by_id(changed.enqueue("x").id)
    kind = JobType.objects.get(pk=FAIL)
    assert (kind.default_timeout, kind.retry_delay, job.timeout_seconds) == (99, 7, 99)


def test_what_a_process_of_the_release_before_writes_meanwhile_does_not_last(
    monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    clock = Clock()
    tuning.set(seen_tasks_clock=clock)
    changed = dataclasses.replace(tasks.fail, options={"timeout": 18})
    monkeypatch.setattr(tasks, "fail", changed)
    changed.enqueue("x")
    written = JobType.objects.get(pk=FAIL)
    older = {**(written.declared or {}), "default_timeout": 17}
    JobType.objects.filter(pk=FAIL).update(default_timeout=17, declared=older)
    changed.enqueue("x")
    assert JobType.objects.get(pk=FAIL).default_timeout == 17
    clock.now += verbs.LOOK_AT_TASKS_AGAIN_SECONDS
    changed.enqueue("x")
    assert JobType.objects.get(pk=FAIL).default_timeout == 18
    JobType.objects.filter(pk=FAIL).update(default_timeout=17, declared=older)
    changed.enqueue("x")  # once more is enough: two releases that stay do not write for ever
    assert JobType.objects.get(pk=FAIL).default_timeout == 17


def test_a_row_that_is_gone_is_made_again() -> None:
    with transaction.atomic():
        tasks.add.enqueue(1)
        transaction.set_rollback(True)
    assert not JobType.objects.filter(pk=ADD).exists()
    assert tasks.add.enqueue(1).id == Job.objects.get().name


def test_another_process_may_make_the_row_first() -> None:
    def make() -> None:
        JobType.objects.create(type_name=ADD, handler_method=ADD, submit_by="code")

    with before_statement("INSERT", JobType, make):
        tasks.add.enqueue(1)
    assert JobType.objects.filter(pk=ADD).count() == 1


def test_a_paused_type_holds_its_tasks_and_a_disabled_one_refuses_them() -> None:
    result = tasks.add.enqueue(1)
    JobType.objects.filter(pk=ADD).update(is_paused=True)
    assert run_jobs() == []
    assert get_job_status(result.id).waiting_for == "type_paused"
    JobType.objects.filter(pk=ADD).update(is_paused=False, is_enabled=False)
    with pytest.raises(JobTypeDisabled):
        tasks.add.enqueue(1)


def test_using_is_for_one_job_and_leaves_the_type() -> None:
    later = timezone.now() + dt.timedelta(days=1)
    result = tasks.fail.using(timeout=3, expires_at=later).using(max_retries=0, priority=60).enqueue("x")
    job = Job.objects.by_id(result.id)
    assert (job.timeout_seconds, job.max_retries, job.priority, job.expires_at) == (3, 0, 3, later)
    assert JobType.objects.get(pk=FAIL).default_timeout == 17
    assert tasks.fail.get_result(result.id).task.priority == 60


@pytest.mark.parametrize("first", ["default", "patient"])
def test_a_task_of_two_backends_has_the_type_of_the_one_that_it_names(settings: Any, first: str) -> None:
    options = {"max_retries": 20, "timeout": 77, "retry_delay": 5, "default_priority": "Low"}
    settings.TASKS = {**settings.TASKS, "patient": {**settings.TASKS["default"], "OPTIONS": options}}
    for backend in (first, "default", "patient"):
        tasks.add.using(backend=backend).enqueue(1)
    kind = JobType.objects.get(pk=ADD)
    assert (kind.max_retries, kind.default_timeout, kind.retry_delay, kind.default_priority) == (5, 300, 60, 1)
    jobs = Job.objects.order_by("-pk")[:2]
    assert [(job.max_retries, job.timeout_seconds, job.priority) for job in jobs] == [(20, 77, 0), (5, 300, 1)]


@pytest.mark.parametrize("said_by", ["default", "patient"])
def test_an_option_means_the_same_for_the_backend_that_a_task_names_and_another(settings: Any, said_by: str) -> None:
    plain, options = settings.TASKS["default"], {"max_retries": "20", "timeout": "77", "default_priority": "Low"}
    settings.TASKS = {**settings.TASKS, "patient": plain, said_by: {**plain, "OPTIONS": options}}
    job = Job.objects.by_id(tasks.add.using(backend=said_by).enqueue(1).id)
    assert (job.max_retries, job.timeout_seconds, job.priority) == (20, 77, 0)


@pytest.mark.parametrize("wrong", ["default", "patient"])
@pytest.mark.parametrize(
    ("options", "error", "code", "said"),
    [
        ({"max_retrys": 2}, InvalidTaskBackend, "unknown_option", r"^TASKS\['%s'\]\['OPTIONS'\] .*'max_retrys'"),
        ({"max_retries": -1}, InvalidTask, "wrong_options", "max_retries"),
    ],
    ids=["name", "value"],
)
def test_wrong_options_of_either_backend_are_refused(
    settings: Any, wrong: str, options: Any, error: type[Exception], code: str, said: str
) -> None:
    plain = settings.TASKS["default"]
    settings.TASKS = {**settings.TASKS, "patient": plain, wrong: {**plain, "OPTIONS": options}}
    with refused(error, code) as caught:
        tasks.add.using(backend="patient").enqueue(1)
    assert re.search(said.replace("%s", wrong), str(caught.value))
    assert Job.objects.count() == 0


def test_no_task_runs_as_one_whose_name_differs_in_case_alone() -> None:
    def returned(item: Any) -> Any:
        try:
            result = item.enqueue()
        except InvalidTask as error:
            return code_in(error)
        run_jobs()
        result.refresh()
        return result.return_value

    by_name = [returned(item) for item in (tasks.whisper, tasks.Whisper, tasks.whisper)]
    # MariaDB does not tell the names apart.
    assert by_name in (["quiet", "Quiet", "quiet"], ["quiet", "same_name", "quiet"])


def test_what_a_task_says_goes_before_the_options_of_any_backend(settings: Any) -> None:
    options = {"max_retries": 20, "timeout": 77}
    settings.TASKS = {name: {**settings.TASKS["default"], "OPTIONS": options} for name in ("default", "patient")}
    for backend in settings.TASKS:
        tasks.fail.using(backend=backend).enqueue("x")
    assert {(job.max_retries, job.timeout_seconds) for job in Job.objects.all()} == {(1, 17)}
    tasks.fail.using(backend="patient", max_retries=3).enqueue("x")
    assert Job.objects.latest("pk").max_retries == 3


def test_unknown_options_are_refused_at_once() -> None:
    with refused(TypeError, "unknown_option") as caught:
        verbs.task_options(max_retrys=1)
    assert re.search("'max_retrys'.* max_retries", str(caught.value))
    with refused(TypeError, "unknown_option"):
        tasks.fail.using(max_retrys=1)
    with refused(TypeError, "unknown_option"):
        verbs.task_options(default_timeout=1)
    with refused(TypeError, "not_a_function"):
        verbs.task_options(max_retries=1)(tasks.add)


def test_the_class_of_tasks_takes_the_same_keywords() -> None:
    said = {"priority": 0, "backend": "default", "queue_name": "default", "run_after": None, "func": tasks.add.func}
    assert JobTask(**said, timeout=5, max_retries=2).options == {"timeout": 5, "max_retries": 2}
    with refused(TypeError, "unknown_option"):
        JobTask(**said, max_retrys=2)


@pytest.mark.skipif(django.VERSION[:2] == (6, 0), reason="@task of Django 6.0 takes no further keywords.")
def test_the_decorator_takes_them_too() -> None:
    assert task(timeout=5)(tasks.add.func).options == {"timeout": 5}
    with refused(TypeError, "unknown_option"):
        task(max_retrys=2)(tasks.add.func)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"max_retries": -1}, "wrong_options"),
        ({"default_priority": "Soon"}, "wrong_options"),
    ],
    ids=["number", "word"],
)
def test_wrong_values_are_refused_when_it_is_enqueued(options: Any, code: str) -> None:
    wrong = dataclasses.replace(tasks.add, options=options)
    with refused(InvalidTask, code) as caught:
        wrong.enqueue(1)
    assert next(iter(options)) in str(caught.value)
    assert Job.objects.count() == 0


def test_a_task_that_no_worker_would_find_is_refused() -> None:
    def add(number: int) -> None:
        raise AssertionError

    add.__module__, add.__qualname__ = tasks.__name__, "add"  # another task has this path
    for function, code in ((tasks.whose, "no_task"), (add, "another_task")):
        with refused(InvalidTask, code):
            task()(function).enqueue(1)
    with refused(InvalidTask, "not_loadable"):
        tasks.not_its_name.enqueue()


def test_a_task_that_is_gone_says_so_and_its_job_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    result = tasks.bare.enqueue()
    with monkeypatch.context() as later:
        later.delattr(tasks, "bare")
        run_jobs()
        log = Job.objects.by_id(result.id).history.last()
        assert log is not None
        assert "tests.support.tasks.bare (AttributeError)" in log.traceback
        assert get_job_status(result.id).status == "Pending"
        with refused(InvalidTask, "not_loadable") as caught:
            result.refresh()
        assert "tests.support.tasks.bare" in str(caught.value)
    Job.objects.update(ready_at=Job.objects.get().created_at, is_delayed=False)
    run_jobs()
    result.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL


def test_what_is_no_task_any_more_ends_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    result = tasks.bare.enqueue()
    monkeypatch.setattr(tasks, "bare", len)
    run_jobs()
    job = Job.objects.by_id(result.id)
    log = job.history.last()
    assert log is not None
    assert (job.status, "tests.support.tasks.bare" in log.traceback) == ("Dead Letter", True)
    assert verbs.code_of(verbs.handler_path_problem("task:tests.support.tasks.bare")) == "no_task"


def test_nothing_is_wrong_with_types_of_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    tasks.add.enqueue(1)
    with pytest.raises(CommandError):  # there are no workers in a test
        call_command("jobs_check")
    assert "task:" not in capsys.readouterr().out
    call_command("migrate", verbosity=0)
    assert [item for item in run_checks() if "task:" in item.msg] == []


def test_people_see_the_type_and_cannot_submit_it(organization: Any) -> None:
    result = tasks.add.using(organization=organization).enqueue(1)
    member = client_of(make_user(member_of=[organization]))
    seen = member.get(f"/api/jobs/{result.id}/").json()
    assert (seen["job_type"], seen["organization"]) == (ADD, organization.name)
    for client in (member, client_of(make_system_admin())):
        answer = client.post("/api/jobs/", {"job_type": ADD, "organization": organization.name}, "json")
        assert answer.status_code == 400
    assert [item for item in member.get("/api/job-types/").json()["results"] if item["type_name"] == ADD] == []


def test_rest_pauses_the_type_for_system_admins() -> None:
    tasks.add.enqueue(1)
    client = client_of(make_system_admin())
    answer = client.patch(f"/api/job-types/{ADD}/", {"is_paused": True}, "json")
    assert answer.status_code == 200
    assert JobType.objects.get(pk=ADD).is_paused


def test_a_schedule_may_be_of_a_task(organization: Any) -> None:
    tasks.add.enqueue(1)
    run_jobs()
    schedule_job("sums", ADD, organization, {"args": [1, 2], "kwargs": {}}, every=60)
    fire_schedules(timezone.now() + dt.timedelta(seconds=61))
    [status] = run_jobs()
    assert tasks.add.get_result(status.job_id).return_value == 3


def test_parameters_of_another_shape_end_with_the_reason() -> None:
    tasks.add.enqueue(1)
    job = submit_job(ADD, None, {"first": 1})
    run_jobs()
    job.refresh_from_db()
    assert (job.status, '{"args": [...], "kwargs": {...}}' in job.error_message) == ("Dead Letter", True)


def test_a_type_of_another_name_may_run_a_task() -> None:
    kind = make_job_type(handler_method="task:tests.support.tasks.tell_context")
    job = submit_job(kind, None, {"args": [], "kwargs": {}})
    assert [str(status.status) for status in run_jobs()] == ["Completed"]
    assert tasks.tell_context.get_result(job.name).return_value["id"] == job.name


def test_the_admin_edits_the_type(root: Client) -> None:
    tasks.add.enqueue(1)
    address = admin.url("jobtype", "change", ADD)
    form = root.get(address).context["adminform"].form
    data = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    data = {name: value for name, value in data.items() if value is not None and value is not False}
    answer = root.post(address, {**data, "max_running": 2}, follow=True)
    assert answer.context.get("errors", []) == []
    assert JobType.objects.get(pk=ADD).max_running == 2


def test_the_admin_shows_the_jobs_of_the_type(root: Client) -> None:
    result = tasks.add.enqueue(1)
    tasks.bare.enqueue()
    assert [job.name for job in admin.listed(root, job_type=ADD)] == [result.id]
    page = html.unescape(admin.page_of(root, Job.objects.by_id(result.id)))
    assert '"args"' in page
    assert ADD in page


def test_no_module_is_imported_because_a_person_typed_it() -> None:
    assert verbs.code_of(verbs.entered_path_problem("task:antigravity.fly")) == "outside_apps"
    assert verbs.entered_path_problem(ADD) is None
    assert verbs.code_of(verbs.handler_path_problem("task:os.getcwd")) == "no_task"


def test_no_module_is_imported_behind_the_name_of_an_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    for path in ("task:django_jobs.x:this.d", "task:task:this.d"):
        assert verbs.entered_path_problem(path) is not None
    assert "this" not in sys.modules


@pytest.fixture
def root() -> Client:
    return admin.superuser()
