"""The page of a batch: how far it is, what failed, what follows, and what a person does about it."""

from __future__ import annotations

import datetime as dt
import html
import re

import pytest
from django.test import Client
from pytest_django import Settings

from django_jobs import cancel_batch, cancel_job, create_batch
from django_jobs.models import Batch, Job, JobType, Organization
from django_jobs.statuses import OpenTo
from django_jobs.testing import run_jobs
from tests.support import admin, verbs
from tests.support.admin import codes_on, fact_on, listed, page_of, text, url
from tests.support.batches import expire, make_batch, tick
from tests.support.brokers import start
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.monitor import noticed
from tests.support.statements import statements_of
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


def shown(client: Client, batch: Batch) -> str:
    """What the page of a batch says, without its markup."""
    page = re.sub(r"<[^>]*>", "", text(client, url("batch", "change", batch.pk)))
    return " ".join(html.unescape(page).split())


def told(client: Client, batch: Batch) -> list[str]:
    """The codes of the notices on the page of a batch."""
    page = client.get(url("batch", "change", batch.pk))
    codes = [notice.code for notice in page.context["notices"]]
    assert set(codes) <= set(codes_on(page))
    return codes


def buttons(client: Client, batch: Batch) -> list[str]:
    """The verbs of the buttons on the page of a batch."""
    found = client.get(url("batch", "change", batch.pk)).context["switches"]
    return [str(address).rstrip("/").rpartition("/")[2] for _, address, _ in found]


def test_it_is_found_by_its_id_too(root: Client, mine: Organization) -> None:
    batch = create_batch(mine, name="May")
    assert f"May ({batch.batch_id})" in text(root, f"/admin/django_jobs/batch/{batch.batch_id}/change/")
    assert root.get(f"/admin/django_jobs/batch/BATCH-1999-{batch.pk:05d}/change/").status_code == 302


def test_it_says_whose_jobs_it_takes(root: Client, mine: Organization) -> None:
    owner = make_user(member_of=[mine])
    nobody, own, members = [
        html.unescape(fact_on(text(root, url("batch", "change", batch.pk)), "takes_jobs_of"))
        for batch in (
            create_batch(mine, user=user, open_to=open_to)
            for user, open_to in ((None, "owner"), (owner, "owner"), (owner, "members"))
        )
    ]
    assert (own, members) == (str(OpenTo.OWNER.label), str(OpenTo.MEMBERS.label))
    assert nobody not in {"", own, members}


def test_its_counts_lead_to_just_the_jobs_that_they_count(root: Client, mine: Organization) -> None:
    batch = make_batch(mine, "Completed", "Completed", "Dead Letter")
    make_batch(mine, "Completed")
    run_jobs()
    counts = root.get(url("batch", "change", batch.pk)).context["counts"]
    found = [(count, root.get(address).context["cl"].result_count) for address, count, _ in counts]
    assert found == [("2", 2), ("1", 1)]


def test_the_list_of_jobs_is_narrowed_to_a_batch(root: Client, mine: Organization, theirs: Organization) -> None:
    batch, foreign = make_batch(mine, "Completed"), make_batch(theirs, "Completed", name="Secretive")
    (job,) = Job.objects.filter(batch=batch)
    assert listed(root, batch=batch.batch_id) == listed(root, q=batch.batch_id) == [job]
    assert listed(root, batch="BATCH-2026-99999") == listed(root, batch="nonsense") == []
    member = admin.staff_of(mine)
    assert listed(member, batch=foreign.batch_id) == listed(member, q=foreign.batch_id) == []
    assert "Secretive" not in text(member, url("job", "changelist"), batch=foreign.batch_id)


def test_what_failed_is_told_in_groups_the_causes_first(root: Client, mine: Organization) -> None:
    batch = create_batch(mine)
    good, bad = make_job_type(), make_job_type("fail_for_good", type_name="printing")
    first = batch.submit(bad)
    for number in range(3):
        batch.submit(good, {"n": number}, depends_on=[first])
    newest = batch.submit(bad, {"n": 1})
    retried = make_job_type("fail_for_now")
    for number in range(4):
        batch.submit(retried, {"n": number})
    batch.close()
    run_jobs()
    rows = root.get(url("batch", "change", batch.pk)).context["failures"]
    assert [(row["count"], row["is_retried"], row["is_consequence"]) for row in rows] == [
        (2, False, False),
        (4, True, False),
        (3, False, True),
    ]
    assert rows[0]["name"] == newest.name


def test_of_many_failures_a_part_is_looked_at(root: Client, mine: Organization, tuning: Tuning) -> None:
    tuning.set(failed_jobs_read=2, batch_page_failure_groups=1)
    batch = make_batch(mine, "Dead Letter", "Failed", "Dead Letter")
    run_jobs()
    assert "1+ " in shown(root, batch)
    page = root.get(url("batch", "change", batch.pk))
    assert page.context["more_failures"] == 1
    assert {"more_failures", "failures_cut"} <= set(codes_on(page))


def test_an_error_that_the_policy_hides_is_not_shown(mine: Organization, settings: Settings) -> None:
    batch = make_batch(mine, "Dead Letter", user=make_user("otto", admin_of=[mine]))
    run_jobs()
    member = admin.staff_of(mine)
    assert "hidden_error" not in codes_on(text(member, url("batch", "change", batch.pk)))
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}
    page = text(member, url("batch", "change", batch.pk))
    assert "never again" not in page
    assert "hidden_error" in codes_on(page)


def test_a_failed_batch_says_what_to_do(root: Client, mine: Organization) -> None:
    batch = make_batch(mine, "Completed", "Dead Letter")
    run_jobs()
    assert told(root, batch) == ["jobs_failed"]
    (notice,) = root.get(url("batch", "change", batch.pk)).context["notices"]
    assert re.findall(r"\d+", notice.text) == ["1"]
    assert buttons(root, batch) == ["retry"]


def test_one_whose_job_was_canceled_says_why_it_stays_failed(root: Client, mine: Organization, kind: JobType) -> None:
    batch = create_batch(mine)
    job = batch.submit(kind)
    batch.close()
    cancel_job(job)
    tick()
    both = create_batch(mine)
    both.submit(make_job_type("fail_for_good"))
    cancel_job(both.submit(kind, {"n": 1}))
    both.close()
    run_jobs()
    assert told(root, both) == ["jobs_failed", "jobs_canceled"]
    assert told(root, batch) == ["jobs_canceled"]
    assert buttons(root, batch) == []


def test_an_open_batch_whose_jobs_have_ended_asks_to_be_closed(root: Client, mine: Organization) -> None:
    batch = make_batch(mine, "Completed", close=False)
    assert told(root, batch) == told(root, create_batch(mine)) == ["open"]
    run_jobs()
    assert told(root, batch) == ["all_ended"]
    assert buttons(root, batch) == ["close", "cancel"]


def test_one_that_expired_says_so(root: Client, mine: Organization) -> None:
    batch = make_batch(mine, "Completed", close=False)
    run_jobs()
    expire(batch)
    assert told(root, batch) == ["expired"]
    assert root.get(url("batch", "change", batch.pk)).context["note_code"] == "expired"
    assert batch.batch_id in noticed(root)["expired"]
    Batch.objects.filter(pk=batch.pk).update(on_failure={"job_type": "gone"}, fault="The type is gone.")
    assert root.get(url("batch", "change", batch.pk)).context["note_code"] == "follow_up_missing"


def test_what_could_not_follow_is_told_in_words(root: Client, mine: Organization) -> None:
    later = make_job_type(type_name="report")
    batch = make_batch(mine, "Completed", then={"job_type": later.pk, "parameters": {"password": "x", "month": "May"}})
    JobType.objects.filter(pk=later.pk).update(is_enabled=False)
    run_jobs()
    assert told(root, batch) == ["follow_up_waits"]
    assert batch.batch_id in noticed(root)["follow_up_waits"]
    assert "follow_up_waits" not in noticed(admin.staff_of(make_organization()))
    then = fact_on(text(root, url("batch", "change", batch.pk)), "if_completed")
    assert url("jobtype", "change", "report") in then
    assert "May" in then
    assert buttons(root, batch) == ["follow-up"]


def test_what_is_not_tried_again_is_told_otherwise(root: Client, mine: Organization, kind: JobType) -> None:
    owner = make_user("otto", admin_of=[mine])
    batch = make_batch(mine, "Completed", then={"job_type": kind.pk}, user=owner, close=False)
    run_jobs()
    owner.delete()
    batch.close()
    assert told(root, batch) == ["follow_up_missing"]
    assert batch.batch_id in noticed(root)["follow_up_missing"]
    assert "otto" in shown(root, batch)


def test_parameters_of_what_follows_are_masked(mine: Organization, kind: JobType, settings: Settings) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("password",)}
    batch = create_batch(mine, then={"job_type": kind.pk, "parameters": {"password": "hunter2"}})
    assert "hunter2" not in shown(admin.staff_of(mine), batch)


def test_batch_and_jobs_lead_to_each_other(root: Client, mine: Organization, kind: JobType) -> None:
    batch = make_batch(mine, "Completed", name="May", then={"job_type": kind.pk})
    (own,) = Job.objects.filter(batch=batch)
    run_jobs()
    then = Job.objects.get(pk=Batch.objects.get(pk=batch.pk).then_job_id or 0)
    address = url("batch", "change", batch.pk)
    assert f'<a href="{address}" data-code="batch">May ({batch.batch_id})</a>' in page_of(root, own)
    assert f'<a href="{address}" data-code="then">May ({batch.batch_id})</a>' in page_of(root, then)
    assert f'<a href="{url("job", "change", then.pk)}">{then.name}</a>' in text(root, address)
    failed = make_batch(mine, "Dead Letter", on_failure={"job_type": kind.pk})
    run_jobs()
    instead = Job.objects.get(pk=Batch.objects.get(pk=failed.pk).on_failure_job_id or 0)
    assert 'data-code="on_failure"' in fact_on(page_of(root, instead), "followed_batch")
    failed_address, link = url("batch", "change", failed.pk), url("job", "change", instead.pk)
    assert link in fact_on(text(root, failed_address), "if_failed")
    instead.delete()
    assert kind.pk in (gone := fact_on(text(root, failed_address), "if_failed"))
    assert link not in gone
    Batch.objects.all().delete()
    assert fact_on(page_of(root, own), "of_batch")
    assert batch.batch_id not in page_of(root, own)


def test_a_batch_of_another_organization_is_not_there(mine: Organization, theirs: Organization) -> None:
    batch = create_batch(theirs)
    member = admin.staff_of(mine)
    for page in (url("batch", "change", batch.pk), url("batch", "cancel", batch.pk)):
        assert member.get(page, follow=True).redirect_chain[-1][0] in {"/admin/", url("batch", "changelist")}


def test_an_ended_batch_is_not_asked_for_again(root: Client, mine: Organization) -> None:
    batch = make_batch(mine, "Completed")
    assert "data-djobs-over" not in text(root, url("batch", "change", batch.pk))
    run_jobs()
    assert "data-djobs-over" in text(root, url("batch", "change", batch.pk))


def test_a_canceled_batch_that_still_runs_is_stopping(root: Client, mine: Organization, kind: JobType) -> None:
    batch = create_batch(mine)

    start(batch.submit(kind))
    cancel_batch(batch)
    assert ">Running<" in text(root, url("batch", "change", batch.pk))
    assert "stopping" in codes_on(text(root, url("batch", "change", batch.pk)))
    assert buttons(root, batch) == []


def test_a_page_costs_the_same_statements_however_large_the_batch_is(root: Client, mine: Organization) -> None:
    def visit(batch: Batch) -> int:
        verbs.forget_organization_ids()
        return statements_of(lambda: root.get(url("batch", "change", batch.pk)))

    def family(size: int) -> Batch:
        batch = create_batch(mine, user=make_user(f"owner-{size}", admin_of=[mine]))
        good, bad = make_job_type(), make_job_type("fail_for_good")
        parents = [batch.submit(bad, {"n": number}) for number in range(size)]
        batch.submit(good, {"n": size}, depends_on=parents)
        batch.close()
        run_jobs()
        return batch

    visit(small := family(1))  # Django reads the type of its history once
    few = visit(small)
    assert visit(family(8)) <= few <= 20


def test_what_is_read_out_tells_the_first_error(root: Client, mine: Organization) -> None:
    batch = make_batch(mine, "Completed", "Dead Letter", name="Newsletter")
    page = url("batch", "change", batch.pk)
    told, before = admin.news(root, page)
    assert told.startswith("Newsletter: Running,")
    assert re.findall(r"\d+", told) == ["0", "2"]
    run_jobs()
    error = Job.objects.get(status="Dead Letter").error_message
    told, after = admin.news(root, page)
    assert told.startswith("Newsletter: Failed,")
    assert re.findall(r"\d+", told.partition(error)[0]) == ["2", "2", "1"]
    assert error in told
    assert after != before


def test_each_moment_stands_in_its_own_line(root: Client, mine: Organization) -> None:
    batch = make_batch(mine, "Completed")
    run_jobs()
    columns = ("started_at", "closed_at", "expired_at", "completed_at", "canceled_at")
    moments = {column: verbs.now() + dt.timedelta(hours=place) for place, column in enumerate(columns)}
    Batch.objects.filter(pk=batch.pk).update(**moments, canceled_by="ann", retried_by="bob")
    page = text(root, url("batch", "change", batch.pk))
    shown = [fact_on(page, name) for name in ("started", "closed", "expired", "ended_at", "canceled_on")]
    assert [moment.isoformat() in line for moment, line in zip(moments.values(), shown, strict=True)] == [True] * 5
    assert batch.created_at.isoformat() in fact_on(page, "created")
    assert [name in fact_on(page, line) for line, name in (("canceler", "ann"), ("retrier", "bob"))] == [True, True]
