"""Links where an id stands: they lead to what the id names, and only to what the reader may open."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, urljoin, urlsplit

import pytest
from django.contrib import admin as django_admin
from django.contrib.auth.models import User
from django.contrib.messages import WARNING, get_messages
from django.test import Client
from django.urls import resolve, reverse
from pytest_django import Settings

from django_jobs import schedule_job
from django_jobs.models import ExecutionLog, Job, JobType, Membership, Operation, Organization
from django_jobs.testing import run_jobs
from tests.support import admin, verbs
from tests.support.admin import fact_on, nothing_rendered, page_of, text, url
from tests.support.alerts import make_alert, scheduler_ticks
from tests.support.batches import make_batch
from tests.support.brokers import end, job_in, pending_job, raised, start
from tests.support.console_pages import Console
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.failures import die, group
from tests.support.operations import start as start_operation
from tests.support.verbs import BaseAdmin, JobFilter

pytestmark = pytest.mark.usefixtures("broker")

VIEW = ["django_jobs.view_job"]
#: What leads out of the console, or ends the session.
LEFT_OUT = re.compile(r"/admin/(logout|password_change|jsi18n|auth)|^(https?:|#|mailto:)|/download/|/output/")
FAILURES = "/admin/django_jobs/failure/"


def links_on(response: Any, address: str) -> list[str]:
    """The addresses of the links in the content of a page."""
    page = response.content.decode()
    content = page[page.index('id="content"') :] if 'id="content"' in page else page
    found = (html.unescape(link) for link in re.findall(r'<a [^>]*?href="([^"]*)"', content))
    return sorted({urljoin(address, link).partition("#")[0] for link in found if not LEFT_OUT.search(link)})


def leads_nowhere(client: Client, address: str) -> str:
    """What is wrong with a link; empty if it leads to a page."""
    client.cookies.pop("messages", None)  # what an earlier page left to say
    response: Any = client.get(address, follow=True)
    if response.status_code != 200:
        return f"{address}: {response.status_code}"
    # Ours says in its code that the row is gone; Django's own warning has none.
    told = [item for item in get_messages(response.wsgi_request) if item.level >= WARNING]
    wrong = [str(item) for item in told if item.extra_tags in {"gone", "", None}]
    return f"{address}: {wrong}" if wrong else ""


def with_words(words: str, page: str) -> str:
    """The address that the link with these words leads to; of a list, in its rows."""
    page = page.partition('id="result_list"')[2] or page
    found = re.search(rf'<a (?:[^>]* )?href="([^"]*)"[^>]*>(?:<bdi[^>]*>)?{re.escape(html.escape(words))}<', page)
    assert found is not None, words
    return html.unescape(found[1])


VISITORS: Final[dict[str, Callable[[Organization], Client]]] = {
    "system admin": lambda _mine: admin.system_admin(),
    "staff": lambda mine: admin.staff_of(mine, role="admin", permissions=[*admin.VIEWS, "django_jobs.view_schedule"]),
    "staff who see jobs alone": lambda mine: admin.staff_of(mine, role="admin", permissions=VIEW),
}


@pytest.mark.slow
@pytest.mark.parametrize("who", VISITORS)
def test_no_link_of_any_page_leads_nowhere(who: str, mine: Organization, theirs: Organization) -> None:
    scheduler_ticks()
    operator = make_user("operator", is_staff=True, is_superuser=True)
    console = Console(mine, operator, make_user("mia", admin_of=[mine], is_staff=True))
    pages = [look.address for look in console.looks() if not look.posted]
    foreign = die(make_job_type(type_name="foreign"), theirs)
    make_alert("type_failing", foreign.job_type_id, {"failed": 3, "attempts": 3, "organizations": {str(mine.pk): 2}})
    batch = make_batch(mine, "Dead Letter", then={"job_type": "letters"})
    run_jobs()
    start_operation_of_all_kinds(foreign, batch.batch_id)
    pages += [url("batch", "change", batch.pk), *(url("operation", "change", pk) for pk in ids_of_operations())]
    client = VISITORS[who](mine)
    opened = {page: response for page in pages if (response := client.get(page)).status_code == 200}
    links = {kind_of(link, page): link for page, response in opened.items() for link in links_on(response, page)}
    assert len(links) > 40
    # One page of each kind is rendered.
    whole = {route_of(link): link for link in sorted(set(links.values()) - set(opened))}
    wrong = [leads_nowhere(client, link) for link in whole.values()]
    with nothing_rendered():
        wrong += [leads_nowhere(client, link) for link in sorted({*links.values()} - {*opened, *whole.values()})]
    assert list(filter(None, wrong)) == []


def kind_of(link: str, page: str) -> tuple[str, ...]:
    """What makes a link another one: of the choices of one filter, and of the rows of one list, one is enough."""
    parts = urlsplit(link)
    view, *names = route_of(link)
    row = route_of(page)[0].replace("changelist", "change")
    return (view, *names) if view == row else (parts.path, *names)


def route_of(address: str) -> tuple[str, ...]:
    """The view that answers, and the names of what narrows it."""
    parts = urlsplit(address)
    names = sorted(name for name, _value in parse_qsl(parts.query, keep_blank_values=True))
    return resolve(parts.path).view_name, *names


def ids_of_operations() -> list[int]:
    return list(Operation.objects.values_list("pk", flat=True))


def start_operation_of_all_kinds(job: Job, batch_id: str) -> None:
    """Operations that name all that a filter can name."""
    schedule_job("hourly", job.job_type_id, job.organization, every=3600)
    Job.objects.filter(pk=job.pk).update(owner_name="ann", worker_name="host-1")
    for given in (
        {"job_type": [job.job_type_id, "gone"], "organization": job.organization.name},
        {"job_id": [job.name, "JOB-2020-99999"], "owner": "ann", "worker": "host"},
        {"batch": batch_id, "all": True},
        {"schedule": "hourly"},
        {"operation": 1, "pool": "default"},
        {"submitted_by": job.pk, "parameters": {"a": 1, "b.c": "x"}, "created_after": "2026-01-01T00:00:00Z"},
        {"has_error": True, "error_fingerprint": "", "status": ["Failed", "Dead Letter"], "priority": "High"},
    ):
        start = {"action": "cancel", "filters": JobFilter.read(given).as_json(), "user_name": "operator"}
        now = {"started_at": job.created_at, "released_until": job.created_at, "last_id": 0, "state": "done"}
        Operation.objects.create(**{**start, **now})


def test_an_alarms_organizations_lead_to_their_failures_and_pages(
    root: Client, kind: JobType, mine: Organization
) -> None:
    scheduler_ticks()
    die(kind, mine)
    facts = {"failed": 3, "attempts": 3, "organizations": {str(mine.pk): 2}}
    make_alert("type_failing", kind.pk, facts)
    page = text(root, url("alert", "changelist"))
    address = with_words("ORG-MINE", page)
    assert address == f"{FAILURES}?job_type={kind.pk}&organization={mine.name}"
    assert narrowed_to(root.get(address), "ORG-MINE")
    assert f'href="{url("organization", "change", mine.pk)}"' in page
    member = admin.staff_of(mine, permissions=VIEW)
    page = text(member, url("alert", "changelist"))
    assert with_words("ORG-MINE", page) == address
    assert url("organization", "change", mine.pk) not in page


def test_a_screen_reader_hears_the_name_of_an_organization_without_markup(root: Client, kind: JobType) -> None:
    job = die(kind, make_organization(name="A & B"))
    for address in (group(job), url("failure", "changelist")):
        assert re.search(r'aria-label="[^"<&]*A &amp; B"', text(root, address))


def test_a_groups_organizations_narrow_it_and_what_is_done_reaches_these_alone(
    root: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    own, foreign = die(kind, mine), die(kind, theirs)
    address = f"{FAILURES}group/{with_words('ORG-MINE', text(root, group(own)))}"
    response = root.get(address)
    page = response.content.decode()
    assert narrowed_to(response, "ORG-MINE")
    assert foreign.name not in page
    assert f'name="organization" value="{mine.name}"' in page
    whole, own_list = response.context["whole_url"], response.context["row"]["jobs_url"]
    assert all(f'href="{html.escape(link)}"' in page for link in (whole, own_list))
    assert foreign.name in text(root, whole)
    assert [job.pk for job in listed_at(root, own_list)] == [own.pk]


def narrowed_to(response: Any, name: str) -> bool:
    """Whether a page of failures says that it is of this organization alone."""
    told = next((item for item in response.context["narrowed"] if name in item), "")
    return told != "" and html.escape(told) in response.content.decode()


def listed_at(client: Client, address: str) -> list[Job]:
    return list(client.get(address).context["cl"].result_list)


def test_a_narrowed_list_of_groups_leads_to_narrowed_groups(
    root: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    die(kind, mine), die(kind, theirs)
    (row,) = root.get(url("failure", "changelist"), {"organization": mine.name}).context["rows"]
    assert root.get(row["url"]).context["row"]["count"].count == 1


def test_a_schedule_leads_to_its_type_and_organization(root: Client, mine: Organization) -> None:
    kind = make_job_type(type_name="night_run")
    schedule = schedule_job("nightly", kind, mine, every=60)
    page = text(root, url("schedule", "changelist"))
    assert with_words("night_run", page) == "/admin/django_jobs/jobtype/night_5Frun/change/"
    assert with_words("ORG-MINE", page) == url("organization", "change", mine.pk)
    assert with_words("night_run", text(root, url("schedule", "change", schedule.pk))).endswith("night_5Frun/change/")
    boss = admin.staff_of(mine, role="admin", permissions=[*VIEW, "django_jobs.view_schedule"])
    page = text(boss, url("schedule", "changelist"))
    assert with_words("ORG-MINE", page) == f"{url('job', 'changelist')}?organization={mine.name}"
    assert with_words("night_run", page) == f"{url('job', 'changelist')}?job_type=night_run"


def test_the_numbers_of_an_organization_lead_to_just_the_jobs_that_they_count(root: Client, mine: Organization) -> None:
    each = {"Pending": 3, "Failed": 1, "Timed Out": 1, "Running": 1, "Dead Letter": 2, "Queued": 1}
    for status, count in each.items():
        for _ in range(count):
            job_in(status, organization=mine)
        job_in(status)
    rows = root.get(url("organization", "change", mine.pk)).context["load_rows"]
    found = {}
    for _words, link in rows:
        match = re.search(r'href="([^"]*)"', link)
        assert match is not None
        address = html.unescape(match[1])
        number = re.sub(r"<[^>]*>", "", link)
        found[parse_qs(urlsplit(address).query)["status"][0]] = (number, len(listed_at(root, address)))
    assert found == {
        "Pending": ("3", 3),
        "Failed": ("2", 2),
        "Queued": ("1", 1),
        "Running": ("1", 1),
        "Dead Letter": ("2", 2),
    }
    assert f'href="{FAILURES}?organization={mine.name}"' in text(root, url("organization", "change", mine.pk))


def test_who_sees_organizations_and_no_jobs_gets_numbers_without_links(mine: Organization) -> None:
    client = admin.staff_of(mine, permissions=["django_jobs.view_organization"])
    job_in("Dead Letter", organization=mine)
    page = text(client, url("organization", "change", mine.pk))
    assert "Dead Letter" in page
    assert "/django_jobs/job/" not in page


def test_owner_and_worker_of_a_job_lead_to_their_jobs(root: Client, mine: Organization) -> None:
    owner = make_user("ann & bob#1", member_of=[mine])
    job = pending_job(organization=mine, user=owner)
    end(raised(start(job, "host/1#2 & 3"), "Permanent"))
    other = job_in("Dead Letter", organization=mine)
    page = page_of(root, job)
    for words in ("ann & bob#1", "host/1#2 & 3"):
        found = [item.pk for item in listed_at(root, with_words(words, page))]
        assert (job.pk in found, other.pk in found) == (True, False)
    assert f'href="{url("worker", "changelist")}"' in fact_on(page, "worker")


def test_who_manages_no_system_learns_no_names_of_machines(mine: Organization) -> None:
    job = pending_job(organization=mine)
    end(raised(start(job, "host-1-77-0123abcd"), "Permanent"))
    log = ExecutionLog.objects.filter(job=job).latest("pk")
    client = admin.staff_of(mine, role="admin", permissions=[*VIEW, "django_jobs.view_executionlog"])
    pages = [
        page_of(client, job),
        page_of(client, job, all=""),
        text(client, url("job", "changelist")),
        text(client, url("executionlog", "changelist")),
        text(client, url("executionlog", "change", log.pk)),
    ]
    assert ["host-1" in page for page in pages] == [False] * len(pages)
    for query in ({"worker": "host"}, {"q": "worker:host"}, {"q": "host-1-77-0123abcd"}):
        assert admin.listed(client, **query) == []
    assert JobFilter(worker="host").queryset(make_user(admin_of=[mine])).exists() is False
    assert JobFilter(worker="host").queryset(make_system_admin()).get() == job


def test_a_job_of_a_deleted_organization_or_type_has_no_link_to_it(root: Client) -> None:
    tenant, kind = make_organization(name="ORG-GONE"), make_job_type(type_name="gone_type")
    job = job_in("Completed", organization=tenant, job_type=kind)
    JobType.objects.filter(pk=kind.pk)._raw_delete("default")
    Organization.objects.filter(pk=tenant.pk)._raw_delete("default")
    page = page_of(root, job)
    assert "ORG-GONE" in page
    assert url("organization", "change", tenant.pk) not in page
    assert f"organization={tenant.name}" not in page
    assert url("jobtype", "change", kind.pk) not in page
    row = text(root, url("job", "changelist"))
    assert "ORG-GONE" in row
    assert f"organization={tenant.name}" not in row


def test_a_row_of_the_log_leads_to_its_job_and_its_worker(root: Client, mine: Organization) -> None:
    job = pending_job(organization=mine)
    end(raised(start(job, "host-1"), "Permanent"))
    log = ExecutionLog.objects.filter(job=job).latest("pk")
    for page in (text(root, url("executionlog", "changelist")), text(root, url("executionlog", "change", log.pk))):
        assert with_words(job.name, page) == url("job", "change", job.pk)
        assert [item.pk for item in listed_at(root, with_words("host-1", page))] == [job.pk]


def test_who_sees_schedules_or_the_log_and_no_jobs_gets_no_links_to_jobs(mine: Organization) -> None:
    schedule = schedule_job("nightly", make_job_type(type_name="night_run"), mine, every=60)
    verbs.fire_now(schedule)
    job = pending_job(organization=mine)
    start(job, "host-1")
    log = ExecutionLog.objects.filter(job=job).latest("pk")
    permissions = ["django_jobs.view_schedule", "django_jobs.view_executionlog"]
    client = admin.staff_of(mine, role="admin", permissions=permissions)
    for model, pk in (("schedule", schedule.pk), ("executionlog", log.pk)):
        for address in (url(model, "changelist"), url(model, "change", pk)):
            assert "/admin/django_jobs/job/" not in text(client, address)


def test_jobs_that_a_host_hides_are_no_links(settings: Settings, mine: Organization) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}
    kind = make_job_type()
    job = die(kind, mine)
    member = admin.staff_of(mine)
    for address in (url("executionlog", "changelist"), url("failure", "changelist"), group(job)):
        page = text(member, address)
        assert job.name in page
        assert f'href="{url("job", "change", job.pk)}">{job.name}' not in page


def test_a_batch_leads_to_organization_owner_type_and_what_follows(root: Client, mine: Organization) -> None:
    owner = make_user("ann", member_of=[mine])
    follower = make_job_type(type_name="report")
    batch = make_batch(mine, "Dead Letter", on_failure={"job_type": "report"}, user=owner)
    run_jobs()
    page = text(root, url("batch", "change", batch.pk))
    assert with_words("ORG-MINE", page) == url("organization", "change", mine.pk)
    assert with_words("ann", page) == f"{url('job', 'changelist')}?owner=ann"
    assert with_words("report", page) == url("jobtype", "change", follower.pk)
    page = text(root, url("batch", "changelist"))
    assert with_words("ORG-MINE", page) == f"?organization={mine.name}"
    assert with_words("ann", page) == f"{url('job', 'changelist')}?owner=ann"


def test_who_has_left_an_organization_is_led_to_nothing_of_it(kind: JobType, mine: Organization) -> None:
    boss = make_user("boss", admin_of=[mine], permissions=VIEW, is_staff=True)
    job = die(kind, mine)
    started = start_operation(JobFilter(organization=(mine.pk,)), boss, try_first=True)
    Operation.objects.update(first_job_id=job.pk)
    address, client = url("operation", "change", started.pk), admin.client_of(boss)
    page = text(client, address)
    assert with_words(job.name, page) == url("job", "change", job.pk)
    assert mine.name in page
    Membership.objects.all().delete()
    page = text(client, address)
    assert job.name not in page
    assert mine.name not in page


def test_another_site_of_the_same_name_takes_no_link_away(root: Client, kind: JobType, mine: Organization) -> None:
    others = [django_admin.AdminSite() for _ in range(200)]
    assert {site.name for site in others} == {"admin"}
    assert url("organization", "change", mine.pk) in text(root, group(die(kind, mine)))


class HostAdmin(BaseAdmin):
    """A host's admin that shows its organizations to nobody but Ann, and to her one of them alone."""

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        return bool(request.user.get_username() == "ann")

    has_change_permission = has_view_permission

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).filter(name="ORG-MINE")


def test_a_hosts_own_admin_of_organizations_is_asked(
    monkeypatch: pytest.MonkeyPatch, root: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    reverse("admin:index")  # the addresses are read once: not from the registry of this test
    registry: Any = django_admin.site._registry
    monkeypatch.setitem(registry, Organization, HostAdmin(Organization, django_admin.site))
    job = die(kind, mine)
    die(kind, theirs)
    ann = make_system_admin("ann")
    User.objects.filter(pk=ann.pk).update(is_staff=True)
    own, foreign = url("organization", "change", mine.pk), url("organization", "change", theirs.pk)
    for address in (group(job), url("failure", "changelist")):
        page = text(admin.client_of(ann), address)
        assert (own in page, foreign in page) == (True, False)
        assert own not in text(root, address)
