"""Acting on all jobs that match from the jobs list: what is counted and asked, and what is started."""

from __future__ import annotations

import datetime as dt
import re
from types import SimpleNamespace
from typing import Any, Final

import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from django_jobs import schedule_job
from django_jobs.models import ExecutionLog, Job, JobType, Membership, Operation
from django_jobs.statuses import Priority, Status
from tests.support import admin, verbs
from tests.support.admin import chosen, codes_on, codes_said, text, url
from tests.support.batches import make_batch
from tests.support.brokers import job_in, pending_job, reread
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.job_copies import copies_by_sql
from tests.support.operations import dead, finish
from tests.support.tuning import Tuning
from tests.support.verbs import FILTER_TERMS, JobAdmin, JobFilter

pytestmark = pytest.mark.usefixtures("broker")

LIST: Final = "/admin/django_jobs/job/"
LATER: Final = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def root() -> Client:
    return admin.client_of(make_user("root", is_staff=True, is_superuser=True))


@pytest.fixture
def kind() -> JobType:
    return make_job_type(type_name="mails")


def meant(client: Client, address: str) -> int | None:
    """How many jobs the page that asks says that it is about; None where it asks for nothing."""
    page = client.get(address)
    number = page.context.get("number")
    if number is None:
        assert codes_on(page)[:1] == ["nothing_matches"]
    else:
        assert re.search(rf"<strong[^>]*>[^<]*\b{number}\b", page.content.decode())
    return None if number is None else int(number)


def page_of(action: str, query: str = "job_type=mails") -> str:
    return f"{LIST}all/{action}/?{query}"


def started(client: Client, action: str, query: str = "job_type=mails", **fields: Any) -> Operation:
    response = client.post(page_of(action, query), {"csrf": "", **fields})
    operation = Operation.objects.latest("pk")
    assert response["Location"] == url("operation", "change", operation.pk), response.content.decode()
    return operation


def test_the_list_has_a_button_for_each_action_on_all_that_match(root: Client, kind: JobType) -> None:
    pending_job(job_type=kind)
    page = text(root, f"{LIST}?job_type=mails")
    for action in ("retry", "cancel", "delete", "set_priority", "run_now"):
        assert f"{LIST}all/{action}/?job_type=mails" in page


def test_a_list_without_jobs_has_none(root: Client, kind: JobType) -> None:
    assert "/all/" not in text(root, f"{LIST}?job_type=mails")


def test_the_page_counts_tells_the_filter_and_changes_nothing(root: Client, kind: JobType) -> None:
    job = pending_job(job_type=kind)
    address = page_of("cancel", "job_type=mails&status=Pending")
    assert meant(root, address) == 1
    assert set(re.findall(r"<dd><bdi>([^<]*)</bdi></dd>", text(root, address))) == {"Pending", "mails"}
    assert reread(job).status == Status.PENDING


def test_all_that_match_are_canceled_and_no_others(root: Client, kind: JobType) -> None:
    jobs, other = [pending_job(job_type=kind) for _ in range(3)], pending_job()
    assert finish(started(root, "cancel")).changed == 3
    assert [reread(job).status for job in jobs] == [Status.CANCELED] * 3
    assert reread(other).status == Status.PENDING


def test_the_failed_of_one_tenant_are_retried(root: Client, kind: JobType) -> None:
    mine = make_organization()
    own, foreign = dead(kind, 1, mine)[0], dead(kind, 1)[0]
    query = f"organization={mine.name}&status=Dead+Letter"
    finish(started(root, "retry", query))
    assert [reread(own).status, reread(foreign).status] == [Status.PENDING, Status.DEAD_LETTER]


def test_all_jobs_of_a_schedule_are_those_of_its_organization(root: Client, kind: JobType) -> None:
    schedules = [schedule_job("nightly", kind, make_organization(), every=60) for _ in range(2)]
    firings = [verbs.fire_now(schedule) for schedule in schedules]
    finish(started(root, "cancel", f"schedule={schedules[0].name}&organization={schedules[0].organization.name}"))
    own, foreign = (Job.objects.get(pk=firing.job_id or 0) for firing in firings)
    assert (own.status, foreign.canceled_at) == (Status.CANCELED, None)


def test_all_that_failed_are_meant_by_one_choice(root: Client, kind: JobType) -> None:
    jobs = [job_in(status, job_type=kind) for status in ("Failed", "Timed Out", "Dead Letter", "Completed")]
    assert finish(started(root, "retry", "status=Failed&status=Timed+Out&status=Dead+Letter")).changed == 3
    assert [reread(job).status for job in jobs] == [*[Status.PENDING] * 3, Status.COMPLETED]


def test_more_than_the_bound_of_a_list_are_counted(root: Client, kind: JobType, tuning: Tuning) -> None:
    tuning.set(capped_count_rows=2)
    copies_by_sql(pending_job(job_type=kind), 4)
    assert meant(root, page_of("cancel")) == 5
    tuning.set(counting_seconds=0, counting_rows_of_a_statement=1)
    assert meant(root, page_of("cancel")) == 2
    assert "more_than" in codes_on(text(root, page_of("cancel")))


def test_how_long_it_takes_says_by_what_it_goes(root: Client, kind: JobType) -> None:
    copies_by_sql(pending_job(job_type=kind), 2)
    page = root.get(page_of("cancel"))
    assert "full_speed" in codes_on(page)
    assert re.findall(r"[\d.,]*\d", page.context["time"]) == ["1.0"]
    asked = {"action": "cancel", "count": "57000", "rate": ""}
    assert "41 s" in root.get(f"{LIST}all/time/", asked).json()["text"]
    now = timezone.now()
    fields: dict[str, Any] = {"changed": 5_000, "started_at": now - dt.timedelta(seconds=10), "ended_at": now}
    Operation.objects.create(action="cancel", filters={}, state="done", released_until=now, last_id=1, **fields)
    assert "1 min 54 s" in root.get(f"{LIST}all/time/", asked).json()["text"]


@pytest.mark.parametrize(
    ("query", "code", "told"),
    [
        ({"count": "57000", "rate": ""}, "full_speed", "41 s"),
        ({"count": "57000", "rate": "600"}, "rate", "1 h 35 min"),
        ({"count": "57000", "rate": "600", "is_capped": "1"}, "rate_at_least", "1 h 35 min"),
        ({"count": "57000", "rate": "", "is_capped": "1"}, "full_speed_at_least", "41 s"),
        ({"count": "57000", "rate": "0"}, "min_value", ""),
        ({"count": "57000", "rate": "many"}, "invalid", ""),
        ({"count": "1000", "rate": "60000"}, "rate", "1.0 s"),
    ],
    ids=str,
)
def test_a_typed_rate_is_told_how_long_it_takes(query: dict[str, str], code: str, told: str, root: Client) -> None:
    answer = root.get(f"{LIST}all/time/", {"action": "cancel", **query}).json()
    assert answer["code"] == code
    assert told in answer["text"]
    assert answer["text"]


@pytest.mark.parametrize("query", ["", "action=explode&count=1", "action=cancel&count=x", "action=cancel"])
def test_of_nothing_no_time_is_told(query: str, root: Client) -> None:
    assert root.get(f"{LIST}all/time/?{query}").status_code == 404


@pytest.mark.parametrize("page", ["all/time/?action=cancel&count=1", "under-way/"])
def test_who_sees_no_jobs_is_told_nothing(page: str) -> None:
    assert admin.staff_of(make_organization(), permissions=[]).get(f"{LIST}{page}").status_code == 403


def test_the_list_tells_what_is_under_way(root: Client, kind: JobType) -> None:
    pending_job(job_type=kind)
    assert "djobs-under-way" not in text(root, LIST)
    begun = [started(root, "cancel"), started(root, "cancel")]
    told = root.get(f"{LIST}?job_type=mails").context["under_way"]
    assert [row[1] for row in told["rows"]] == [url("operation", "change", item.pk) for item in begun[::-1]]
    assert f'data-djobs-refresh="{LIST}under-way/"' in text(root, LIST)
    part = text(root, f"{LIST}under-way/")
    assert (codes_on(part), "<html" in part) == (["under_way"], False)
    for item in begun:
        finish(item)
    assert "data-djobs-over" in text(root, f"{LIST}under-way/")


def test_of_many_the_list_tells_some_and_leads_to_the_others(root: Client, kind: JobType) -> None:
    pending_job(job_type=kind)
    operation = started(root, "cancel")
    for number in range(4):
        operation.pk, operation.filters = None, {"job_type": [f"type_{number}"]}
        operation.save(force_insert=True)
    told = root.get(LIST).context["under_way"]
    assert (len(told["rows"]), told["more"]) == (3, 2)
    assert re.search(rf'<a href="{url("operation", "changelist")}">[^<]*\b2\b', text(root, LIST))


def test_rate_and_care_are_chosen(root: Client, kind: JobType) -> None:
    dead(kind, 1)
    operation = started(root, "retry", rate="600", try_first="on", stop_above="20")
    assert (operation.per_minute, operation.tries_one_first, operation.stop_above) == (600, True, 0.2)


def test_the_priority_is_chosen(root: Client, kind: JobType) -> None:
    job = pending_job(job_type=kind)
    finish(started(root, "set_priority", value="3"))
    assert reread(job).priority == 3


def test_what_the_search_finds_is_meant_alone(root: Client, kind: JobType) -> None:
    wanted, other = pending_job(job_type=kind), pending_job(job_type=kind)
    finish(started(root, "cancel", f"q={wanted.name}"))
    assert [reread(wanted).status, reread(other).status] == [Status.CANCELED, Status.PENDING]


def test_a_search_that_means_nothing_finds_no_job(root: Client, kind: JobType) -> None:
    pending_job(job_type=kind)
    assert meant(root, page_of("cancel", "q=type:a+type:b")) is None


def test_a_list_that_nothing_narrows_wants_a_word_more(root: Client, kind: JobType) -> None:
    pending_job(job_type=kind)
    refused = root.post(page_of("cancel", ""), {})
    assert refused.context["form"].errors["everything"]
    assert not Operation.objects.exists()
    assert finish(started(root, "cancel", "", everything="on")).changed == 1


@pytest.mark.parametrize(("field", "value"), [("rate", "0"), ("rate", "many"), ("stop_above", "101")])
def test_what_cannot_be_is_said_at_its_field(field: str, value: str, root: Client, kind: JobType) -> None:
    dead(kind, 1)
    assert root.post(page_of("retry"), {field: value}).context["form"].errors[field]
    assert not Operation.objects.exists()


def test_jobs_that_are_gone_by_now_are_said_to_be(root: Client, kind: JobType) -> None:
    assert codes_said(root.post(page_of("retry"), {"rate": ""}, follow=True)) == ["nothing_matches"]


@pytest.mark.parametrize(
    "asked", ["job_type=gone", "organization=999999", "pool=gone", "priority=7", "created_after=ever"]
)
def test_a_filter_by_what_is_gone_names_no_job_instead_of_more(asked: str, root: Client, kind: JobType) -> None:
    (job,) = dead(kind, 1)
    query = f"status=Dead Letter&{asked}"
    page = root.get(f"{LIST}?{query}")
    assert list(page.context["cl"].result_list) == []
    name, _, value = asked.partition("=")
    (spec,) = (spec for spec in page.context["cl"].filter_specs if name in spec.expected_parameters())
    (told,) = (choice["display"] for choice in spec.choices(page.context["cl"]) if choice["selected"])
    assert value in told
    assert meant(root, page_of("delete", query)) is None
    assert codes_said(root.post(page_of("delete", query), {"csrf": ""}, follow=True)) == ["nothing_matches"]
    assert not Operation.objects.exists()
    assert Job.objects.filter(pk=job.pk).exists()


def test_who_lost_an_organization_after_the_question_acts_on_no_other_one(kind: JobType) -> None:
    kept, lost = make_organization(), make_organization()
    user = make_user(admin_of=[kept, lost], is_staff=True, permissions=["django_jobs.view_job"])
    (job,) = dead(kind, 1, kept)
    dead(kind, 1, lost)
    client, query = admin.client_of(user), f"organization={lost.name}"
    assert meant(client, page_of("retry", query)) == 1
    Membership.objects.filter(user=user, organization=lost).delete()
    client.post(page_of("retry", query), {"csrf": ""})
    assert not Operation.objects.exists()
    assert reread(job).status == Status.DEAD_LETTER


def test_staff_act_within_their_organizations(kind: JobType) -> None:
    mine = make_organization()
    own, foreign = pending_job(job_type=kind, organization=mine), pending_job(job_type=kind)
    boss = admin.client_of(make_user(admin_of=[mine], is_staff=True, permissions=["django_jobs.view_job"]))
    assert meant(boss, page_of("cancel")) == 1
    finish(started(boss, "cancel"))
    assert [reread(own).status, reread(foreign).status] == [Status.CANCELED, Status.PENDING]


def test_staff_who_may_not_are_refused(kind: JobType) -> None:
    mine = make_organization()
    dead(kind, 1, mine)
    member = admin.client_of(make_user(member_of=[mine], is_staff=True, permissions=["django_jobs.view_job"]))
    assert member.get(page_of("delete")).status_code == 403
    shown = text(member, f"{LIST}?job_type=mails")
    assert [f"all/{action}/" in shown for action in ("retry", "delete")] == [True, False]
    refused = member.post(page_of("retry"), {"rate": ""}, follow=True)
    assert codes_said(refused) == ["permission_denied"]
    assert admin.staff_of(mine, permissions=[]).get(page_of("cancel")).status_code == 403
    assert not Operation.objects.exists()


def test_of_a_page_of_the_list_that_is_gone_all_that_match_are_meant(
    root: Client, kind: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobAdmin, "list_per_page", 1)
    for _ in range(2):
        pending_job(job_type=kind)
    (buttons,) = {
        address
        for _, address in root.get(f"{LIST}?job_type=mails&o=1&p=2").context["act_on_all"]
        if "cancel" in address
    }
    assert buttons == page_of("cancel")
    assert root.get(page_of("cancel", "job_type=mails&p=999"), follow=True).redirect_chain == [(LIST, 302)]


def test_the_jobs_of_an_operation_are_listed(root: Client, kind: JobType) -> None:
    job = pending_job(job_type=kind)
    pending_job()
    operation = finish(started(root, "cancel"))
    response = root.get(f"{LIST}?operation={operation.pk}")
    assert [item.pk for item in response.context["cl"].result_list] == [job.pk]


@pytest.mark.parametrize("asked", ["999999", "x", "9" * 30])
def test_an_operation_that_there_is_not_has_no_jobs(asked: str, root: Client, kind: JobType) -> None:
    pending_job(job_type=kind)
    response = root.get(f"{LIST}?operation={asked}")
    assert list(response.context["cl"].result_list) == []
    assert f"operation: {asked}" in response.content.decode()
    assert meant(root, page_of("cancel", f"operation={asked}")) is None


def test_an_operation_of_somebody_else_has_no_jobs(root: Client, kind: JobType) -> None:
    mine = make_organization()
    pending_job(job_type=kind, organization=mine)
    operation = finish(started(root, "set_priority", value="3"))
    boss = admin.client_of(make_user(admin_of=[mine], is_staff=True, permissions=["django_jobs.view_job"]))
    assert list(boss.get(f"{LIST}?operation={operation.pk}").context["cl"].result_list) == []
    assert meant(boss, page_of("cancel", f"operation={operation.pk}")) is None


def test_errors_without_a_text_are_acted_on_alone(root: Client, kind: JobType) -> None:
    blank, other = dead(kind, 2)
    Job.objects.filter(pk=blank.pk).update(error_message="", error_fingerprint="")
    pending_job(job_type=kind)
    assert meant(root, page_of("retry", "job_type=mails&error_fingerprint=")) == 1
    finish(started(root, "delete", "job_type=mails&error_fingerprint="))
    assert not Job.objects.filter(pk=blank.pk).exists()
    assert Job.objects.count() == 2
    assert reread(other).status == Status.DEAD_LETTER


@pytest.mark.parametrize(("action", "field", "value"), [("run_now", "ready_at", None), ("set_priority", "priority", 0)])
def test_chosen_rows_are_done_at_once(action: str, field: str, value: Any, root: Client, kind: JobType) -> None:
    job = pending_job(job_type=kind, run_at=LATER if action == "run_now" else None)
    before = getattr(reread(job), field)
    assert codes_said(root.post(LIST, chosen(action, job, confirmed="yes", value="0"), follow=True)) == ["done"]
    assert getattr(reread(job), field) != before
    assert ExecutionLog.objects.filter(job=job).latest("pk").actor == "root"
    assert admin.actors(job) == ["root"]
    assert not Operation.objects.exists()


@pytest.mark.parametrize(("role", "priority"), [("member", Priority.NORMAL), ("admin", Priority.LOW)])
def test_chosen_rows_stay_that_staff_may_not_change(role: str, priority: int, kind: JobType) -> None:
    mine = make_organization()
    job = pending_job(job_type=kind, organization=mine)
    admin.staff_of(mine, role=role).post(LIST, chosen("set_priority", job, confirmed="yes", value="0"))
    assert reread(job).priority == priority


def test_chosen_rows_that_do_not_wait_are_not_told_as_done(root: Client, kind: JobType) -> None:
    (job,) = dead(kind, 1)
    answer = root.post(LIST, chosen("run_now", job, confirmed="yes", value=""), follow=True)
    assert codes_said(answer) == ["not_waiting"]


def test_each_filter_means_for_an_operation_just_the_jobs_that_the_list_shows(
    subtests: pytest.Subtests, root: Client, kind: JobType, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    tenant = make_organization()
    batch = make_batch(tenant, "Completed")
    jobs = {
        "in batch": batch.jobs.get(),
        "parent": pending_job(kind),
        "high": pending_job(kind, priority="High"),
        "owned": pending_job(kind, tenant, user=make_user("ann", member_of=[tenant])),
        "heavy": pending_job(make_job_type(type_name="heavy", pool="gpu")),
        "old": pending_job(kind),
        "failed": job_in("Failed", job_type=kind),
    }
    Job.objects.filter(pk=jobs["high"].pk).update(submitted_by_id=jobs["parent"].pk)
    Job.objects.filter(pk=jobs["old"].pk).update(created_at=timezone.now() - dt.timedelta(days=2))
    cases = {
        "priority=2": ["high"],
        "has_error=yes": ["failed"],
        "has_error=no": [*jobs.keys() - {"failed"}],
        "created_after=24h": [*jobs.keys() - {"old"}],
        "pool=gpu": ["heavy"],
        "owner=ann": ["owned"],
        "worker=worker-1": ["failed"],
        f"submitted_by={jobs['parent'].name}": ["high"],
        f"batch={batch.batch_id}": ["in batch"],
        "status=Failed&status=Timed+Out": ["failed"],
    }
    for query, names in cases.items():
        with subtests.test(query=query):
            shown = {job.pk for job in root.get(f"{LIST}?{query}").context["cl"].result_list}
            assert sorted(name for name, job in jobs.items() if job.pk in shown) == sorted(names)
            assert meant(root, page_of("cancel", query)) == len(names)
    for query in ("submitted_by=nobody", "batch=none", "schedule=999999"):
        with subtests.test(query=query):
            assert list(root.get(f"{LIST}?{query}").context["cl"].result_list) == []
            assert meant(root, page_of("cancel", query)) is None


def test_each_filter_of_the_list_is_known(root: Client, kind: JobType) -> None:
    job = job_in(Status.DEAD_LETTER, job_type=kind)
    queries = {
        "status": "Dead+Letter",
        "job_type": "mails",
        "organization": job.organization_id,
        "priority": "1",
        "created_after": "24h",
        "has_error": "yes",
        "owner": "nobody",
        "worker": "w",
        "error_fingerprint": job.error_fingerprint,
        "schedule": "1",
        "submitted_by": job.name,
        "batch": "BATCH-2026-00001",
        "operation": "1",
    }
    for name, value in queries.items():
        assert root.get(page_of("retry", f"{name}={value}")).status_code == 200, name


def test_every_field_of_a_filter_is_told_in_words(kind: JobType) -> None:
    assert all(str(term.label) for term in FILTER_TERMS.values())
    assert JobFilter(status=("Failed",)).words() == [(str(FILTER_TERMS["status"].label), "Failed")]
    assert Job.objects.count() == 0


def test_an_organization_of_a_filter_is_told_by_its_id_and_one_that_is_gone_by_its_key() -> None:
    ((_, told),) = JobFilter(organization=(1, 2)).words({1: "ORG-2026-00001"})
    assert set(re.findall(r"[\w-]+", told)) >= {"ORG-2026-00001", "2"}


def test_thousands_of_jobs_that_match_are_told_as_everywhere_else() -> None:
    shown = SimpleNamespace(result_count=6028, amount="6,028", paginator=SimpleNamespace(is_cut=False), looks_back=None)
    context = {"act_on_all": [("Retry", "retry/")], "cl": shown}
    assert "6,028" in render_to_string("admin/django_jobs/job/act_on_all.html", context)
