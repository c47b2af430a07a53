"""Every page of the console, each with something to show: whoever adds a page adds it here."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.auth.models import User

from django_jobs import create_batch, schedule_job
from django_jobs.broker.connection import queue_names
from django_jobs.engine.control import operations
from django_jobs.engine.dispatch import worker_registry
from django_jobs.engine.dispatch.worker_registry import Supervision
from django_jobs.engine.schedules.firing import fire_now
from django_jobs.models import ExecutionLog, Job, Membership, Operation, Organization
from tests.support.breakers import make_fragile_type, open_by_failures
from tests.support.brokers import WORKER, running_job
from tests.support.factories import make_job_type, make_user
from tests.support.failures import die
from tests.support.operations import begin

ADMIN = "/admin/django_jobs"


def everything(organization: Organization, operator: User) -> Iterator[str]:
    """Make one of all there is, and yield the addresses of the pages, the admin's index first."""
    fragile = make_fragile_type(type_name="send_fax")
    open_by_failures(fragile)
    kind = make_job_type(type_name="letters")
    dead = die(kind, organization, "No printer answered", "Traceback (most recent call last): …")
    running, _ = running_job(job_type=kind, organization=organization)
    operation = begin(dead, operator)
    operations.pause(operation)  # by whatever scheduler comes
    worker_registry.announce(WORKER, queue_names(), slots=1, window=1, supervision=Supervision(pid=1, name="one"))
    yield "/admin/"
    yield f"{ADMIN}/"
    yield f"{ADMIN}/alert/"
    yield from (f"{ADMIN}/monitor/?range={key}" for key in ("five", "hour", "week"))
    yield from _failures(dead, operation)
    yield from _jobs(dead, running, kind.pk)
    yield from _types(kind.pk, fragile.pk)
    yield from _organizations(organization)
    yield from _batches(organization, kind.pk)
    yield from _schedules(organization, kind.pk)
    yield from (f"{ADMIN}/worker/", f"{ADMIN}/worker/one/stop/")


def _failures(dead: Job, operation: Operation) -> Iterator[str]:
    yield f"{ADMIN}/failure/"
    yield f"{ADMIN}/failure/group/?job_type={dead.job_type_id}&fingerprint={dead.error_fingerprint}"
    yield from (f"{ADMIN}/operation/", f"{ADMIN}/operation/{operation.pk}/change/")


def _jobs(dead: Job, running: Job, kind: str) -> Iterator[str]:
    yield f"{ADMIN}/job/"
    yield f"{ADMIN}/job/?q=printer&type={kind}"
    yield from (f"{ADMIN}/job/all/{action}/?type={kind}" for action in ("retry", "cancel", "set_priority"))
    yield f"{ADMIN}/job/{running.pk}/change/"
    yield from (f"{ADMIN}/job/{dead.pk}/{page}/" for page in ("change", "retry", "run-again", "history"))
    yield f"{ADMIN}/executionlog/"
    yield f"{ADMIN}/executionlog/{ExecutionLog.objects.filter(job=dead).latest('pk').pk}/change/"


def _types(kind: str, fragile: str) -> Iterator[str]:
    yield from (f"{ADMIN}/jobtype/", f"{ADMIN}/jobtype/add/")
    yield from (f"{ADMIN}/jobtype/{kind}/{page}/" for page in ("change", "submit", "history", "delete"))
    yield from (f"{ADMIN}/jobtype/{fragile}/{page}/" for page in ("change", "close-breaker"))


def _organizations(organization: Organization) -> Iterator[str]:
    make_user("member", member_of=[organization])
    yield from (f"{ADMIN}/organization/", f"{ADMIN}/organization/add/")
    yield from (f"{ADMIN}/organization/{organization.pk}/{page}/" for page in ("change", "suspend", "history"))
    yield f"{ADMIN}/membership/"
    yield f"{ADMIN}/membership/{Membership.objects.latest('pk').pk}/change/"


def _batches(organization: Organization, kind: str) -> Iterator[str]:
    batch = create_batch(organization, name="Letters of May")
    parent = batch.submit(kind)
    batch.submit(kind, {"number": 1}, depends_on=[parent])
    yield f"{ADMIN}/batch/"
    yield from (f"{ADMIN}/batch/{batch.pk}/{page}/" for page in ("change", "cancel"))


def _schedules(organization: Organization, kind: str) -> Iterator[str]:
    schedule = schedule_job("nightly", kind, organization, every=60)
    fire_now(schedule)
    yield from (f"{ADMIN}/schedule/", f"{ADMIN}/schedule/add/", f"{ADMIN}/schedule/add/?job_type={kind}")
    yield from (f"{ADMIN}/schedule/{schedule.pk}/{page}/" for page in ("change", "fire"))
