"""The monitor: what it tells, to whom, in which states, and at which cost."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_jobs import submit_job
from django_jobs.admin import monitor_now, monitor_traffic
from django_jobs.engine import activity, announcements, histograms
from django_jobs.engine.activity import Place, Tally, start_of
from django_jobs.engine.ports import use_broker
from django_jobs.engine.scheduler import Scheduler
from django_jobs.models import EngineLease, Job, JobType, Organization, Span, Worker
from tests.support import admin
from tests.support.admin import text, url
from tests.support.brokers import MemoryBroker, end, job_in, pending_job, raised, running_job, start
from tests.support.commands import DeadBroker
from tests.support.factories import make_job_type, make_organization, make_user

pytestmark = pytest.mark.usefixtures("broker")

HOSTILE = '<script>alert("x")</script> {{ 7*7 }}'


@pytest.fixture
def mine() -> Organization:
    return make_organization(name="ORG-MINE", title="Mine")


@pytest.fixture
def theirs() -> Organization:
    return make_organization(name="ORG-THEIRS", title="Theirs")


@pytest.fixture
def root() -> Client:
    return admin.superuser()


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine, permissions=["django_jobs.view_job"])


@pytest.fixture
def sound() -> None:
    """A scheduler leads, and a worker is alive."""
    Scheduler("leader-1").tick()
    announcements.announce("worker-1", ["jobs-normal"], slots=4, window=8)


def monitor(client: Client, **query: str) -> Any:
    """What the page was made of."""
    response = client.get(reverse("admin:django_jobs_monitor"), query)
    assert response.status_code == 200
    return response.context


def page(client: Client, **query: str) -> str:
    return text(client, reverse("admin:django_jobs_monitor"), **query)


def tiles(client: Client, **query: str) -> dict[str, str]:
    return {tile["name"]: str(tile["value"]) for tile in monitor(client, **query)["tiles"]}


def count(kind: JobType, organization: Organization, ago: float = 0, **measures: Any) -> None:
    """What the scheduler would have counted so many seconds ago."""
    tally = Tally(organization_name=organization.name)
    for seconds in measures.pop("ran", []):
        tally.ran(seconds, histograms.class_of(seconds))
    for name, number in measures.items():
        tally.count(name, number)
    at = start_of(Span.MINUTE, timezone.now() - dt.timedelta(seconds=ago))
    activity.add({Place(int(Span.MINUTE), at, kind.pk, organization.pk): tally})


def notices(client: Client) -> str:
    return " ".join(notice.text for notice in monitor(client)["notices"])


def test_the_admins_index_leads_to_it(root: Client) -> None:
    assert f'href="{reverse("admin:django_jobs_monitor")}"' in text(root, reverse("admin:index"))
    assert f'href="{url("deadletter", "changelist")}"' in text(root, reverse("admin:index"))


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


def test_it_tells_how_long_the_oldest_has_waited(root: Client) -> None:
    job = pending_job()
    Job.objects.filter(pk=job.pk).update(ready_at=timezone.now() - dt.timedelta(minutes=5))
    assert "the oldest for 5 min" in page(root)


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


@pytest.mark.parametrize(("key", "places"), [("hour", 60), ("day", 24), ("month", 30)])
def test_the_chart_shows_what_was_counted_step_by_step(key: str, places: int, root: Client, mine: Organization) -> None:
    count(make_job_type(), mine, completed=7, failed=2, died=1, submitted=9)
    chart = monitor(root, range=key)["traffic"].charts[0]
    assert {item.name: item.values[-1] for item in chart.series} == {
        "completed": 7,
        "failed attempts": 2,
        "dead letters": 1,
        "canceled": 0,
        "submitted": 9,
    }
    assert len(chart.labels) == places


def test_an_unknown_range_is_the_last_hour(root: Client) -> None:
    assert monitor(root, range="<b>")["traffic"].range.key == "hour"


def test_the_numbers_of_a_chart_stand_in_a_table_too(root: Client, mine: Organization) -> None:
    count(make_job_type(), mine, completed=12345)
    assert "<td>12,345</td>" in page(root)


def test_times_are_averages_and_percentiles(root: Client, mine: Organization) -> None:
    count(make_job_type(), mine, completed=3, ran=[1.0, 1.0, 10.0])
    assert monitor(root)["times"][1] == ("Run", "4.0 s", "1.0 s", "10 s")


def test_a_type_tells_volume_failure_rate_and_its_trend(root: Client, mine: Organization) -> None:
    kind = make_job_type(type_name="mails")
    count(kind, mine, completed=6, failed=1, died=1)
    count(kind, mine, ago=5400, completed=9, died=1)
    (row,) = monitor(root)["types"]
    assert (row.ended, row.failures, row.rate) == ("8", "2", "25.0 %")
    assert "from 10.0 %" in row.trend
    assert "djobs-worse" in row.trend


def test_of_many_types_the_busiest_are_shown_and_failures_count(
    root: Client, mine: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_traffic, "MAX_TYPES", 1)
    count(make_job_type(type_name="fine"), mine, completed=2)
    count(make_job_type(type_name="failing"), mine, died=3)
    context = monitor(root)
    assert [str(row.name) for row in context["types"]] == ["<bdi>failing</bdi>"]
    assert context["traffic"].has_more_types


def test_a_paused_type_is_shown_as_such(root: Client, mine: Organization) -> None:
    count(kind := make_job_type(type_name="mails", is_paused=True), mine, completed=1)
    assert ">paused<" in monitor(root)["types"][0].state
    assert f"Paused on purpose: {kind.pk}." in notices(root)


def test_a_type_that_was_deleted_meanwhile_is_still_told(root: Client, mine: Organization) -> None:
    count(kind := make_job_type(type_name="mails"), mine, completed=1)
    kind.delete()
    (row,) = monitor(root)["types"]
    assert (row.url, "deleted" in row.state) == ("", True)


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
def test_without_jobs_it_says_what_to_do(root: Client) -> None:
    assert "There is no job yet" in page(root)


def test_without_scheduler_and_worker_it_says_what_to_do(root: Client) -> None:
    assert "The scheduler has never run." in notices(root)
    assert "No worker is alive: what is submitted waits." in notices(root)
    assert "manage.py jobs_worker" in page(root)


@pytest.mark.usefixtures("sound")
def test_a_silent_scheduler_is_told(root: Client) -> None:
    EngineLease.objects.filter(pk="scheduler").update(ticked_at=timezone.now() - dt.timedelta(minutes=3))
    assert "The scheduler is silent for 3 min" in notices(root)


@pytest.mark.usefixtures("sound")
def test_a_broker_that_is_down_is_told_and_harms_no_page(root: Client) -> None:
    broker: Any = DeadBroker()
    use_broker(broker)
    assert "Redis cannot be reached." in notices(root)


@pytest.mark.usefixtures("sound")
def test_before_anything_is_counted_the_charts_say_so(root: Client) -> None:
    pending_job()
    EngineLease.objects.filter(pk="rollups").delete()
    assert "Nothing is counted yet" in notices(root)


def test_staff_see_the_numbers_of_their_own_organizations_alone(
    member: Client, mine: Organization, theirs: Organization
) -> None:
    count(kind := make_job_type(type_name="shared"), mine, completed=1)
    count(kind, theirs, completed=100, died=100)
    count(make_job_type(type_name="private_to_them"), theirs, completed=50)
    pending_job(kind, mine)
    for status in ("Pending", "Running", "Dead Letter", "Failed", "Queued"):
        job_in(status, job_type=kind, organization=theirs)
    shown = tiles(member)
    names = ("Running", "Waiting", "Retrying", "Dead letters", "Completed", "Failure rate")
    assert [shown[name] for name in names] == ["0", "1", "0", "0", "1", "0.0 %"]
    assert [str(row.name) for row in monitor(member)["types"]] == ["<bdi>shared</bdi>"]
    assert "Theirs" not in page(member)
    assert "ORG-THEIRS" not in page(member)


def test_of_types_that_are_none_of_theirs_staff_are_told_nothing(member: Client, mine: Organization) -> None:
    count(make_job_type(type_name="ours", is_paused=True), mine, completed=1)
    make_job_type(type_name="secret_project", is_paused=True)
    assert "secret_project" not in page(member)
    assert "Paused on purpose: ours." in notices(member)


@pytest.mark.usefixtures("sound")
def test_hosts_and_processes_are_for_system_admins(member: Client) -> None:
    running_job("worker-1")
    assert "worker-1" not in page(member)
    assert "leader-1" not in page(member)


def test_a_system_admin_needs_no_permission_of_djangos() -> None:
    assert tiles(admin.system_admin())["Running"] == "0"


@pytest.mark.parametrize("page_name", ["django_jobs_monitor", "django_jobs_monitor_live"])
def test_staff_without_the_permission_are_refused(page_name: str, mine: Organization) -> None:
    client = admin.staff_of(mine, permissions=[])
    assert client.get(reverse(f"admin:{page_name}")).status_code == 403


@pytest.mark.parametrize("page_name", ["django_jobs_monitor", "django_jobs_monitor_live"])
def test_others_are_sent_to_the_login(page_name: str) -> None:
    assert admin.client_of(make_user()).get(reverse(f"admin:{page_name}")).status_code == 302


def test_what_refreshes_holds_the_same_parts_and_is_not_kept(root: Client) -> None:
    response = root.get(reverse("admin:django_jobs_monitor_live"), {"range": "day"})
    assert "no-store" in response.headers["Cache-Control"]
    assert 'data-djobs-part="workers"' in response.content.decode()
    assert "<html" not in response.content.decode()


@pytest.mark.parametrize("key", ["hour", "day", "month"])
def test_it_takes_the_same_statements_however_much_there_is(key: str, root: Client, mine: Organization) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            root.get(reverse("admin:django_jobs_monitor"), {"range": key})
        return len(captured)

    few = statements()
    for _ in range(5):
        count(kind := make_job_type(), tenant := make_organization(), completed=3, died=1)
        pending_job(kind, tenant)
        running_job("worker-1", job_type=kind, organization=tenant)
    announcements.announce("worker-1", ["jobs-normal"], slots=4, window=8)
    # Of organizations the rows are read once there are some.
    assert statements() <= few + 3
    assert statements() <= 27


def test_histograms_are_read_of_a_bounded_number_of_rows(
    root: Client, mine: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_traffic, "MAX_SAMPLES", 1)
    count(make_job_type(), mine, completed=1, ran=[1.0])
    count(make_job_type(), mine, completed=1, ran=[1.0])
    assert monitor(root)["traffic"].is_sampled


def test_hostile_texts_are_escaped(root: Client, broker: MemoryBroker) -> None:
    tenant = make_organization(name="ORG-X", title=HOSTILE)
    _, claimed = running_job(organization=tenant)
    end(raised(claimed, "Permanent", text=HOSTILE))
    pending_job(organization=tenant)
    start(pending_job(organization=tenant), HOSTILE)
    announcements.announce(HOSTILE, ["jobs-normal"], slots=1, window=1)
    shown = page(root)
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert" in shown
