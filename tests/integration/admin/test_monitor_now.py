"""What the monitor tells of this moment: jobs, organizations, workers, the scheduler, and what is wrong."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from django_jobs import submit_job
from django_jobs.models import EngineLease, Job, Organization, Worker
from django_jobs.statuses import Priority
from tests.support import admin, verbs
from tests.support.admin import codes_on, url
from tests.support.alerts import make_alert
from tests.support.brokers import MemoryBroker, job_in, pending_job, running_job
from tests.support.commands import DeadBroker
from tests.support.factories import make_job_type, make_organization
from tests.support.monitor import count, monitor, noticed, page, tiles
from tests.support.operations import start
from tests.support.tuning import Tuning
from tests.support.verbs import JobFilter, Scheduler, SetAside

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
    verbs.announce_worker("worker-1", ["jobs-normal"], slots=4)


def oldest_minutes(client: Client) -> str:
    """For how many minutes the oldest job has waited, as its tile says."""
    (note,) = [tile.note for tile in monitor(client)["tiles"] if tile.code == "waiting"]
    return "".join(re.findall(r"\d+", note))


def test_operations_that_are_under_way_are_told_with_a_link(root: Client, mine: Organization) -> None:
    kind = make_job_type(type_name="mails")
    pending_job(kind, mine)
    begun = [start(JobFilter(job_type=("mails",)), None, "cancel") for _ in range(5)]
    verbs.pause_operation(begun[-1])
    told = monitor(root)["under_way"]
    assert ["mails" in str(row[0]) for row in told["rows"]] == [True] * 3
    assert told["more"] == 2
    assert url("operation", "change", begun[-1].pk) in page(root)


def test_it_counts_what_runs_waits_retries_and_is_dead(root: Client) -> None:
    running_job()
    pending_job()
    job_in("Queued")
    job_in("Failed")
    job_in("Dead Letter")
    shown = tiles(root)
    assert [shown[code] for code in ("running", "waiting", "retrying", "dead_letters")] == ["1", "3", "1", "1"]


def test_what_waits_for_other_jobs_is_told_apart(root: Client) -> None:
    parent = pending_job()
    submit_job(make_job_type(), parent.organization_id and parent.organization, depends_on=[parent])
    shown = tiles(root)
    assert (shown["waiting"], shown["blocked"]) == ("1", "1")


def test_what_waits_for_a_moment_to_come_has_waited_for_nothing_yet(root: Client) -> None:
    pending_job(run_at=timezone.now() + dt.timedelta(hours=1))
    assert monitor(root)["now"].oldest_seconds is None
    assert tiles(root)["waiting"] == "1"


def test_it_tells_how_long_the_oldest_has_waited(root: Client) -> None:
    job = pending_job()
    Job.objects.filter(pk=job.pk).update(ready_at=timezone.now() - dt.timedelta(minutes=5))
    assert oldest_minutes(root) == "5"


def test_what_runs_waits_no_longer(root: Client) -> None:
    for job, minutes in ((running_job()[0], 90), (job_in("Queued"), 5)):
        Job.objects.filter(pk=job.pk).update(queued_at=timezone.now() - dt.timedelta(minutes=minutes))
    assert oldest_minutes(root) == "5"
    assert (tiles(root)["waiting"], tiles(root)["running"]) == ("1", "1")


def test_depths_are_by_priority(root: Client) -> None:
    pending_job(priority="High")
    pending_job(priority="Low")
    pending_job(priority="Low")
    depths = [(priority, amount.count) for priority, amount in monitor(root)["now"].depths]
    assert depths == [(Priority.CRITICAL, 0), (Priority.HIGH, 1), (Priority.NORMAL, 0), (Priority.LOW, 2)]


def test_a_long_backlog_is_counted_up_to_a_bound(root: Client, tuning: Tuning) -> None:
    tuning.set(monitor_counted_jobs=2)
    kind, tenant = make_job_type(), make_organization()
    for _ in range(3):
        pending_job(kind, tenant)
    assert tiles(root)["waiting"] == "2+"


def test_organizations_tell_backlog_running_and_share(root: Client, mine: Organization, theirs: Organization) -> None:
    running_job(organization=mine)
    running_job(organization=theirs)
    running_job(organization=theirs)
    pending_job(organization=mine)
    rows = [(str(row["name"]), str(row["waiting"]), row["running"], row["percent"]) for row in monitor(root)["tenants"]]
    assert rows == [("<bdi>Mine</bdi>", "1", "1", "33.3 %"), ("<bdi>Theirs</bdi>", "0", "2", "66.7 %")]


def test_a_suspended_organization_is_shown_as_such(root: Client, mine: Organization) -> None:
    pending_job(organization=mine)
    Organization.objects.filter(pk=mine.pk).update(is_active=False)
    assert "suspended" in codes_on(page(root))


def test_jobs_of_an_organization_that_is_gone_are_counted(root: Client, mine: Organization) -> None:
    pending_job(organization=mine)
    pk = mine.pk
    Organization.objects.filter(pk=pk).delete()
    (row,) = monitor(root)["tenants"]
    assert (str(row["waiting"]), str(pk) in str(row["name"]), row["url"], row["jobs_url"]) == ("1", True, "", "")


@pytest.mark.usefixtures("sound")
def test_tiles_say_more_of_what_they_count(root: Client, mine: Organization) -> None:
    def noted(code: str) -> str:
        return next(str(tile.note_code) for tile in monitor(root)["tiles"] if tile.code == code)

    assert noted("waiting") == "none"
    pending_job(run_at=timezone.now() + dt.timedelta(hours=1))
    assert noted("waiting") == "not_due"
    pending_job()
    assert noted("waiting") == "oldest"
    for _ in range(4):
        running_job("worker-1")
    assert noted("running") == "slots"
    running_job("worker-1")
    assert noted("running") == "more_than_slots"
    running_job("worker-2")
    assert noted("running") == "elsewhere"
    count(make_job_type(), mine, completed=120)
    (told,) = [tile.note for tile in monitor(root)["tiles"] if tile.code == "completed"]
    assert re.findall(r"\d[\d.]*", told) == ["2.0"]


@pytest.mark.usefixtures("sound")
def test_workers_tell_what_they_run(root: Client, tuning: Tuning) -> None:
    job, _ = running_job("worker-1")
    (row,) = monitor(root)["workers"]
    assert (row.is_alive, row.worker.slots, row.jobs[0].name, row.more) == (True, 4, job.name, 0)
    tuning.set(monitor_running_jobs=1)
    running_job("worker-1")
    (row,) = monitor(root)["workers"]
    assert (len(row.jobs), row.more) == (1, 1)


@pytest.mark.usefixtures("sound")
def test_a_worker_that_fell_silent_is_shown_as_such(root: Client) -> None:
    Worker.objects.update(last_seen=timezone.now() - dt.timedelta(seconds=60))
    assert not monitor(root)["workers"][0].is_alive
    assert "no_worker" in noticed(root)


@pytest.mark.usefixtures("sound")
def test_the_leader_and_its_last_tick_are_told(root: Client) -> None:
    assert "leader-1" in page(root)
    assert "scheduler_alive" in codes_on(page(root))


@pytest.mark.usefixtures("sound")
def test_where_all_is_well_nothing_is_said(root: Client, mine: Organization) -> None:
    assert noticed(root) == {}


@pytest.mark.usefixtures("sound")
def test_a_pool_whose_jobs_wait_for_no_worker_is_told(root: Client, mine: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    kind = make_job_type(pool="gpu")
    assert noticed(root) == {}
    pending_job(kind, mine)
    assert "gpu" in noticed(root)["no_worker"]
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {}}
    assert "gpu" in noticed(root)["unknown_pool"]


@pytest.mark.usefixtures("sound")
def test_without_jobs_it_says_what_to_do(root: Client) -> None:
    assert "no_jobs" in codes_on(page(root))


def test_without_scheduler_and_worker_it_says_what_to_do(root: Client) -> None:
    assert 'data-djobs-alarm="no_scheduler:' in page(root)
    assert "no_worker" in noticed(root)
    assert "manage.py jobs_worker" in page(root)


def test_that_nothing_runs_is_said_beside_the_alarm_of_one_pool(root: Client) -> None:
    make_alert("no_worker", "gpu")
    assert "no_worker" in noticed(root)
    make_alert("no_worker", "default")
    assert "no_worker" not in noticed(root)


@pytest.mark.usefixtures("sound")
def test_a_silent_scheduler_is_told(root: Client) -> None:
    EngineLease.objects.filter(pk="scheduler").update(ticked_at=timezone.now() - dt.timedelta(minutes=3))
    assert 'data-djobs-alarm="no_scheduler:' in page(root)
    assert "scheduler_silent" in codes_on(page(root))


@pytest.mark.usefixtures("sound")
def test_a_broker_that_is_down_is_told_and_harms_no_page(root: Client) -> None:
    broker: Any = DeadBroker()
    verbs.use_broker(broker)
    assert "broker_unavailable" in noticed(root)


@pytest.mark.usefixtures("sound")
def test_entries_that_are_no_tickets_are_told_to_system_admins(
    root: Client, member: Client, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "set_aside", lambda: SetAside(count=1_000, is_capped=True, newest=("'<b>'",)))
    assert "1,000+" in noticed(root)["foreign_jobs"]
    (notice,) = monitor(root)["notices"]
    assert str(notice.advice) in page(root)
    assert "foreign_jobs" not in codes_on(page(member))


@pytest.mark.usefixtures("sound")
def test_before_anything_is_counted_the_charts_say_so(root: Client) -> None:
    pending_job()
    EngineLease.objects.filter(pk="rollups").delete()
    assert "nothing_counted" in noticed(root)


@pytest.mark.usefixtures("sound")
def test_hosts_and_processes_are_for_system_admins(member: Client) -> None:
    running_job("worker-1")
    assert "worker-1" not in page(member)
    assert "leader-1" not in page(member)
