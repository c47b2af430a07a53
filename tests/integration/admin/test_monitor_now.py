"""What the monitor tells of this moment: jobs, organizations, workers, the scheduler, and what is wrong."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from django_jobs import submit_job
from django_jobs.admin import monitor_now
from django_jobs.engine.control import operations
from django_jobs.engine.dispatch import worker_registry
from django_jobs.engine.foreign_entries import SetAside
from django_jobs.engine.insight.job_filter import JobFilter
from django_jobs.engine.ports import use_broker
from django_jobs.engine.scheduler import Scheduler
from django_jobs.models import EngineLease, Job, Organization, Worker
from tests.support import admin
from tests.support.admin import url
from tests.support.alerts import make_alert
from tests.support.brokers import MemoryBroker, job_in, pending_job, running_job
from tests.support.commands import DeadBroker
from tests.support.factories import make_job_type, make_organization
from tests.support.monitor import monitor, notices, page, tiles
from tests.support.operations import start

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def mine() -> Organization:
    return make_organization(name="ORG-MINE", title="Mine")


@pytest.fixture
def theirs() -> Organization:
    return make_organization(name="ORG-THEIRS", title="Theirs")


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine, permissions=["django_jobs.view_job"])


@pytest.fixture
def sound() -> None:
    """A scheduler leads, and a worker is alive."""
    Scheduler("leader-1").tick()
    worker_registry.announce("worker-1", ["jobs-normal"], slots=4, window=8)


def test_operations_that_are_under_way_are_told_with_a_link(root: Client, mine: Organization) -> None:
    kind = make_job_type(type_name="mails")
    pending_job(kind, mine)
    begun = [start(JobFilter(job_types=("mails",)), None, "cancel") for _ in range(5)]
    operations.pause(begun[-1])
    said = notices(root)
    assert "Paused: Cancel: type: mails. 0 of 1 canceled, by system." in said
    assert "Under way: Cancel: type: mails. 0 of 1 canceled, by system." in said
    assert "2 more operations are under way." in said
    assert url("operation", "change", begun[-1].pk) in page(root)


def test_it_counts_what_runs_waits_retries_and_is_dead(root: Client) -> None:
    running_job()
    pending_job()
    job_in("Queued")
    job_in("Failed")
    job_in("Dead Letter")
    shown = tiles(root)
    assert [shown[name] for name in ("Running", "Waiting", "Retrying", "Dead letters")] == ["1", "3", "1", "1"]


def test_what_waits_for_other_jobs_is_told_apart(root: Client) -> None:
    parent = pending_job()
    submit_job(make_job_type(), parent.organization_id and parent.organization, depends_on=[parent])
    shown = tiles(root)
    assert (shown["Waiting"], shown["Blocked"]) == ("1", "1")


def test_what_waits_for_a_moment_to_come_has_waited_for_nothing_yet(root: Client) -> None:
    pending_job(run_at=timezone.now() + dt.timedelta(hours=1))
    text = page(root)
    assert "none of them due yet" in text
    assert "the oldest for" not in text


def test_it_tells_how_long_the_oldest_has_waited(root: Client) -> None:
    job = pending_job()
    Job.objects.filter(pk=job.pk).update(ready_at=timezone.now() - dt.timedelta(minutes=5))
    assert "the oldest for 5 min" in page(root)


def test_what_runs_waits_no_longer(root: Client) -> None:
    for job, minutes in ((running_job()[0], 90), (job_in("Queued"), 5)):
        Job.objects.filter(pk=job.pk).update(queued_at=timezone.now() - dt.timedelta(minutes=minutes))
    assert "the oldest for 5 min" in page(root)
    assert (tiles(root)["Waiting"], tiles(root)["Running"]) == ("1", "1")


def test_depths_are_by_priority(root: Client) -> None:
    pending_job(priority="High")
    pending_job(priority="Low")
    pending_job(priority="Low")
    depths = [(priority.label, amount.count) for priority, amount in monitor(root)["now"].depths]
    assert depths == [("Critical", 0), ("High", 1), ("Normal", 0), ("Low", 2)]


def test_a_long_backlog_is_counted_up_to_a_bound(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_now, "BOUND", 2)
    kind, tenant = make_job_type(), make_organization()
    for _ in range(3):
        pending_job(kind, tenant)
    assert tiles(root)["Waiting"] == "2+"


def test_organizations_tell_backlog_running_and_share(root: Client, mine: Organization, theirs: Organization) -> None:
    running_job(organization=mine)
    running_job(organization=theirs)
    running_job(organization=theirs)
    pending_job(organization=mine)
    rows = [(str(row.name), str(row.waiting), row.running, row.percent) for row in monitor(root)["tenants"]]
    assert rows == [("<bdi>Mine</bdi>", "1", "1", "33.3 %"), ("<bdi>Theirs</bdi>", "0", "2", "66.7 %")]


def test_a_suspended_organization_is_shown_as_such(root: Client, mine: Organization) -> None:
    pending_job(organization=mine)
    Organization.objects.filter(pk=mine.pk).update(is_active=False)
    assert ">suspended<" in page(root)


def test_jobs_of_an_organization_that_is_gone_are_counted(root: Client, mine: Organization) -> None:
    pending_job(organization=mine)
    pk = mine.pk
    Organization.objects.filter(pk=pk).delete()
    assert f"{pk}, which is gone" in page(root)


@pytest.mark.usefixtures("sound")
def test_workers_tell_what_they_run(root: Client) -> None:
    job, _ = running_job("worker-1")
    (row,) = monitor(root)["workers"]
    assert (row.is_alive, row.slots, row.jobs[0][0]) == (True, 4, job.name)


@pytest.mark.usefixtures("sound")
def test_a_worker_that_fell_silent_is_shown_as_such(root: Client) -> None:
    Worker.objects.update(last_seen=timezone.now() - dt.timedelta(seconds=60))
    assert not monitor(root)["workers"][0].is_alive
    assert "No worker is alive" in notices(root)


@pytest.mark.usefixtures("sound")
def test_the_leader_and_its_last_tick_are_told(root: Client) -> None:
    assert "leader-1" in page(root)
    assert ">alive</span>" in page(root)


@pytest.mark.usefixtures("sound")
def test_where_all_is_well_nothing_is_said(root: Client, mine: Organization) -> None:
    assert notices(root) == ""


@pytest.mark.usefixtures("sound")
def test_a_pool_whose_jobs_wait_for_no_worker_is_told(root: Client, mine: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    kind = make_job_type(pool="gpu")
    assert notices(root) == ""
    pending_job(kind, mine)
    said = notices(root)
    assert "Pool gpu: no live worker, and jobs of it wait. Start “manage.py jobs_worker --pool gpu”." in said
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {}}
    assert "Pool gpu: is not in DJANGO_JOBS['POOLS']" in notices(root)


@pytest.mark.usefixtures("sound")
def test_without_jobs_it_says_what_to_do(root: Client) -> None:
    assert "There is no job yet" in page(root)


def test_without_scheduler_and_worker_it_says_what_to_do(root: Client) -> None:
    assert "The scheduler has never run." in page(root)  # an alarm
    assert "No worker is alive: what is submitted waits." in notices(root)
    assert "manage.py jobs_worker" in page(root)


def test_that_nothing_runs_is_said_beside_the_alarm_of_one_pool(root: Client) -> None:
    make_alert("no_worker", "gpu")
    assert "No worker is alive" in notices(root)
    make_alert("no_worker", "default")
    assert "No worker is alive" not in notices(root)


@pytest.mark.usefixtures("sound")
def test_a_silent_scheduler_is_told(root: Client) -> None:
    EngineLease.objects.filter(pk="scheduler").update(ticked_at=timezone.now() - dt.timedelta(minutes=3))
    assert "The scheduler has been silent since" in page(root)  # an alarm


@pytest.mark.usefixtures("sound")
def test_a_broker_that_is_down_is_told_and_harms_no_page(root: Client) -> None:
    broker: Any = DeadBroker()
    use_broker(broker)
    assert "Redis cannot be reached." in notices(root)


@pytest.mark.usefixtures("sound")
def test_entries_that_are_no_tickets_are_told_to_system_admins(
    root: Client, member: Client, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "set_aside", lambda: SetAside(count=1_000, is_capped=True, newest=("'<b>'",)))
    assert notices(root) == "Set aside from our queues, and not run: 1,000+ entries that are no tickets."
    assert "see who may write to Redis" in page(root)
    assert "Set aside" not in page(member)


@pytest.mark.usefixtures("sound")
def test_before_anything_is_counted_the_charts_say_so(root: Client) -> None:
    pending_job()
    EngineLease.objects.filter(pk="rollups").delete()
    assert "Nothing is counted yet" in notices(root)


@pytest.mark.usefixtures("sound")
def test_hosts_and_processes_are_for_system_admins(member: Client) -> None:
    running_job("worker-1")
    assert "worker-1" not in page(member)
    assert "leader-1" not in page(member)
