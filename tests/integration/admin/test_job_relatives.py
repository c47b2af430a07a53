"""The jobs around a job: its parents and children as a graph, what it submitted and what submitted it."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from django_jobs.models import Job, Organization
from tests.support import admin, verbs
from tests.support.admin import codes_on, fact_on, page_of, url
from tests.support.attempts import FreeRunner
from tests.support.brokers import pending_job, start
from tests.support.factories import make_job_type
from tests.support.operations import start as start_operation
from tests.support.tuning import Tuning
from tests.support.verbs import JobFilter

pytestmark = pytest.mark.usefixtures("broker")


def submitted_from(parent: Job, number: int) -> list[Job]:
    """The jobs that the parent's handler submitted."""
    context = verbs.context_for(start(parent), FreeRunner())
    kind = make_job_type()
    return [context.submit_job(kind, {"n": place}) for place in range(number)]


def submitted(client: Client, job: Job) -> list[str]:
    """How many jobs its handler submitted, as the page of a job says."""
    found = re.findall(r'data-djobs-fold="submitted"[^>]*><summary>(.*?)</summary>', page_of(client, job))
    return [number for heading in found for number in re.findall(r"\((\d+\+?)\)", heading)]


def test_a_job_is_drawn_between_its_parents_and_children(root: Client) -> None:
    parent = pending_job()
    job = pending_job(parent.job_type, parent.organization, depends_on=[parent])
    child = pending_job(parent.job_type, parent.organization, depends_on=[job])
    drawing = root.get(url("job", "change", job.pk)).context["family"]
    places = [drawing.index(f'href="{url("job", "change", item.pk)}"') for item in (parent, job, child)]
    assert places == sorted(places)
    assert drawing.count('aria-current="page"') == 1
    assert f'href="{url("job", "change", job.pk)}" aria-current="page"' in drawing


def test_of_a_large_family_some_are_drawn_and_the_rest_is_counted(root: Client) -> None:
    parent = pending_job()
    for _ in range(12):
        pending_job(parent.job_type, parent.organization, depends_on=[parent])
    page = page_of(root, parent)
    assert page.count("djobs-node ") == 1 + verbs.DRAWN_RELATIVES
    told = page.partition('data-code="more_children">')[2].partition("</p>")[0]
    assert re.findall(r"\d+", told) == ["6"]
    assert "more_parents" not in codes_on(page)


def test_a_job_and_what_its_handler_submitted_lead_to_each_other(root: Client) -> None:
    parent = pending_job()
    (made,) = submitted_from(parent, 1)
    assert submitted(root, parent) == ["1"]
    assert f'href="{url("job", "change", made.pk)}"' in page_of(root, parent)
    link = f'<a href="{url("job", "change", parent.pk)}">{parent.name}</a>'
    before, _, after = fact_on(page_of(root, made), "submitter").partition(link)
    assert (before, re.findall(r"\d+", after)) == ("", ["1"])


def test_of_many_that_were_submitted_the_newest_are_shown(root: Client, tuning: Tuning) -> None:
    tuning.set(job_page_child_jobs=11)
    parent = pending_job()
    made = submitted_from(parent, 12)
    page = page_of(root, parent)
    assert submitted(root, parent) == ["11+"]
    assert sum(job.name in page for job in made) == verbs.RELATIVES_ROWS


def test_what_was_submitted_for_others_is_not_told(mine: Organization, theirs: Organization) -> None:
    parent = pending_job(organization=mine)
    (made,) = submitted_from(parent, 1)
    Job.objects.filter(pk=made.pk).update(organization=theirs)
    assert submitted(admin.staff_of(mine), parent) == []
    assert submitted(admin.superuser(), parent) == ["1"]


def test_a_job_of_others_that_submitted_one_is_not_told(root: Client, mine: Organization, theirs: Organization) -> None:
    parent = pending_job(organization=theirs)
    (made,) = submitted_from(parent, 1)
    Job.objects.filter(pk=made.pk).update(organization=mine)
    assert parent.name in page_of(root, made)
    staff = admin.staff_of(mine)
    assert parent.name not in page_of(staff, made)
    Job.objects.filter(pk=parent.pk).update(organization=mine)
    assert parent.name in page_of(staff, made)


def test_a_job_leads_to_the_operation_that_acted_on_it(root: Client, mine: Organization) -> None:
    job = pending_job(organization=mine)
    other = pending_job(organization=mine)
    started = start_operation(JobFilter(organization=(mine.pk,)), None, "cancel")
    Job.objects.filter(pk=job.pk).update(operation_id=started.pk)
    Job.objects.filter(pk=other.pk).update(operation_id=started.pk + 1)
    address = url("operation", "change", started.pk)
    assert re.search(rf'<a href="{address}">[^<]*\b{started.pk}</a>', page_of(root, job))
    assert address not in page_of(admin.staff_of(mine), job)
    assert url("operation", "change", started.pk + 1) not in page_of(root, other)  # it is deleted by now
