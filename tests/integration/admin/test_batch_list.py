"""The list of batches: what it tells, whom it shows which, and what it costs."""

from __future__ import annotations

import datetime as dt

import pytest
from django.test import Client

from django_jobs import cancel_batch, create_batch
from django_jobs.models import Batch, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import admin, verbs
from tests.support.admin import asked, codes_on, text, url
from tests.support.batches import expire, make_batch
from tests.support.factories import make_user
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


def listed(client: Client, **query: str) -> list[Batch]:
    return list(asked(client, query, "batch").result_list)


def test_a_row_tells_state_progress_failures_and_times(root: Client, mine: Organization) -> None:
    owner = make_user("otto", admin_of=[mine])
    batch = make_batch(mine, "Completed", "Dead Letter", "Failed", name="Invoices of May", user=owner)
    done = make_batch(mine, "Completed")
    run_jobs()
    shown = text(root, url("batch", "changelist"))
    ended = Batch.objects.get(pk=done.pk).completed_at
    assert ended is not None
    assert ended.isoformat() in shown
    for words in (batch.batch_id, "Invoices of May", "ORG-MINE", "otto", ">Running<", batch.created_at.isoformat()):
        assert words in shown
    assert '<progress max="3" value="2"' in shown
    assert f"?batch={batch.batch_id}&amp;status=Dead+Letter" in shown
    assert f"?batch={batch.batch_id}&amp;status=Failed" in shown


def test_an_empty_list_says_how_a_batch_is_made(root: Client) -> None:
    assert "with create_batch(" in text(root, url("batch", "changelist"))
    assert codes_on(text(root, url("batch", "changelist"))) == ["no_batch"]
    assert codes_on(text(root, url("batch", "changelist"), q="nothing")) == ["no_match"]


def test_people_see_the_batches_of_their_organizations_alone(mine: Organization, theirs: Organization) -> None:
    own, foreign = create_batch(mine, name="own"), create_batch(theirs, name="foreign")
    member = admin.staff_of(mine, permissions=["django_jobs.view_job"])
    assert listed(member) == [own]
    assert listed(member, q=foreign.batch_id) == []
    assert listed(member, organization=theirs.name) == []
    assert "ORG-THEIRS" not in text(member, url("batch", "changelist"))


def test_whoever_may_not_see_jobs_sees_no_batches(mine: Organization) -> None:
    create_batch(mine)
    stranger = admin.staff_of(mine, permissions=["django_jobs.view_jobtype"])
    assert stranger.get(url("batch", "changelist")).status_code == 403


def test_it_is_searched_by_id_and_by_words_of_the_name(root: Client, mine: Organization) -> None:
    may, june = create_batch(mine, name="Invoices of May"), create_batch(mine, name="Invoices of June")
    assert listed(root, q=may.batch_id) == [may]
    assert listed(root, q="june") == [june]
    assert listed(root, q=f"BATCH-1999-{may.pk:05d}") == []


def test_it_is_filtered_by_state(subtests: pytest.Subtests, root: Client, mine: Organization, kind: JobType) -> None:
    batches = {
        "Completed": make_batch(mine, "Completed"),
        "Failed": make_batch(mine, "Dead Letter"),
        "Open": make_batch(mine, "Completed", close=False),
        "Canceled": make_batch(mine, "Completed", close=False),
    }
    cancel_batch(batches["Canceled"])
    expired = make_batch(mine, "Completed", close=False)
    run_jobs()
    expire(expired)
    batches["Running"] = make_batch(mine, "Completed")
    for state, batch in batches.items():
        with subtests.test(state=state):
            shown = asked(root, {"state": state}, "batch")
            expected = [expired, batch] if state == "Failed" else [batch]
            assert (list(shown.result_list), shown.is_over) == (expected, state not in {"Open", "Running"})
    assert not asked(root, {}, "batch").is_over
    assert listed(root, state="unknown") == []


def test_it_is_filtered_by_when_it_was_made(root: Client, mine: Organization) -> None:
    new, old = create_batch(mine), create_batch(mine)
    Batch.objects.filter(pk=old.pk).update(created_at=verbs.now() - dt.timedelta(days=3))
    assert listed(root, created_after="24h") == [new]
    assert len(listed(root, created_after="7d")) == 2


def test_what_no_index_finds_is_looked_for_among_the_newest(root: Client, mine: Organization, tuning: Tuning) -> None:
    tuning.set(batch_list_searched_batches=1)
    old, new = create_batch(mine, name="same"), create_batch(mine, name="same")
    assert listed(root, q="same") == [new]
    page = root.get(url("batch", "changelist"), {"q": "same"})
    assert page.context["cl"].looks_back == 1
    assert codes_on(page) == ["newest_only"]
    assert listed(root) == [new, old]
    assert codes_on(root.get(url("batch", "changelist"))) == []
