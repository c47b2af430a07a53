"""Counting up to a bound."""

from __future__ import annotations

import pytest

from django_jobs.models import Job
from tests.support import verbs
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type

pytestmark = pytest.mark.usefixtures("broker")


def test_several_querysets_are_counted_up_to_a_bound() -> None:
    kind = make_job_type(type_name="mails")
    for _ in range(3):
        pending_job(kind)
    job_in("Canceled", job_type=kind)
    rows = Job.primary.filter(job_type_id="mails")
    asked = [rows.filter(status="Pending"), rows.filter(pk__in=[]), rows.filter(status="Canceled"), Job.primary.none()]
    assert verbs.capped_counts(asked, 10) == [3, 0, 1, 0]
    assert verbs.capped_counts(asked, 1) == [2, 0, 1, 0]
    assert verbs.capped_counts([Job.primary.none()], 10) == [0]
    assert verbs.capped_counts([], 10) == []


def test_the_newest_of_several_querysets_are_read() -> None:
    kind = make_job_type(type_name="mails")
    first, second, third = (pending_job(kind).pk for _ in range(3))
    fourth = job_in("Canceled", job_type=kind).pk
    rows = Job.primary.filter(job_type_id="mails").order_by("-pk")
    asked = [rows.filter(status="Pending"), Job.primary.none(), rows.filter(status="Canceled"), rows.filter(pk=first)]
    assert verbs.newest_keys(asked, 10) == [fourth, third, second, first]
    assert verbs.newest_keys(asked, 2) == [fourth, third]
    assert verbs.newest_keys([Job.primary.none()], 10) == []
