"""What programs read is the same in every language: the API, sockets, signals, histories, exports and commands."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from django_jobs import get_job_status, retry_job, signals
from django_jobs.exceptions import JobsError
from django_jobs.models import ExecutionLog, Job, JobType, Organization, Schedule, ScheduleFiring
from django_jobs.statuses import Status
from django_jobs.testing import run_jobs
from tests.integration.conftest import Listen
from tests.support import verbs
from tests.support.admin import chosen, url
from tests.support.api import client_of, url_of
from tests.support.batches import make_batch
from tests.support.bracketed_language import speak_in_brackets
from tests.support.brokers import job_in, pending_job
from tests.support.commands import run
from tests.support.factories import make_job_type, make_system_admin, make_user
from tests.support.live import LiveClient, by_token, with_clients
from tests.support.schedules import make_schedule
from tests.support.verbs import Act

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

LISTS: Final = (
    "/api/jobs/",
    "/api/jobs/operations/",
    "/api/job-types/",
    "/api/batches/",
    "/api/schedules/",
)
BAD_SCHEDULES: Final[tuple[dict[str, Any], ...]] = (
    {"cron": "0 2 * *"},
    {"cron": "0 25 * * *"},
    {"cron": "0 0 30 2 *"},
    {"every": 0},
    {"cron": "0 2 * * *", "every": 5},
    {"cron": "0 2 * * *", "timezone": "Mars"},
)


def everything(organization: Organization) -> list[Job]:
    """A job in each status, a batch, a schedule, and a type with limits."""
    make_batch(organization, "Completed", "Dead Letter")
    make_schedule(organization=organization, priority="High", cron="0 2 * * MON-FRI")
    make_job_type(max_running=3, default_priority="Critical")
    return [job_in(status, organization=organization, priority="High") for status in Status]


def test_rest_answers_the_same(organization: Organization) -> None:
    client, jobs = client_of(make_system_admin("root")), everything(organization)
    addresses = [*LISTS, *map(url_of, jobs), *(url_of(job, "history") for job in jobs)]
    english = {address: client.get(address).content for address in addresses}
    assert {client.get(address).status_code for address in addresses} == {200}
    with speak_in_brackets():
        assert {address: client.get(address).content for address in addresses} == english


def test_metrics_have_the_same_names(organization: Organization) -> None:
    client, _ = client_of(make_system_admin("root")), everything(organization)
    moving = {"timestamp", "oldest_waiting_seconds"}

    def metrics() -> dict[str, Any]:
        return {name: value for name, value in client.get("/api/jobs/metrics/").json().items() if name not in moving}

    english = metrics()
    with speak_in_brackets():
        assert metrics() == english


def test_alarms_are_told_in_english() -> None:
    with speak_in_brackets():
        [alarm] = client_of(make_system_admin("root")).get("/api/alerts/").json()["results"]
    assert alarm["text"]
    assert "[" not in alarm["text"]


def test_rest_refuses_in_the_same_words(kind: JobType, organization: Organization, subtests: pytest.Subtests) -> None:
    client = client_of(make_system_admin("root"))
    off, done = make_job_type(is_enabled=False), job_in("Completed")
    work = {"job_type": kind.pk, "organization": organization.name}
    calls: list[tuple[str, str, Any]] = [
        ("post", "/api/jobs/", {**work, "job_type": off.pk}),
        ("post", "/api/jobs/", {**work, "job_type": "nothing", "priority": "urgent"}),
        ("post", url_of(done, "retry"), {}),
        *(("post", "/api/schedules/", {**work, "name": "nightly", **item}) for item in BAD_SCHEDULES),
        ("patch", f"/api/job-types/{kind.pk}/", {"pool": "nowhere", "max_running": 0}),
        ("patch", f"/api/job-types/{kind.pk}/", {"max_starts_per_key": 5}),
        ("post", "/api/jobs/operations/", {"action": "retry", "filters": {}}),
        ("post", "/api/jobs/operations/", {"action": "retry", "filters": {"status": "Dead Letter"}}),
        ("post", "/api/jobs/operations/", {"action": "set_priority", "filters": {"all": True}}),
        ("post", "/api/jobs/operations/", {"action": "retry", "filters": {"has_error": "maybe", "nothing": 1}}),
    ]
    for method, address, body in calls:
        with subtests.test(method=method, address=address, body=body):
            english = getattr(client, method)(address, body, "json")
            with speak_in_brackets():
                answer = getattr(client, method)(address, body, "json")
            assert english.status_code >= 400
            assert (answer.status_code, answer.content) == (english.status_code, english.content)


def test_a_socket_tells_the_same(organization: Organization) -> None:
    job = pending_job(organization=organization, priority="High")
    member = make_user(member_of=[organization])

    def joined() -> dict[str, Any]:
        @with_clients(by_token(member))
        async def answer(client: LiveClient) -> dict[str, Any]:
            return await client.join(f"job:{job.name}")

        return {name: answer[name] for name in ("event", "room", "data")}

    english = joined()
    with speak_in_brackets():
        assert joined() == english


def test_signals_and_values_in_python_tell_the_same(listen: Listen, organization: Organization) -> None:
    told: list[Any] = []
    listen(signals.job_finished, lambda status, **kwargs: told.append(status))
    with speak_in_brackets():
        job = pending_job(organization=organization, priority="High")
        run_jobs()
        status = get_job_status(job.name)
    assert told == [status] == [get_job_status(job.name)]
    assert (status.status, status.priority) == ("Completed", "High")


def test_what_is_stored_is_english(organization: Organization) -> None:
    with speak_in_brackets():
        pending_job(make_job_type("fail_for_good"), organization)
        run_jobs()
        everything(organization)
        schedule = Schedule.objects.get()
        JobType.objects.filter(pk=schedule.job_type_id).update(is_enabled=False)
        verbs.fire_now(schedule, user=make_system_admin("root"))
    stored = [
        *ExecutionLog.objects.values_list("message", flat=True),
        *Job.objects.values_list("error_message", flat=True),
        *ScheduleFiring.objects.values_list("note", flat=True),
        *Schedule.objects.values_list("fault", flat=True),
    ]
    assert any(stored)
    assert [text for text in stored if "[" in text] == []


def test_the_histories_of_the_admin_and_the_log_are_english(
    kind: JobType, root: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with speak_in_brackets():
        answer = root.post(url("jobtype", "pause", kind.pk))
        verbs.record_act(None, [kind], Act.CHANGED, [{"changed": {"fields": ["Pool"]}}])
    assert answer.status_code == 302
    assert JobType.objects.get(pk=kind.pk).is_paused
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Paused."]
    lines = [item.getMessage() for item in caplog.records if "event=job_type_changed" in item.getMessage()]
    assert len(lines) == 2
    assert not any("[" in line for line in lines)


def test_an_export_is_the_same(root: Client, organization: Organization) -> None:
    jobs = everything(organization)

    def exported() -> bytes:
        return root.post("/admin/django_jobs/job/", chosen("export", *jobs)).getvalue()

    english = exported()
    with speak_in_brackets():
        assert exported() == english


def test_commands_and_errors_speak_english(organization: Organization) -> None:
    job = job_in("Completed", organization=organization)
    moment, _, english = run("jobs_status").partition("\n")
    assert moment.endswith(" UTC")
    with speak_in_brackets():
        assert run("jobs_status").partition("\n")[2] == english
    assert "High" in english
    with pytest.raises(JobsError) as in_english:
        retry_job(job)
    with speak_in_brackets(), pytest.raises(JobsError, match=f"^{re.escape(str(in_english.value))}$"):
        retry_job(job)
