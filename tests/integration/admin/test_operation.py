"""Operations in the admin: how one is ordered, held and told of, and who may what."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils.text import capfirst

from django_jobs.models import ExecutionLog, Job, JobType, Membership, Operation, Organization
from django_jobs.statuses import Status
from tests.support import admin, verbs
from tests.support.admin import codes_on, codes_said, remembered, text, url
from tests.support.alerts import scheduler_ticks
from tests.support.brokers import end, pending_job, raised, reread
from tests.support.brokers import start as run
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.failures import die, group, order
from tests.support.operations import start, work_off
from tests.support.ticks import WholeScheduler
from tests.support.verbs import JobFilter

pytestmark = pytest.mark.usefixtures("broker")

VIEW = ["django_jobs.view_job"]


def numbers(told: str) -> list[str]:
    return re.findall(r"\d[\d,.]*(?<=\d)", told)


@pytest.fixture
def kind() -> JobType:
    return make_job_type(type_name="mails")


@pytest.fixture
def boss(mine: Organization) -> Client:
    """Staff who manages one organization."""
    return admin.staff_of(mine, role="admin", permissions=VIEW)


def test_a_click_starts_an_operation_that_the_scheduler_works_off(
    root: Client, kind: JobType, mine: Organization
) -> None:
    jobs = [die(kind, mine) for _ in range(2)]
    response = order(root, jobs[0])
    WholeScheduler("one").tick()
    assert response.context["total_text"] == "2"
    assert Status.DEAD_LETTER not in [reread(job).status for job in jobs]


def test_it_is_remembered_who_started_it(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    order(root, job, per_minute=6)
    WholeScheduler("one").tick()
    ((user, told),) = remembered(Operation.objects.get())
    assert user == "root"
    assert [part in told for part in ("retry", "Dead Letter", "mails", "6")] == [True] * 4
    assert ExecutionLog.objects.get(job=job, from_status="Dead Letter").actor == "root"


def test_a_group_can_be_deleted(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    order(root, job, verb="delete")
    WholeScheduler("one").tick()
    assert not Job.objects.filter(pk=job.pk).exists()


@pytest.mark.parametrize(("verb", "state"), [("pause", "paused"), ("stop", "stopped")])
def test_an_operation_can_be_held(verb: str, state: str, root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    operation = Operation.objects.get()
    response = root.post(url("operation", verb, operation.pk), follow=True)
    assert codes_said(response) == [state]
    assert Operation.objects.get().state == state
    assert [user for user, _ in remembered(operation)] == ["root", "root"]


def test_who_comes_second_is_told(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    operation = Operation.objects.get()
    verbs.stop_operation(operation)
    response = root.post(url("operation", "pause", operation.pk), follow=True)
    assert codes_said(response) == ["over"]
    assert Operation.objects.get().state == "stopped"


def test_an_operation_tells_honestly_what_it_did_not_do(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    other = next(item for item in Operation.Refusal if item != Operation.Refusal.DEAD_PARENT)
    Operation.objects.update(refused={str(other): 1, "dead_parent": 4}, changed=2, total=9)
    response = root.get(url("operation", "change", Operation.objects.get().pk))
    refusal = Operation.Refusal.DEAD_PARENT.label
    assert response.context["refused"] == [(4, refusal), (1, other.label)]
    assert (response.context["seen"], response.context["total"]) == (7, 9)
    assert f": {refusal}." in response.content.decode()
    assert numbers(response.context["outcome"]) == ["2"]


def test_an_operation_without_scheduler_says_that_it_waits(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    assert codes_on(text(root, url("operation", "change", Operation.objects.get().pk))) == ["scheduler_silent"]


def test_only_one_that_goes_on_says_how_long_it_will_take(root: Client, kind: JobType, mine: Organization) -> None:
    WholeScheduler("leader-1").tick()
    order(root, die(kind, mine), per_minute=60)
    operation = Operation.objects.get()
    response = root.get(url("operation", "change", operation.pk))
    assert response.context["time_left"] in response.content.decode()
    assert numbers(response.context["time_left"]) == ["1.0"]
    assert len(response.context["switches"]) == 2
    running = response.context["switches"][0]
    verbs.pause_operation(operation)
    response = root.get(url("operation", "change", operation.pk))
    assert response.context["time_left"] == ""
    assert (len(response.context["switches"]), response.context["switches"][0] != running) == (2, True)


def test_one_that_is_done_has_no_buttons(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    Operation.objects.update(state="done")
    assert root.get(url("operation", "change", Operation.objects.get().pk)).context["switches"] == []


def test_an_organization_admin_acts_on_the_own_jobs_alone(
    boss: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    own, foreign = die(kind, mine), die(kind, theirs)
    order(boss, own)
    WholeScheduler("one").tick()
    assert reread(own).status != Status.DEAD_LETTER
    assert reread(foreign).status == Status.DEAD_LETTER


def test_staff_see_their_own_operations_alone(boss: Client, root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    order(root, job)
    operation = Operation.objects.get()
    assert boss.get(url("operation", "changelist")).context["cl"].result_count == 0
    assert boss.get(url("operation", "change", operation.pk)).status_code == 302
    boss.post(url("operation", "stop", operation.pk))
    assert Operation.objects.get().state == "running"
    assert boss.get(group(job)).context["operations"] == []


def test_who_left_is_told_no_new_name_of_the_organization_and_no_error_or_id_of_its_jobs(
    subtests: pytest.Subtests, boss: Client, kind: JobType, mine: Organization
) -> None:
    job = die(kind, mine)
    operation = start(JobFilter(organization=(mine.pk,)), User.objects.get(), try_first=True)
    work_off()
    end(raised(run(reread(job)), "Permanent", text="a secret"))
    work_off()
    Organization.objects.filter(pk=mine.pk).update(name="ORG-RENAMED")
    page = url("operation", "change", operation.pk)
    told = text(boss, page)
    hidden = ("ORG-RENAMED", "a secret", job.name)
    assert all(item in told for item in hidden)
    Membership.objects.all().delete()
    lists = [url(model, "changelist") for model in ("operation", "job")]
    for address in (page, *lists, reverse("admin:django_jobs_monitor_changelist")):
        with subtests.test(address):
            told = text(boss, address)
            assert page.removesuffix("change/") in told
            assert not any(item in told for item in hidden)
            assert f"organization={mine.name}" not in told


def test_hidden_values_that_a_filter_names_are_masked(root: Client, mine: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("token",)}
    pending_job(organization=mine, parameters={"token": "xyzzy"})
    operation = start(JobFilter(parameters=((("token",), "xyzzy"),)), None, "cancel")
    other = admin.system_admin()
    pages = [url("operation", "changelist"), url("operation", "change", operation.pk), url("job", "changelist")]
    for address in (*pages, reverse("admin:django_jobs_monitor_changelist")):
        assert ("xyzzy" in text(root, address), "xyzzy" in text(other, address)) == (True, False)


def test_an_operation_cannot_be_switched_by_a_link(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    assert root.get(url("operation", "stop", Operation.objects.get().pk)).status_code == 405


def test_an_operation_that_is_gone_is_said_to_be(root: Client) -> None:
    assert codes_said(root.post(url("operation", "stop", 999), follow=True)) == ["gone"]


def test_operations_are_listed(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))

    def cells() -> list[str]:
        return re.findall(r'class="field-progress[^>]*>([^<]*)<', text(root, url("operation", "changelist")))

    (exact,) = cells()
    assert numbers(exact) == ["0", "1"]
    Operation.objects.update(has_more=True)
    (at_least,) = cells()
    assert (numbers(at_least), at_least != exact) == (["0", "1"], True)


@pytest.mark.parametrize("model", ["operation", "job", "failure", "monitor"])
def test_the_organization_that_an_operation_is_about_is_named(root: Client, model: str) -> None:
    tenant = die(make_job_type(), make_organization(), "Down").organization
    start(JobFilter(organization=(tenant.pk,), status=(Status.DEAD_LETTER,)), None)
    address = reverse("admin:django_jobs_monitor_changelist") if model == "monitor" else url(model, "changelist")
    assert tenant.name in text(root, address)


def test_the_way_to_an_operation_begins_with_a_capital_letter(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    operation = Operation.objects.get()
    assert capfirst(str(operation)) in text(root, url("operation", "change", operation.pk))


def test_whoever_started_an_operation_may_be_deleted(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    User.objects.get(username="root").delete()
    assert "root" in text(
        admin.client_of(make_user("other", is_staff=True, is_superuser=True)), url("operation", "changelist")
    )


def test_the_rate_can_be_changed(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine), per_minute=1)
    pk = Operation.objects.get().pk
    assert codes_said(root.post(url("operation", "rate", pk), {"rate": "500"}, follow=True)) == ["rate_changed"]
    assert admin.actors(Operation.objects.get()) == ["root", "root"]
    assert root.get(url("operation", "change", pk)).context["rate_form"].initial == {"rate": 500}
    assert Operation.objects.get().per_minute == 500
    root.post(url("operation", "rate", pk), {"rate": ""})
    assert Operation.objects.get().per_minute is None
    assert codes_said(root.post(url("operation", "rate", pk), {"rate": "0"}, follow=True))[-1] == "invalid_rate"
    assert Operation.objects.get().per_minute is None
    assert root.get(url("operation", "rate", pk)).status_code == 405
    Operation.objects.update(state="done")
    assert codes_said(root.post(url("operation", "rate", pk), {"rate": "7"}, follow=True))[-1] == "over"
    assert Operation.objects.get().per_minute is None


def test_the_outcome_leads_to_the_jobs(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    Operation.objects.update(changed=2956, outcome={"Completed": 2801, "Dead Letter": 155}, is_settled=True)
    pk = Operation.objects.get().pk

    def outcome() -> str:
        response = root.get(url("operation", "change", pk))
        told: str = response.context["outcome"]
        assert f"<strong>{told}</strong>" in response.content.decode()
        return told

    assert numbers(outcome()) == ["2,956", "2,801", "155"]
    assert f"/admin/django_jobs/job/?operation={pk}" in text(root, url("operation", "change", pk))
    Operation.objects.update(outcome={"Completed": 2800, "Canceled": 1, "Running": 155}, has_more=True)
    assert numbers(outcome()) == ["2,956", "2,800", "1", "155"]
    Operation.objects.update(outcome={"Completed": 2801}, has_more=False)
    at_least = outcome()
    assert numbers(at_least) == ["2,956", "2,801"]
    Operation.objects.update(changed=2801)
    assert outcome() != at_least.replace("2,956", "2,801"), "What is counted in part is told as such."


def test_what_is_read_out_says_how_far_it_is_and_why_it_holds(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    WholeScheduler("one").tick()
    Operation.objects.update(total=57_000, changed=2956, outcome={"Dead Letter": 3}, state="running")
    pk = Operation.objects.get().pk
    page = url("operation", "change", pk)
    told, before = admin.news(root, page)
    assert str(Operation.State.RUNNING.label) in told
    assert numbers(told) == [str(pk), "2,956", "57,000", "3"]
    Operation.objects.update(changed=2957)
    assert admin.news(root, page)[1] == before
    Operation.objects.update(state="paused", reason="too_many_failed")
    told, after = admin.news(root, page)
    assert str(Operation.State.PAUSED.label) in told
    assert told.endswith(str(Operation.Reason.TOO_MANY_FAILED.label))
    assert numbers(told) == [str(pk), "2,957", "57,000", "3"]
    assert after != before


def test_a_scheduler_that_is_silent_is_read_out(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    page = url("operation", "change", Operation.objects.get().pk)
    silent, state = admin.news(root, page)
    scheduler_ticks()
    told, other_state = admin.news(root, page)
    assert silent.startswith(f"{told} ")
    assert other_state != state
