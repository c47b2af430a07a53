"""Sentry has one event for each job that failed for good, and none for a failure that is retried."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk

from django_jobs import cancel_job, submit_job
from django_jobs.models import JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import tasks, verbs
from tests.support.brokers import WORKER, running_job
from tests.support.factories import make_job_type, make_organization
from tests.support.sentry import captured
from tests.support.traced import MODULES
from tests.support.verbs import MASK, DjangoTask

pytestmark = pytest.mark.usefixtures("broker")
Events = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def events(settings: Any) -> Iterator[Events]:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **MODULES}
    verbs.install_sentry()
    with captured() as found:
        yield found
    verbs.remove_observer(verbs.SENTRY_SCOPES)


def own_type(handler: str, **fields: Any) -> JobType:
    return make_job_type(handler_method=f"tests.support.traced.{handler}", **fields)


def test_a_failure_for_good_is_one_event_with_the_exception_and_the_jobs_tags(
    events: Events, organization: Organization
) -> None:
    job = submit_job(make_job_type("fail_unexpectedly", max_retries=0), organization)
    with sentry_sdk.isolation_scope() as scope:
        scope.set_tag("job_id", "of the process")
        run_jobs()
    (event,) = events
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ZeroDivisionError", "secret text")
    assert error["stacktrace"]["frames"][-1]["function"] == "fail_unexpectedly"
    assert event["level"] == "error"
    assert event["tags"] == {
        "job_id": job.name,
        "job_type": job.job_type_id,
        "organization": organization.name,
        "attempt": "1",
    }


def test_a_failure_that_is_retried_is_no_event(events: Events, organization: Organization) -> None:
    submit_job(make_job_type("fail_unexpectedly", max_retries=2), organization)
    run_jobs()
    assert events == []
    run_jobs(retries=True)
    assert [event["tags"]["attempt"] for event in events] == ["3"]


def test_equal_failures_differ_in_nothing_by_which_sentry_groups(events: Events) -> None:
    kind = make_job_type("fail_unexpectedly", max_retries=0)
    for _ in range(2):
        submit_job(kind, make_organization())
    run_jobs()
    first, second = (
        [(frame["module"], frame["function"]) for frame in event["exception"]["values"][0]["stacktrace"]["frames"]]
        for event in events
    )
    assert first == second
    assert [event.get("fingerprint") for event in events] == [None, None]
    assert len({event["logentry"]["message"] for event in events}) == 1


def test_the_event_of_a_failure_has_no_crumbs_of_other_tenants_jobs(events: Events) -> None:
    kind = make_job_type("fail_unexpectedly", max_retries=0)
    for _ in range(2):
        submit_job(kind, make_organization())
    run_jobs()
    crumbs = [{crumb["data"]["job_id"] for crumb in event["breadcrumbs"]["values"]} for event in events]
    assert crumbs == [{event["tags"]["job_id"]} for event in events]


def test_what_a_handler_tells_sentry_has_the_jobs_tags_and_no_crumbs_of_others(events: Events) -> None:
    kind = own_type("tell_sentry")
    jobs = [submit_job(kind, make_organization()) for _ in range(2)]
    run_jobs()
    assert [event["tags"]["job_id"] for event in events] == [job.name for job in jobs]
    assert [[crumb["message"] for crumb in event["breadcrumbs"]["values"]] for event in events] == [
        [f"crumb of {job.name}"] for job in jobs
    ]
    sentry_sdk.capture_message("of no job")
    assert "job_id" not in events[-1].get("tags", {})


def test_sensitive_values_are_in_no_part_of_an_event(events: Events, organization: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("text",)}
    submit_job(own_type("fail_with", max_retries=0), organization, {"text": "hunter22"})
    submit_job(own_type("tell_sentry"), organization, {"text": "hunter22"})
    run_jobs()
    assert len(events) == 2
    assert "hunter22" not in json.dumps(events)


def test_sensitive_values_are_hidden_however_they_are_written(organization: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("text", "number")}
    seen: list[Any] = []

    def see(log: Any, _hint: Any) -> Any:
        seen.append(log)
        return log

    with captured(enable_logs=True, before_send_log=see):
        parameters = {"text": 'hunter22 of "Zoë"\nin Łódź\'s street', "number": 73519264}
        submit_job(own_type("tell_sentry_in_many_ways", max_retries=0), organization, parameters)
        run_jobs()
        client: Any = sentry_sdk.get_client()
        client.flush()
        sent = "".join(client.transport.sent)
    assert len(client.transport.events) == 2
    assert len([log for log in seen if MASK in log["body"]]) == 3  # the job's own record is one
    assert [part for part in ("hunter22", "Zo", "street", "73519264") if part in sent] == []


def test_a_log_record_that_is_of_no_job_is_an_event_as_ever(events: Events) -> None:
    logging.getLogger("django_jobs").error("event=something")
    (event,) = events
    assert event["logentry"]["message"] == "event=something"


@pytest.mark.django_db(transaction=True)
def test_a_job_that_died_with_its_worker_is_an_event_too(events: Events) -> None:
    job, claimed = running_job(job_type=make_job_type(max_retries=0))
    verbs.settle_lost([(claimed.pk, claimed.attempt)], "lost", WORKER)
    (event,) = events
    assert event["tags"]["job_id"] == job.name
    assert "exception" not in event


# -- Django's tasks, of which Django logs too --------------------------------------------------------------------------


@pytest.fixture
def _as_in_a_worker() -> Iterator[None]:
    """Signals come from a thread of their own, where Sentry does not know the exception again."""
    verbs.deliver_signals_in_background()
    yield
    verbs.stop_signal_delivery()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_as_in_a_worker")
def test_a_task_that_failed_for_good_is_one_event(events: Events, organization: Organization) -> None:
    result = tasks.fail.using(organization=organization).enqueue("boom")
    run_jobs(retries=True)
    verbs.stop_signal_delivery()
    assert [(event["logger"], event["tags"]["job_id"]) for event in events] == [("django_jobs", result.id)]


@pytest.mark.django_db(transaction=True)
def test_a_task_that_was_canceled_is_no_event(events: Events, organization: Organization) -> None:
    cancel_job(tasks.add.using(organization=organization).enqueue(1).id)
    assert events == []


def test_what_django_logs_of_another_backends_task_is_an_event_as_ever(events: Events) -> None:
    name = DjangoTask.__module__.partition(".base")[0]
    logging.getLogger(name).error("Task id=%s path=%s state=%s", "kx3", "a.b", "FAILED")
    assert [event["logentry"]["params"] for event in events] == [["kx3", "a.b", "FAILED"]]
