"""The bar of the app's own pages: what it shows, to whom, and how much that costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

import django_jobs
from django_jobs import submit_job
from django_jobs.models import Organization
from tests.support import verbs
from tests.support.admin import staff_of, superuser, text, url
from tests.support.alerts import scheduler_ticks
from tests.support.batches import make_batch
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type, make_organization
from tests.support.failures import die
from tests.support.operations import start
from tests.support.tuning import Tuning, forget_everything
from tests.support.verbs import JobFilter

TEMPLATES: Final = Path(django_jobs.__file__).parent / "templates/admin/django_jobs"
#: What extends Django's own pages; everything else extends one of these.
FRAMES: Final = {
    "app_index.html",
    "index.html",
    "base_site.html",
    "change_form.html",
    "change_list.html",
    "delete_confirmation.html",
    "delete_selected_confirmation.html",
    "object_history.html",
}

pytestmark = pytest.mark.usefixtures("broker", "organization")


@pytest.fixture
def bar_numbers() -> None:
    """They are what is tested here."""


@pytest.fixture
def organization(db: None) -> Organization:
    return make_organization()


def entries(client: Client, address: str) -> dict[str, Any]:
    """The bar's entries on a page, by model."""
    response = client.get(address)
    assert response.status_code == 200
    return {entry.model: entry for entry in response.context["entries"]}


def counts(client: Client) -> dict[str, str]:
    """The numbers that an open page is told."""
    answer = client.get(reverse("admin:django_jobs_monitor_navigation")).json()["entries"]
    return {key: item["count"] for key, item in answer.items()}


def test_every_template_of_a_page_has_the_bar() -> None:
    bare = [
        str(path.relative_to(TEMPLATES))
        for path in TEMPLATES.rglob("*.html")
        if "{% extends" in (source := path.read_text())
        and 'extends "admin/django_jobs/' not in source
        and path.name not in {*FRAMES, "actions.html"}
    ]
    assert bare == []


@pytest.mark.parametrize(
    "address",
    [
        "",
        "job/",
        "jobtype/add/",
        "membership/",
        "executionlog/",
        "monitor/",
        "failure/",
        "organization/{pk}/change/",
        "organization/{pk}/history/",
        "organization/{pk}/delete/",
        "organization/{pk}/suspend/",
    ],
)
def test_pages_of_all_kinds_show_the_bar(address: str, organization: Organization) -> None:
    page = text(superuser(), f"/admin/django_jobs/{address.format(pk=organization.pk)}")
    assert page.count('class="djobs-nav"') == 1
    assert 'data-djobs-navigation="/admin/django_jobs/monitor/navigation/"' in page


def test_the_admins_index_and_pages_of_other_apps_have_no_bar() -> None:
    client = superuser()
    assert "djobs-nav" not in text(client, "/admin/")
    assert "djobs-nav" not in text(client, "/admin/auth/user/")


def test_a_page_in_a_popup_has_no_bar() -> None:
    assert "djobs-nav" not in text(superuser(), url("organization", "changelist"), _popup="1").replace("djobs-navi", "")


@pytest.mark.parametrize(
    ("page", "key", "current"),
    [
        (("monitor", "changelist"), "monitor", "page"),
        (("job", "changelist"), "job", "page"),
        (("operation", "changelist"), "operation", "page"),
        (("executionlog", "changelist"), "job", "true"),
        (("jobtype", "add"), "jobtype", "true"),
        (("membership", "changelist"), "organization", "true"),
    ],
)
def test_the_bar_marks_where_one_is(page: tuple[str, str], key: str, current: str) -> None:
    shown = entries(superuser(), url(*page))
    assert {name: entry.current for name, entry in shown.items() if entry.current} == {key: current}


def test_numbers_say_what_waits_or_runs_and_which_batches_are_open(organization: Organization) -> None:
    pending_job(organization=organization)
    make_batch(organization, close=False)
    told = counts(superuser())
    assert (told["job"], told["batch"]) == ("1", "1")


def test_operations_that_are_under_way_are_counted_for_who_sees_them(organization: Organization) -> None:
    kind = make_job_type()
    begun = [start(JobFilter(job_type=(kind.pk,)), None, "cancel") for _ in [pending_job(kind, organization)] * 3]
    verbs.pause_operation(begun[0])
    verbs.stop_operation(begun[1])
    assert counts(superuser())["operation"] == "2"
    assert counts(staff_of(organization))["operation"] == "0"


def test_an_operation_that_somebody_stops_is_counted_no_more(
    organization: Organization, django_capture_on_commit_callbacks: Any
) -> None:
    client, kind = superuser(), make_job_type()
    pending_job(kind, organization)
    operation = start(JobFilter(job_type=(kind.pk,)), None, "cancel")
    assert counts(client)["operation"] == "1"
    with django_capture_on_commit_callbacks(execute=True):
        client.post(url("operation", "stop", operation.pk))
    assert counts(client)["operation"] == "0"


@pytest.mark.parametrize("address", ["job/all/retry/?job_type=mails", "failure/act/"])
def test_an_operation_that_somebody_starts_is_counted_at_once(
    address: str, organization: Organization, django_capture_on_commit_callbacks: Any
) -> None:
    client = superuser()
    die(make_job_type(type_name="mails"), organization)
    assert counts(client)["operation"] == "0"
    with django_capture_on_commit_callbacks(execute=True):
        client.post(f"/admin/django_jobs/{address}", {"action": "retry_all", "job_type": "mails", "rate": "1"})
    assert counts(client)["operation"] == "1"


def test_staff_are_told_numbers_of_their_organizations_alone(organization: Organization) -> None:
    pending_job(organization=organization)
    other = make_organization(name="ORG-ELSEWHERE")
    job_in("Dead Letter", organization=organization)
    for status in ("Running", "Failed", "Dead Letter"):
        job_in(status, organization=other)
    submit_job(make_job_type(), other, depends_on=[pending_job(organization=other)])
    make_batch(other, close=False)
    told = counts(staff_of(organization))
    assert (told["job"], told["batch"], told["failure"]) == ("1", "0", "1")
    told = counts(superuser())
    assert (told["job"], told["batch"], told["failure"]) == ("5", "1", "3")


def test_nobody_is_told_what_was_read_for_staff_of_another_organization(organization: Organization) -> None:
    other = make_organization(name="ORG-ELSEWHERE")
    pending_job(organization=organization)
    clients = [staff_of(organization), staff_of(other, role="admin")]
    assert [counts(client)["job"] for client in clients] == ["1", "0"]


def test_staff_find_the_pages_alone_that_they_may_see(organization: Organization) -> None:
    client = staff_of(organization, permissions=["django_jobs.view_job"])
    assert list(entries(client, url("job", "changelist"))) == [
        "monitor",
        "alert",
        "failure",
        "job",
        "operation",
        "batch",
    ]


def test_staff_without_any_permission_are_told_nothing(organization: Organization) -> None:
    assert counts(staff_of(organization, permissions=[])) == {}


def test_who_is_not_logged_in_is_sent_to_do_so() -> None:
    assert Client().get(reverse("admin:django_jobs_monitor_navigation")).status_code == 302


def test_numbers_end_at_a_bound(organization: Organization, tuning: Tuning) -> None:
    tuning.set(capped_count_rows=2)
    for _ in range(3):
        pending_job(organization=organization)
    assert counts(superuser())["job"] == "2+"


def test_numbers_are_read_once_in_some_seconds(
    organization: Organization, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = superuser()
    counts(client)
    with django_assert_max_num_queries(2):  # the session and its user
        counts(client)


def test_the_bar_counts_open_alarms_and_marks_them() -> None:
    client = superuser()
    assert counts(client)["alert"] == "1"  # nobody runs a scheduler here
    scheduler_ticks()
    forget_everything()
    entry = entries(client, url("job", "changelist"))["alert"]
    assert (entry.count, entry.is_alarm) == ("0", False)


def test_numbers_are_read_again_after_some_seconds(organization: Organization, tuning: Tuning) -> None:
    tuning.set(navigation_counts_seconds=0.0)
    client = superuser()
    assert counts(client)["job"] == "0"
    pending_job(organization=organization)
    assert counts(client)["job"] == "1"
