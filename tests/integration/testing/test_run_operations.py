"""``run_operations()`` in a host's tests: it works off what was started, also inside a transaction."""

from __future__ import annotations

from django_jobs.models import Job
from django_jobs.testing import run_jobs, run_operations
from tests.support import verbs
from tests.support.brokers import job_in
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import JobFilter, OperationRequest


def begin(action: str, **terms: object) -> None:
    filters = JobFilter(job_type=("mails",))
    verbs.start_operation(OperationRequest(action=action, filters=filters, **terms))  # type: ignore[arg-type]


def die(count: int) -> None:
    kind, tenant = make_job_type(type_name="mails"), make_organization()
    for _ in range(count):
        job_in("Dead Letter", job_type=kind, organization=tenant)


def test_rates_do_not_hold_and_the_outcome_is_told() -> None:
    die(3)
    begin("retry", rate=1)
    (told,) = run_operations()
    assert (told.state, told.changed, told.outcome) == ("done", 3, {"Pending": 3})
    run_jobs()
    (told,) = run_operations()
    assert told.outcome == {"Completed": 3}
    assert run_operations() == []


def test_one_that_tries_one_first_goes_on_when_that_has_run() -> None:
    die(3)
    begin("retry", try_first=True)
    (told,) = run_operations()
    assert (told.state, told.changed) == ("running", 1)
    run_jobs()
    run_operations()
    (told,) = run_operations()
    assert (told.state, told.changed) == ("done", 3)


def test_it_cancels_too() -> None:
    die(1)
    Job.objects.update(status="Pending")
    begin("cancel")
    assert [item.changed for item in run_operations()] == [1]
