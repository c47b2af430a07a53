"""The command that examines a running setup. Redis is real; workers are announced, not started."""

from __future__ import annotations

import datetime as dt
import os
import re
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.db import DatabaseError
from django.utils import timezone
from rq import SimpleWorker

from django_jobs import job_handler, submit_job
from django_jobs.models import EngineLease, Job, JobType, Organization
from tests.support import handlers, verbs
from tests.support.brokers import MemoryBroker, pending_job, queue_up, ticket_of
from tests.support.commands import QUEUES, DeadBroker, call, run
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import Finding, Interpose

pytestmark = pytest.mark.usefixtures("redis_broker")


@pytest.fixture
def organization() -> Organization:
    return make_organization(name="ORG-1")


def findings() -> dict[str, str]:
    return {finding.subject: finding.level for finding in verbs.examine()}


def finding(subject: str) -> Finding:
    (found,) = [item for item in verbs.examine() if item.subject == subject]
    return found


def overdue(job: Job) -> Job:
    Job.objects.filter(pk=job.pk).update(ready_at=timezone.now() - dt.timedelta(hours=1))
    return job


def test_a_sound_setup_has_no_problems(sound: None) -> None:
    output = run("jobs_check")
    assert "PROBLEM" not in output
    assert "WARNING" not in output
    assert "OK       broker: " in output
    assert re.search("OK       scheduler: .*scheduler-1", output)
    told = finding("scheduler")
    assert (told.code, told.facts["holder"], 0 <= told.facts["seconds"] < 10) == ("ticks", "scheduler-1", True)
    assert finding("broker").code == "answers"


def test_problems_are_told_with_what_to_do_and_fail_the_command() -> None:
    answer = call("jobs_check", "--json")
    assert (answer.code, answer.error["code"], answer.facts["problems"]) == (1, "problems", 5)
    told = call("jobs_check").out
    assert re.search(r"PROBLEM  queue jobs-low: .*“manage.py jobs_worker”", told)
    assert "PROBLEM  scheduler: " in told
    codes = {subject: finding(subject).code for subject in ("queue jobs-low", "scheduler", "broker owner")}
    assert codes == {"queue jobs-low": "no_worker", "scheduler": "no_scheduler", "broker owner": "no_owner"}
    assert finding("broker owner").level == "WARNING"


def test_a_reader_who_leaves_ends_it_quietly(sound: None) -> None:
    """As ``jobs_check | head -3`` does. The exit code tells the problems all the same."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream:  # noqa: PTH123  (a descriptor; leaving flushes, as the interpreter's end does)
        call_command("jobs_check", stdout=stream)
        stream.write("more")


def test_looking_claims_no_broker(redis_broker: redis.Redis) -> None:
    assert findings()["broker owner"] == "WARNING"
    assert verbs.get_broker().installation() is None


def test_a_broker_that_does_not_answer_is_a_problem_and_ends_the_questions_to_it(sound: None) -> None:
    verbs.use_broker(DeadBroker())  # type: ignore[arg-type]
    found = findings()
    assert found["broker"] == "PROBLEM"
    assert "eviction policy" not in found
    assert found["scheduler"] == "OK"


def test_the_broker_of_another_installation_is_a_problem(sound: None, redis_broker: redis.Redis) -> None:
    (marker,) = [
        key
        for key in redis_broker.keys("*")
        if redis_broker.type(key) == b"string" and verbs.installation_id().encode() == redis_broker.get(key)
    ]
    redis_broker.set(marker, "somebody-else")
    assert findings()["broker owner"] == "PROBLEM"


def test_a_broker_that_may_evict_is_a_problem(sound: None, redis_broker: redis.Redis) -> None:
    redis_broker.config_set("maxmemory-policy", "allkeys-lru")
    assert findings()["eviction policy"] == "PROBLEM"


def test_a_stranger_in_our_queues_is_a_warning(sound: None, redis_broker: redis.Redis) -> None:
    redis_broker.rpush("rq:queue:jobs-low", "somebodys-job")
    assert findings()["foreign jobs"] == "WARNING"
    assert "somebodys-job" in run("jobs_check")


def test_each_queue_needs_a_live_worker(sound: None) -> None:
    verbs.withdraw_worker("worker-1")
    verbs.announce_worker("worker-2", QUEUES[:3], slots=1)
    found = findings()
    assert found["queue jobs-normal"] == "OK"
    assert found["queue jobs-low"] == "PROBLEM"


def test_quiet_workers_are_told_and_are_a_problem_once_jobs_wait(sound: None) -> None:
    verbs.announce_worker("worker-1", QUEUES, slots=1, quiet_since=timezone.now())
    told = finding("queue jobs-normal")
    assert (told.level, told.code, told.facts["quiet"]) == ("WARNING", "workers_quiet", 1)

    pending_job()
    assert findings()["queue jobs-normal"] == "PROBLEM"
    assert findings()["queue jobs-low"] == "WARNING"


def test_a_worker_beside_a_quiet_one_is_enough(sound: None) -> None:
    verbs.announce_worker("worker-2", QUEUES, slots=1, quiet_since=timezone.now())
    told = finding("queue jobs-low")
    assert (told.level, told.code, told.facts) == ("OK", "partly_quiet", {"workers": 1, "quiet": 1})


def register(name: str, *queues: str) -> None:
    """A worker in RQ's own list, as ``rqworker`` puts itself there."""
    with verbs.connect_redis() as client:
        worker: Any = SimpleWorker(list(queues), name=name, connection=client)
        worker.register_birth()


def test_a_queue_that_a_plain_rqworker_takes_from_is_served(sound: None) -> None:
    verbs.withdraw_worker("worker-1")
    register("0b54e2f64ab14a2d9e3f1c8f0f6d8a7e", *QUEUES[:2])
    found = [finding(f"queue {name}") for name in QUEUES]
    assert [item.level for item in found] == ["WARNING", "WARNING", "PROBLEM", "PROBLEM"]
    assert (found[1].code, found[1].facts["workers"]) == ("plain_workers", 1)


def test_our_own_workers_are_no_plain_ones(sound: None) -> None:
    verbs.withdraw_worker("worker-1")
    register("web1-31066-8172e863", *QUEUES)
    assert findings()["queue jobs-low"] == "PROBLEM"


def test_a_worker_that_rq_has_forgotten_serves_nothing(sound: None, redis_broker: redis.Redis) -> None:
    verbs.withdraw_worker("worker-1")
    register("somebody", *QUEUES)
    redis_broker.delete("rq:worker:somebody")
    assert findings()["queue jobs-low"] == "PROBLEM"
    assert redis_broker.sismember("rq:workers", "rq:worker:somebody")


def test_a_scheduler_that_fell_silent_is_a_problem(sound: None) -> None:
    EngineLease.objects.filter(pk="scheduler").update(ticked_at=timezone.now() - dt.timedelta(minutes=5))
    told = finding("scheduler")
    assert (told.level, told.code, 290 < told.facts["seconds"] < 400) == ("PROBLEM", "no_scheduler", True)


def test_due_jobs_that_nobody_takes_are_a_problem(sound: None, organization: Organization) -> None:
    overdue(submit_job(make_job_type(), organization))
    assert findings()["waiting jobs"] == "PROBLEM"


def test_jobs_may_wait_long_while_all_slots_are_busy(sound: None, organization: Organization) -> None:
    kind = make_job_type()
    overdue(submit_job(kind, organization))
    running = {"status": "Running", "ready_at": None, "worker_name": "worker-1"}
    Job.objects.filter(pk=submit_job(kind, organization).pk).update(**running)
    assert findings()["waiting jobs"] == "OK"


@pytest.mark.parametrize("held_back", ["is_paused", "inactive", "future"])
def test_jobs_that_are_held_back_on_purpose_are_no_problem(
    sound: None, organization: Organization, held_back: str
) -> None:
    kind = make_job_type(is_paused=held_back == "is_paused")
    job = submit_job(kind, organization)
    if held_back == "future":
        Job.objects.filter(pk=job.pk).update(ready_at=timezone.now() + dt.timedelta(hours=1))
    else:
        overdue(job)
    Organization.objects.update(is_active=held_back != "inactive")
    assert findings()["waiting jobs"] == "OK"


def test_tickets_that_nobody_claims_are_a_problem(sound: None, organization: Organization) -> None:
    job = submit_job(make_job_type(), organization)
    Job.objects.filter(pk=job.pk).update(
        status="Queued", ready_at=None, queued_at=timezone.now() - dt.timedelta(hours=1)
    )
    assert findings()["waiting jobs"] == "PROBLEM"


def test_a_database_that_cannot_be_read_is_the_only_finding(interpose: Interpose) -> None:
    def fail() -> None:
        raise DatabaseError

    interpose("now", fail)
    assert findings() == {"database": "PROBLEM"}


def findings_about_types() -> dict[str, Finding]:
    return {item.subject: item for item in verbs.examine_types()}


def test_a_declared_type_without_a_row_is_a_problem(sound: None) -> None:
    JobType.objects.filter(pk="pdf_generation").delete()
    told = findings_about_types()["declared job types"]
    assert (told.level, told.code, told.facts["types"]) == ("PROBLEM", "without_row", "pdf_generation")
    assert call("jobs_check", "--json").facts["problems"] == 1


def test_a_row_that_lags_behind_its_declaration_is_a_warning(sound: None) -> None:
    row = JobType.objects.get(pk="pdf_generation")
    assert row.declared is not None
    JobType.objects.filter(pk=row.pk).update(declared={**row.declared, "retry_delay": 1}, retry_delay=1)
    told = findings_about_types()["declared job types"]
    assert (told.level, told.code, told.facts["types"]) == ("WARNING", "not_up_to_date", "pdf_generation")


@pytest.mark.usefixtures("nothing_declared")
def test_a_wrong_declaration_is_a_problem() -> None:
    job_handler("bake", default_priority="urgent")(handlers.do_nothing)
    told = findings_about_types()["declared job types"]
    assert (told.level, told.code, "bake" in told.text) == ("PROBLEM", "wrong_declarations", True)


def test_a_handler_that_no_longer_loads_is_a_problem_with_what_waits_for_it(
    sound: None, organization: Organization
) -> None:
    verbs.use_broker(DeadBroker())  # type: ignore[arg-type]
    kind = make_job_type()
    submit_job(kind, organization)
    JobType.objects.filter(pk=kind.pk).update(handler_method="tests.support.handlers.of_the_past")
    told = findings_about_types()["handlers"]
    assert (told.level, told.code, told.facts["waiting"]) == ("PROBLEM", "unloadable", 1)
    assert told.facts["types"].startswith(f"{kind.pk} (")
    assert "tests.support.handlers.of_the_past (AttributeError)" in told.facts["types"]


def test_a_handler_of_a_disabled_type_may_be_gone(sound: None) -> None:
    make_job_type()
    JobType.objects.filter(pk__startswith="do_nothing").update(handler_method="no.such.thing", is_enabled=False)
    told = findings_about_types()["handlers"]
    assert (told.level, told.code) == ("OK", "loadable")


def test_jobs_that_an_older_worker_could_not_load_are_a_warning(sound: None, organization: Organization) -> None:
    verbs.use_broker(MemoryBroker())
    kind = make_job_type()
    path, gone = kind.handler_method, "tests.support.handlers.of_the_next_release"
    JobType.objects.filter(pk=kind.pk).update(handler_method=gone)
    verbs.claim([ticket_of(queue_up(submit_job(kind, organization)))], "an-older-worker")
    JobType.objects.filter(pk=kind.pk).update(handler_method=path)
    told = findings_about_types()["handlers"]
    assert (told.level, told.code, told.facts["jobs"]) == ("WARNING", "put_back", 1)
    assert gone in told.text
