"""Everything is counted once, however transactions overlap and however many schedulers count."""

from __future__ import annotations

import threading

import pytest
from django.db import transaction
from django.db.models import Sum

from django_jobs import submit_job
from django_jobs.models import OrganizationActivity, Span, TypeActivity
from tests.concurrency.crowd import is_small, make_pending, run_crowd
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("broker")


def submitted() -> int:
    """So many, as both kinds of rows say."""
    sums = [
        model._default_manager.filter(span=Span.MINUTE).aggregate(total=Sum("submitted"))["total"] or 0
        for model in (TypeActivity, OrganizationActivity)
    ]
    assert sums[0] == sums[1]
    return sums[0]


def let_all_have_ended(tuning: Tuning) -> None:
    """On MariaDB, where open transactions are not seen, those before this moment are not waited for any more."""
    tuning.set(log_open_seconds=0.0)


def is_all_counted() -> bool:
    verbs.catch_up_rollups()
    return verbs.rollups_behind() == 0


def test_a_row_that_becomes_visible_late_is_counted_too(tuning: Tuning) -> None:
    kind, organization = make_job_type(), make_organization()
    written, overtaken = threading.Event(), threading.Event()

    def go_slowly() -> None:
        with transaction.atomic():
            submit_job(kind, organization, {"number": 1})
            written.set()
            overtaken.wait(60)

    def overtake() -> None:
        written.wait(60)
        if is_small():  # there is one writer at a time, so that nobody overtakes
            overtaken.set()
        submit_job(kind, organization, {"number": 2})
        for _ in range(3):
            verbs.roll_up()
        overtaken.set()

    run_crowd([go_slowly, overtake])
    let_all_have_ended(tuning)
    wait_until(is_all_counted, 60, "the log to be counted")
    assert submitted() == 2


def test_two_schedulers_count_everything_once(tuning: Tuning) -> None:
    tuning.set(rollup_rows=7)
    make_pending(make_job_type(), make_organization(), 50)
    let_all_have_ended(tuning)

    def count() -> None:
        wait_until(is_all_counted, 60, "the log to be counted")

    run_crowd([count] * 3)
    assert submitted() == 50
