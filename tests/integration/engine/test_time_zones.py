"""Neither the host's time zone, nor the database session's, nor a change to or from daylight saving moves a job."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.utils import timezone

from django_jobs import get_job_history, get_job_metrics, get_job_status, submit_job
from django_jobs.exceptions import DuplicateJob, JobNotFound, RateLimited
from django_jobs.models import Job, TypeActivity
from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, end, job_in, pending_job, raised, reread, running_job
from tests.support.factories import make_job_type, make_organization

pytestmark = pytest.mark.usefixtures("broker", "zone")

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
#: West and east of UTC by more than any lease, window or retry in these tests.
OFFSETS = {"America/New_York": "-05:00", "Europe/Berlin": "+01:00", "Pacific/Tongatapu": "+13:00"}
YEARS_END = dt.datetime(2025, 12, 31, 23, 30, tzinfo=dt.UTC)
YEARS_START = dt.datetime(2026, 1, 1, 0, 30, tzinfo=dt.UTC)


@pytest.fixture(params=OFFSETS)
def zone(request: pytest.FixtureRequest, settings: Any, db: None) -> Iterator[str]:
    """The host's time zone, the active one and that of MariaDB's session; PostgreSQL's is always set by Django."""
    settings.TIME_ZONE = request.param
    set_session_zone(f"'{OFFSETS[request.param]}'")
    with timezone.override(request.param):
        yield request.param
    set_session_zone("@@global.time_zone")


def set_session_zone(zone: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute({"mysql": f"SET time_zone = {zone}"}.get(connection.vendor, "SELECT 1"))


def from_now(seconds: float, zone: ZoneInfo = BERLIN) -> dt.datetime:
    return (verbs.now() + dt.timedelta(seconds=seconds)).astimezone(zone)


def test_the_databases_clock_is_in_utc_and_right() -> None:
    assert abs(verbs.now() - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
    assert verbs.now().utcoffset() == dt.timedelta(0)


@pytest.mark.parametrize("given", [BERLIN, NEW_YORK, ZoneInfo("Pacific/Kiritimati")], ids=str)
def test_a_moment_in_any_zone_is_that_moment(given: ZoneInfo) -> None:
    moment = from_now(3600, given)
    row = reread(pending_job(run_at=moment))
    assert row.run_at == row.ready_at == moment
    assert get_job_status(row).run_at == moment


def test_around_a_change_of_the_clocks_each_moment_is_its_own(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dt.datetime, dt.datetime]] = [
        (dt.datetime(2099, 10, 25, 2, 30, tzinfo=BERLIN, fold=0), dt.datetime(2099, 10, 25, 0, 30, tzinfo=dt.UTC)),
        (dt.datetime(2099, 10, 25, 2, 30, tzinfo=BERLIN, fold=1), dt.datetime(2099, 10, 25, 1, 30, tzinfo=dt.UTC)),
        (dt.datetime(2099, 3, 29, 2, 30, tzinfo=BERLIN), dt.datetime(2099, 3, 29, 1, 30, tzinfo=dt.UTC)),
        (dt.datetime(2099, 11, 1, 1, 30, tzinfo=NEW_YORK, fold=1), dt.datetime(2099, 11, 1, 6, 30, tzinfo=dt.UTC)),
    ]
    for local, utc in cases:
        with subtests.test(local=local, utc=utc):
            row = reread(pending_job(run_at=local))
            assert (row.run_at, row.ready_at) == (utc, utc)
            assert get_job_status(row).waiting_for == "run_at"


def test_a_delayed_job_goes_when_its_moment_has_come_and_not_before(broker: MemoryBroker) -> None:
    due = pending_job(run_at=from_now(-1, NEW_YORK))
    pending_job(run_at=from_now(60))
    pending_job(run_at=from_now(60, NEW_YORK))
    assert verbs.dispatch() == 1
    assert broker.pks() == [due.pk]


def test_a_moment_in_the_past_means_now_so_that_the_first_submitted_goes_first(broker: MemoryBroker) -> None:
    kind, organization = make_job_type(), make_organization()
    first, second = [pending_job(kind, organization, run_at=from_now(seconds)) for seconds in (-10, -20)]
    verbs.dispatch()
    assert broker.pks() == [first.pk, second.pk]


def test_a_retry_is_due_when_its_delay_is_over() -> None:
    now, later = running_job(), running_job()
    end(raised(now[1], retry_after=0.0))
    row = end(raised(later[1], retry_after=60.0))
    assert verbs.dispatch() == 1
    assert (reread(now[0]).status, row.next_retry_at is not None) == ("Queued", True)
    assert get_job_status(row).waiting_for == "retry"


def test_a_lease_lasts_as_long_as_it_should() -> None:
    fresh, old = job_in("Running"), job_in("Running")
    assert verbs.rescue_expired() == 0
    Job.objects.filter(pk=old.pk).update(lease_expires_at=from_now(-1))
    assert verbs.rescue_expired() == 1
    assert (reread(fresh).status, reread(old).status) == ("Running", "Queued")


def test_windows_of_duplicates_and_rates_are_as_long_as_they_should() -> None:
    kind, organization = make_job_type(deduplication_window=60), make_organization()
    submit_job(kind, organization)
    with pytest.raises(DuplicateJob):
        submit_job(kind, organization)
    limited = make_job_type(rate_limit=1, rate_limit_window=60)
    submit_job(limited, organization)
    with pytest.raises(RateLimited) as caught:
        submit_job(limited, organization)
    assert 0 < caught.value.retry_after <= 60


@pytest.mark.parametrize("created_at", [YEARS_END, YEARS_START], ids=["years end", "years start"])
def test_the_year_of_a_job_id_is_that_of_utc_wherever_it_is_made(broker: MemoryBroker, created_at: dt.datetime) -> None:
    pk = pending_job().pk
    Job.objects.filter(pk=pk).update(created_at=created_at)
    name = f"JOB-{created_at.year}-{pk:05d}"
    assert (Job.objects.get(pk=pk).name, get_job_status(name).job_id) == (name, name)
    verbs.dispatch()
    (ticket,) = broker.tickets
    (claimed,) = verbs.claim([ticket], WORKER)
    assert (ticket.id, claimed.job_id) == (f"{name}-1", name)
    with pytest.raises(JobNotFound):
        get_job_status(f"JOB-{4051 - created_at.year}-{pk:05d}")


def test_whatever_is_told_is_told_in_utc() -> None:
    _, claimed = running_job(run_at=from_now(-5))
    job = end(raised(claimed))
    status = get_job_status(job)
    moments = [status.created_at, status.run_at, status.started_at, status.queued_at, status.next_retry_at]
    moments += [row["timestamp"] for row in get_job_history(job)]
    moments += [get_job_metrics()["timestamp"]]
    assert {moment.utcoffset() for moment in moments if moment} == {dt.timedelta(0)}
    assert None not in moments
    assert sorted(row["timestamp"] for row in get_job_history(job)) == [
        row["timestamp"] for row in get_job_history(job)
    ]
    assert all(abs(moment - verbs.now()) < dt.timedelta(minutes=5) for moment in moments if moment)


@pytest.mark.usefixtures("alone")
def test_metrics_count_the_last_hour_and_no_other(broker: MemoryBroker) -> None:
    job_in("Completed")
    verbs.catch_up_rollups()
    assert get_job_metrics()["throughput_per_minute"] > 0
    TypeActivity.objects.update(starts_at=from_now(-3700, NEW_YORK))
    assert get_job_metrics()["throughput_per_minute"] == 0
    pending_job()
    oldest = get_job_metrics()["oldest_waiting_seconds"]
    assert 0 <= oldest < 60
