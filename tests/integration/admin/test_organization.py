"""Organizations in the admin: what waits and runs, and suspending them with open eyes."""

from __future__ import annotations

import re

import pytest
from django.test import Client, TestCase
from django.utils.html import escape, strip_tags
from pytest_django import Settings

from django_jobs.exceptions import OrganizationInactive
from django_jobs.models import Organization
from django_jobs.statuses import WITH_ERRORS
from tests.support import admin
from tests.support.admin import codes_on, codes_said, remembered, text, url
from tests.support.brokers import job_in, pending_job, reread, running_job
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")

LIST = "/admin/django_jobs/organization/"


@pytest.fixture
def mine() -> Organization:
    return make_organization(name="ORG-MINE", title="Mine")


def test_the_list_tells_backlog_and_running(root: Client, mine: Organization) -> None:
    pending_job(organization=mine)
    running_job(organization=mine)
    job_in("Completed", organization=mine)
    row = root.get(LIST, {"q": "ORG-MINE"}).context["cl"].result_list[0]
    assert (str(row.shown_backlog), row.shown_in_flight) == ("1", "1")


def test_angle_brackets_of_a_help_text_are_words_for_everybody(root: Client, mine: Organization) -> None:
    for client in (root, admin.staff_of(mine)):
        page = text(client, url("organization", "change", mine.pk))
        assert str(escape(Organization._meta.get_field("name").help_text)) in page
        assert "ORG-<" not in page


def test_the_list_leads_to_what_failed_of_each(root: Client, mine: Organization, theirs: Organization) -> None:
    failed = [job_in(status, organization=mine) for status in ("Failed", "Timed Out", "Dead Letter")]
    job_in("Completed", organization=mine)
    page = text(root, LIST)
    failed_all = "status=Dead+Letter&amp;status=Failed&amp;status=Timed+Out"
    address = f"/admin/django_jobs/job/?{failed_all}&amp;organization={mine.name}"
    cells = re.findall(r'<td [^>]*class="field-failed">(.*?)</td>', page)
    assert sorted(cells) == ["0"] * (Organization.objects.count() - 1) + [f'<a href="{address}">3</a>']
    assert admin.listed(root, status=sorted(WITH_ERRORS), organization=mine.name) == failed[::-1]


def test_the_list_counts_to_a_bound(root: Client, mine: Organization, tuning: Tuning) -> None:
    tuning.set(load_page_jobs=1)
    pending_job(organization=mine)
    pending_job(organization=mine)
    row = root.get(LIST, {"q": "ORG-MINE"}).context["cl"].result_list[0]
    assert str(row.shown_backlog) == "2+"


def test_the_page_tells_load_and_limits(
    root: Client, mine: Organization, theirs: Organization, settings: Settings
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 7}
    for organization in (mine, theirs):
        pending_job(organization=organization)
        running_job(organization=organization)
        for status in ("Failed", "Dead Letter", "Dead Letter"):
            job_in(status, organization=organization)
    context = root.get(url("organization", "change", mine.pk)).context
    assert [strip_tags(count) for _words, count in context["load_rows"]] == ["1", "1", "0", "1", "2"]
    assert (context["most_waiting"], context["most_in_flight"]) == (7, 100)


def test_suspending_says_what_it_does_and_does_it(root: Client, mine: Organization) -> None:
    pending_job(organization=mine)
    running_job(organization=mine)
    *_, load = root.get(url("organization", "suspend", mine.pk)).context["consequences"]
    assert re.findall(r"\d+", strip_tags(load)) == ["1", "0", "0", "1", "0"]
    assert Organization.objects.get(pk=mine.pk).is_active
    root.post(url("organization", "suspend", mine.pk))
    assert not Organization.objects.get(pk=mine.pk).is_active
    assert [user for user, _ in remembered(mine)] == ["root"]


def test_reactivating_lets_the_jobs_go_on(root: Client, mine: Organization) -> None:
    Organization.objects.filter(pk=mine.pk).update(is_active=False)
    mine.refresh_from_db()
    with pytest.raises(OrganizationInactive):
        pending_job(organization=mine)
    Organization.objects.filter(pk=mine.pk).update(is_active=True)
    job = pending_job(make_job_type(), mine)
    Organization.objects.filter(pk=mine.pk).update(is_active=False)
    *_, load = root.get(url("organization", "reactivate", mine.pk)).context["consequences"]
    assert re.findall(r"\d+", strip_tags(load)) == ["1", "0", "0", "0", "0"]
    with TestCase.captureOnCommitCallbacks(execute=True):
        root.post(url("organization", "reactivate", mine.pk))
    assert reread(job).status == "Queued"


def test_who_suspends_second_is_told(root: Client, mine: Organization) -> None:
    Organization.objects.update(is_active=False)
    assert codes_on(text(root, url("organization", "suspend", mine.pk))) == ["nothing_to_do"]
    assert codes_said(root.post(url("organization", "suspend", mine.pk), follow=True)) == ["already_suspended"]
    assert remembered(mine) == []


def test_the_form_does_not_suspend_by_the_way(root: Client, mine: Organization) -> None:
    root.post(url("organization", "change", mine.pk), {"name": "ORG-MINE", "title": "New"})
    mine.refresh_from_db()
    assert (mine.title, mine.is_active) == ("New", True)


@pytest.mark.parametrize("verb", ["suspend", "reactivate"])
def test_only_system_admins_suspend(mine: Organization, verb: str) -> None:
    manager = admin.staff_of(mine, role="admin")
    assert manager.get(url("organization", verb, mine.pk)).status_code == 403
    assert manager.post(url("organization", verb, mine.pk)).status_code == 403
    assert url("organization", verb, mine.pk) not in text(manager, url("organization", "change", mine.pk))


def test_an_organization_that_is_gone_is_said_to_be_gone(root: Client, mine: Organization) -> None:
    address = url("organization", "suspend", mine.pk)
    mine.delete()
    assert codes_said(root.post(address, follow=True)) == ["gone"]


@pytest.mark.parametrize("model", ["organization", "membership"])
def test_staff_see_what_is_of_their_own_organizations_alone(
    mine: Organization, theirs: Organization, model: str
) -> None:
    make_user("bob", member_of=[theirs])
    member = admin.staff_of(mine, permissions=["django_jobs.view_organization", "django_jobs.view_membership"])
    shown = list(member.get(url(model, "changelist")).context["cl"].result_list)
    assert [getattr(row, "organization", row) for row in shown] == [mine]
