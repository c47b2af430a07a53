"""Reading what lies behind the first entries of an index."""

from __future__ import annotations

import pytest

from django_jobs.models import Job
from tests.support.brokers import pending_job
from tests.support.factories import make_job_type
from tests.support.verbs import Store

pytestmark = pytest.mark.usefixtures("broker")


def test_rows_behind_the_first_are_read(each_store: Store) -> None:
    kind = make_job_type()
    jobs = [pending_job(kind) for _ in range(4)]
    rows = Job.primary.order_by("-pk").values_list("pk")
    assert each_store.read_behind(rows[2:3], 2) == [(jobs[1].pk,)]
    assert each_store.read_behind(rows[0:1], 0) == [(jobs[3].pk,)]
    assert each_store.read_behind(rows[9:10], 9) == []


def test_rows_are_read_in_their_order_up_to_a_bound(each_store: Store) -> None:
    kind = make_job_type()
    jobs = [pending_job(kind) for _ in range(4)]
    rows = Job.primary.order_by("-pk").values_list("pk")
    assert each_store.read_in_order(rows[:2]) == [(jobs[3].pk,), (jobs[2].pk,)]
    assert each_store.read_in_order(rows[1:3]) == [(jobs[2].pk,), (jobs[1].pk,)]
    assert each_store.read_in_order(rows.filter(job_type=kind)[3:9]) == [(jobs[0].pk,)]
    assert each_store.read_in_order(rows.filter(pk__in=[])[:2]) == []


def test_a_text_that_looks_like_a_bound_is_left_alone(each_store: Store) -> None:
    job = pending_job()
    Job.objects.filter(pk=job.pk).update(owner_name="LIMIT 1 OFFSET 2")
    rows = Job.primary.filter(owner_name="LIMIT 1 OFFSET 2").order_by("-pk").values_list("pk")
    assert each_store.read_in_order(rows[:1]) == [(job.pk,)]
