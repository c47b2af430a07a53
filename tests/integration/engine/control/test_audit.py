"""Who changed a job type or a tenant, or deleted jobs: a row in the admin's history and a line in the log."""

from __future__ import annotations

import json
import logging
import re
from typing import Any, Final

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.test import Client

from django_jobs.models import Job, JobType, Membership, Operation, Organization
from tests.support import verbs
from tests.support.admin import chosen, url
from tests.support.api import client_of, url_of
from tests.support.brokers import job_in
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.failures import order
from tests.support.operations import begin, dead, finish
from tests.support.tuning import Tuning
from tests.support.verbs import Act

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

TYPES: Final = "/api/job-types/"
HANDLER: Final = "tests.support.handlers.do_nothing"
#: Whoever did it, and what the line says behind that.
WHO: Final = re.compile(r"( by=\S+) .*")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The lines about changes and deletions up to whoever made them, and the code of what they did."""
    monkeypatch.setattr(logging.getLogger("django_jobs"), "propagate", True)
    caplog.set_level("INFO", "django_jobs")
    words = ("_added", "_changed", "_deleted")

    def read() -> list[str]:
        found = [(record.getMessage(), getattr(record, "code", "")) for record in caplog.records]
        own = [(text, code) for text, code in found if text.startswith("event=") and text.split()[0].endswith(words)]
        return [" ".join(filter(None, (WHO.sub(r"\1", text).strip(), code))) for text, code in own]

    return read


@pytest.fixture
def rest() -> Any:
    return client_of(make_system_admin("sysadmin"))


@pytest.fixture
def root() -> Client:
    client = Client()
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client


def rows() -> list[tuple[str, str, int, bool]]:
    """Who, what, which kind of act, and whether words say more; the newest last."""
    entries = LogEntry.objects.order_by("pk")
    return [
        (entry.user.get_username(), str(entry.object_id), entry.action_flag, bool(entry.get_change_message()))
        for entry in entries
    ]


def test_rest_tells_who_makes_changes_and_deletes_a_job_type(rest: Any, lines: Any) -> None:
    address = f"{TYPES}fax/"
    assert rest.post(TYPES, {"type_name": "fax", "handler_method": HANDLER}, "json").status_code == 201
    body = {"is_paused": True, "max_retries": 5, "description": "Sends faxes."}
    assert rest.patch(address, body, "json").status_code == 200
    assert rest.patch(address, body, "json").status_code == 200  # changes nothing
    assert rest.delete(address).status_code == 204
    assert rows() == [
        ("sysadmin", "fax", 1, True),
        ("sysadmin", "fax", 2, True),
        ("sysadmin", "fax", 2, True),
        ("sysadmin", "fax", 3, False),
    ]
    (changed,) = LogEntry.objects.filter(change_message__startswith='[{"changed"')
    assert json.loads(changed.change_message) == [{"changed": {"fields": ["description"]}}]
    assert lines() == [
        "event=job_type_added count=1 job_type=fax by=sysadmin",
        "event=job_type_changed count=1 job_type=fax by=sysadmin paused",
        "event=job_type_changed count=1 job_type=fax by=sysadmin",
        "event=job_type_deleted count=1 job_type=fax by=sysadmin",
    ]


def test_a_refused_change_of_a_job_type_leaves_nothing(rest: Any, lines: Any) -> None:
    kind = make_job_type()
    job_in("Completed", job_type=kind)
    assert rest.patch(f"{TYPES}{kind.pk}/", {"handler_method": "os.remove"}, "json").status_code == 400
    assert rest.delete(f"{TYPES}{kind.pk}/").status_code == 409
    assert (rows(), lines()) == ([], [])


def test_rest_tells_who_deletes_a_job(rest: Any, lines: Any) -> None:
    job, unfinished = job_in("Completed"), job_in("Pending")
    assert rest.delete(url_of(job)).status_code == 204
    assert rest.delete(url_of(unfinished)).status_code == 409
    assert rows() == [("sysadmin", str(job.pk), 3, True)]
    assert lines() == [f"event=job_deleted count=1 job={job.name} by=sysadmin deleted"]


def test_the_admin_tells_who_changes_a_job_type(root: Client, lines: Any) -> None:
    kind = make_job_type()
    root.post(url("jobtype", "pause", kind.pk))
    root.post(url("jobtype", "pause", kind.pk))  # it is paused already
    root.post(url("jobtype", "delete", kind.pk), {"post": "yes"})
    assert not JobType.objects.filter(pk=kind.pk).exists()
    assert [row[2:] for row in rows()] == [(2, True), (3, False)]
    assert lines() == [
        f"event=job_type_changed count=1 job_type={kind.pk} by=root paused",
        f"event=job_type_deleted count=1 job_type={kind.pk} by=root",
    ]


def test_the_admin_tells_who_changes_tenants_and_members(root: Client, lines: Any) -> None:
    root.post(url("organization", "add"), {"name": "ORG-A", "title": "A", "is_active": "on"})
    tenant = Organization.objects.get()
    root.post(url("organization", "change", tenant.pk), {"name": "ORG-B", "title": "A"})
    root.post(url("organization", "suspend", tenant.pk))
    user = make_user("ann")
    fields = {"user": user.pk, "organization": tenant.pk, "role": "admin"}
    root.post(url("membership", "add"), fields)
    member = Membership.objects.get()
    named = str(member)
    root.post(url("membership", "delete", member.pk), {"post": "yes"})
    selected = {"action": "delete_selected", "_selected_action": tenant.pk, "post": "yes"}
    root.post(url("organization", "changelist"), selected)
    assert not Organization.objects.exists()
    assert [row[0] for row in rows()] == ["root"] * 6
    assert lines() == [
        "event=organization_added count=1 organization=ORG-A by=root",
        "event=organization_changed count=1 organization=ORG-B by=root",
        "event=organization_changed count=1 organization=ORG-B by=root suspended",
        f"event=membership_added count=1 membership={named} by=root",
        f"event=membership_deleted count=1 membership={named} by=root",
        "event=organization_deleted count=1 organization=ORG-B by=root",
    ]


def test_the_admin_tells_who_deletes_jobs_in_one_line(root: Client, lines: Any, tuning: Tuning) -> None:
    tuning.set(audit_named_objects=2)
    kind, tenant = make_job_type(), make_organization()
    jobs = [job_in("Completed", job_type=kind, organization=tenant) for _ in range(3)]
    root.post(url("job", "changelist"), chosen("delete", *jobs, confirmed="yes"))
    assert sorted(row[1:] for row in rows()) == sorted((str(job.pk), 3, True) for job in jobs)
    newest = [job.name for job in reversed(jobs)]
    assert lines() == [f"event=jobs_deleted count=3 jobs={newest[0]},{newest[1]}… by=root deleted"]


def test_an_operation_that_deletes_tells_who_ordered_it(lines: Any) -> None:
    jobs = dead(make_job_type(), 2)
    finish(begin(jobs[0], make_system_admin("ada"), action="delete"))
    assert not Job.objects.exists()
    names = ",".join(job.name for job in jobs)
    assert lines()[1:] == [f"event=jobs_deleted count=2 jobs={names} by=ada deleted"]


def test_the_order_of_an_operation_is_a_row(root: Client) -> None:
    (job,) = dead(make_job_type(), 1)
    order(root, job, "delete", per_minute="60")
    operation = Operation.objects.get()
    ((user, pk, flag, _),) = rows()
    assert (user, pk, flag) == ("root", str(operation.pk), 1)
    told = LogEntry.objects.get().get_change_message()
    assert [part in told for part in ("delete", "Dead Letter", "60")] == [True] * 3


def test_the_command_tells_what_it_deleted(lines: Any) -> None:
    job = job_in("Completed")
    call_command("jobs_prune", days=0)
    assert not Job.objects.filter(pk=job.pk).exists()
    assert lines() == ["event=jobs_deleted count=1 organization=all by=jobs_prune"]


@pytest.mark.usefixtures("lines")
def test_a_name_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    verbs.record_act(make_user("ann\nevent=forged"), [make_job_type(type_name="fax")], Act.CHANGED, "a\nb")
    (line,) = [record.getMessage() for record in caplog.records if record.name == logging.getLogger("django_jobs").name]
    assert line == "event=job_type_changed count=1 job_type=fax by=ann\\nevent=forged a\\nb"


def test_without_the_admin_there_is_the_line(lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.apps.apps.is_installed", lambda _: False)
    verbs.record_act(make_user("ann"), [make_job_type(type_name="fax")], Act.CHANGED, "Paused.")
    assert (rows(), lines()) == ([], ["event=job_type_changed count=1 job_type=fax by=ann"])


def test_a_user_that_is_stored_nowhere_leaves_the_line(lines: Any) -> None:
    class TokenUser:
        pk = 7

        def get_username(self) -> str:
            return "token"

    verbs.record_act(TokenUser(), [make_job_type(type_name="fax")], Act.DELETED)
    assert (rows(), lines()) == ([], ["event=job_type_deleted count=1 job_type=fax by=token"])
