"""The monitor's page: who may see it, whose numbers are in it, how it refreshes, and at which cost."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse, set_script_prefix
from django.utils import timezone
from pytest_django import Settings

from django_jobs import submit_job
from django_jobs.models import Batch, Organization
from tests.support import admin, verbs
from tests.support.admin import text, url
from tests.support.batches import make_batch
from tests.support.brokers import MemoryBroker, end, job_in, pending_job, raised, running_job, start
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.monitor import count, monitor, noticed, page, tiles
from tests.support.statements import statements_of

pytestmark = pytest.mark.usefixtures("broker")

HOSTILE = '<script>alert("x")</script> {{ 7*7 }}'


@pytest.fixture
def theirs() -> Organization:
    return make_organization(name="ORG-THEIRS", title="Theirs")


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine, permissions=["django_jobs.view_job"])


def test_the_admins_index_leads_to_it(root: Client) -> None:
    assert f'href="{reverse("admin:django_jobs_monitor_changelist")}"' in text(root, reverse("admin:index"))
    assert f'href="{url("failure", "changelist")}"' in text(root, reverse("admin:index"))


def test_staff_see_the_numbers_of_their_own_organizations_alone(
    root: Client, member: Client, mine: Organization, theirs: Organization
) -> None:
    count(kind := make_job_type(type_name="shared"), mine, completed=1, ran=[1.0])
    count(kind, theirs, completed=100, died=100, ran=[100.0])
    count(make_job_type(type_name="private_to_them"), theirs, completed=50)
    pending_job(kind, mine)
    for status in ("Pending", "Running", "Dead Letter", "Failed", "Queued"):
        job_in(status, job_type=kind, organization=theirs)
    submit_job(kind, theirs, depends_on=[pending_job(kind, theirs)])
    batch = make_batch(theirs)
    Batch.objects.filter(pk=batch.pk).update(expired_at=timezone.now())
    shown = tiles(member)
    codes = ("running", "waiting", "blocked", "retrying", "dead_letters", "completed", "failure_rate")
    assert [shown[code] for code in codes] == ["0", "1", "0", "0", "0", "1", "0.0 %"]
    assert [batch.batch_id in page(client) for client in (root, member)] == [True, False]
    seen = monitor(member)
    assert [(str(row["name"]), row["p95"]) for row in seen["types"]] == [("<bdi>shared</bdi>", "1.0 s")]
    assert seen["times"][1][1:] == ("1.0 s", "1.0 s", "1.0 s")
    assert "Theirs" not in page(member)
    assert "ORG-THEIRS" not in page(member)


def test_of_types_that_are_none_of_theirs_staff_are_told_nothing(
    root: Client, member: Client, mine: Organization, settings: Settings
) -> None:
    count(make_job_type(type_name="ours", is_paused=True), mine, completed=1)
    make_job_type(type_name="secret_project", is_paused=True)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    pending_job(make_job_type(type_name="secret_drawing", pool="gpu"))
    assert "secret_project" not in page(member)
    assert "ours" in noticed(member)["type_paused"]
    assert ["gpu" in noticed(client)["no_worker"] for client in (root, member)] == [True, False]


def test_a_system_admin_needs_no_permission_of_djangos() -> None:
    assert tiles(admin.system_admin())["running"] == "0"


@pytest.mark.parametrize("page_name", ["django_jobs_monitor_changelist", "django_jobs_monitor_live"])
def test_staff_without_the_permission_are_refused(page_name: str, mine: Organization) -> None:
    client = admin.staff_of(mine, permissions=[])
    assert client.get(reverse(f"admin:{page_name}")).status_code == 403


@pytest.mark.parametrize("page_name", ["django_jobs_monitor_changelist", "django_jobs_monitor_live"])
def test_others_are_sent_to_the_login(page_name: str) -> None:
    assert admin.client_of(make_user()).get(reverse(f"admin:{page_name}")).status_code == 302


def test_what_refreshes_holds_the_same_parts_and_is_not_kept(root: Client) -> None:
    response = root.get(reverse("admin:django_jobs_monitor_live"), {"range": "day"})
    assert "no-store" in response.headers["Cache-Control"]
    assert response.context["traffic"].range.key == "day"
    assert 'data-djobs-part="workers"' in response.content.decode()
    assert "<html" not in response.content.decode()


def test_an_open_page_asks_again_for_what_it_shows_and_hears_of_changes_by_a_socket(
    root: Client, member: Client, settings: Settings
) -> None:
    assert monitor(root, range="day")["live_url"].endswith("live/?range=day")
    settings.CHANNEL_LAYERS = {"default": {}}
    set_script_prefix("/below/")
    try:
        addresses = [client.get("/admin/django_jobs/monitor/", secure=True) for client in (root, member)]
    finally:
        set_script_prefix("/")
    assert [answer.context["socket_url"] for answer in addresses] == ["wss://testserver/below/ws/jobs/", ""]
    assert monitor(root)["socket_url"] == "ws://testserver/ws/jobs/"
    settings.CHANNEL_LAYERS = {}
    assert monitor(root)["socket_url"] == ""


@pytest.mark.parametrize("key", ["hour", "day", "month"])
def test_it_takes_the_same_statements_however_much_there_is(key: str, root: Client, mine: Organization) -> None:
    def statements() -> int:
        return statements_of(lambda: root.get(reverse("admin:django_jobs_monitor_changelist"), {"range": key}))

    few = statements()
    for _ in range(5):
        count(kind := make_job_type(), tenant := make_organization(), completed=3, died=1)
        pending_job(kind, tenant)
        running_job("worker-1", job_type=kind, organization=tenant)
    verbs.announce_worker("worker-1", ["jobs-normal"], slots=4)
    # Of organizations the rows are read once there are some.
    assert statements() <= few + 3 <= 32


def test_hostile_texts_are_escaped(root: Client, broker: MemoryBroker) -> None:
    tenant = make_organization(name="ORG-X", title=HOSTILE)
    _, claimed = running_job(organization=tenant)
    end(raised(claimed, "Permanent", text=HOSTILE))
    pending_job(organization=tenant)
    start(pending_job(organization=tenant), HOSTILE)
    verbs.announce_worker(HOSTILE, ["jobs-normal"], slots=1)
    shown = page(root)
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert" in shown
