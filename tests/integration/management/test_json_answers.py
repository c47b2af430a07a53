"""``--json`` of the commands that look at a system and keep it: one line for programs, with the facts of the text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management.base import SystemCheckError
from django.db import OperationalError

from django_jobs import job_handler, schedule_job, submit_job
from django_jobs.models import Job, Worker
from tests.support import handlers, verbs
from tests.support.brokers import job_in
from tests.support.commands import QUEUES, DeadBroker, call, run
from tests.support.factories import make_job_type, make_organization
from tests.support.operations import dead
from tests.support.verbs import PROBLEM, Finding, Interpose, JobsStatus

KEYS = {
    "moment": str,
    "unfinished": dict,
    "ended": dict,
    "oldest_waiting_seconds": float,
    "broker_answers": bool,
    "depths": list,
    "set_aside": int,
    "batches": dict,
    "breakers": list,
    "limits": list,
    "scheduler": dict,
    "schedules": dict,
    "workers": list,
    "alarms": list,
}


def test_the_status_tells_programs_what_it_shows_people(sound: None) -> None:
    kind, acme = make_job_type(), make_organization(name="acme")
    submit_job(kind, acme, priority="Low")
    verbs.dispatch()
    schedule_job("nightly", kind, acme, every=3600)
    facts = call("jobs_status", "--json").facts
    assert {name: type(value) for name, value in facts.items()} == KEYS
    assert facts["unfinished"]["Queued"] == 1
    assert facts["ended"]["Completed"] == {"count": 0, "capped": False}
    low = next(item for item in facts["depths"] if item["priority"] == "Low")
    assert low == {"pool": "default", "priority": "Low", "due": 0, "later": 0, "queued": 1, "running": 0, "tickets": 1}
    (worker,) = facts["workers"]
    assert (facts["scheduler"]["is_alive"], worker["name"], worker["slots"]) == (True, "worker-1", 1)
    assert (worker["queues"], worker["quiet_since"]) == (list(QUEUES), None)
    assert facts["schedules"]["next"][0]["name"] == "nightly"
    broker: Any = DeadBroker()
    verbs.use_broker(broker)
    Worker.objects.update(quiet_since=verbs.now())
    assert "Quiet since" in run("jobs_status")
    facts = call("jobs_status", "--json").facts
    assert facts["workers"][0]["quiet_since"]
    assert (facts["broker_answers"], {item["tickets"] for item in facts["depths"]}) == (False, {None})


@pytest.mark.usefixtures("broker")
def test_watching_writes_a_line_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = iter([None])

    def pause(_seconds: float) -> None:
        if next(pauses, KeyboardInterrupt) is KeyboardInterrupt:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", pause)
    lines = run("jobs_status", "--watch", "--json").splitlines()
    assert [list(json.loads(line)) for line in lines] == [list(KEYS), list(KEYS)]


def test_the_check_tells_programs_what_it_found(interpose: Interpose, sound: None) -> None:
    facts = call("jobs_check", "--json").facts
    assert (facts["problems"], {"level", "subject", "code", "text"}) == (0, set(facts["findings"][0]))
    interpose("examine", lambda: iter([Finding(level=PROBLEM, subject="database", code="away")]))
    answer = call("jobs_check", "--json")
    assert (answer.code, answer.facts["problems"], answer.error["code"]) == (1, 1, "problems")


@pytest.mark.usefixtures("broker", "nothing_declared")
def test_a_synchronization_tells_programs_what_it_did() -> None:
    job_handler("print_letters")(handlers.do_nothing)
    created = {"name": "print_letters", "change": "created", "fields": [], "kept": []}
    check = call("jobs_sync", "--check", "--json")
    assert (check.code, check.error["code"], check.facts["job_types"]) == (1, "not_up_to_date", [created])
    facts = call("jobs_sync", "--json").facts
    assert list(facts) == ["check", "job_types", "schedules", "undeclared"]
    assert (facts["check"], facts["job_types"]) == (False, [created])
    assert call("jobs_sync", "--check", "--json").facts["job_types"] == []


@pytest.mark.usefixtures("broker")
def test_pruning_tells_programs_what_it_deleted() -> None:
    acme = make_organization(name="acme")
    job_in("Completed", organization=acme)
    assert call("jobs_prune", "--json").facts == {
        "deleted": 0,
        "organization": None,
        "files_left": 0,
        "others_stay": False,
    }
    refused = call("jobs_prune", "--organization", "acme", "--json")
    assert (refused.code, refused.out) == (1, "")
    answer = call("jobs_prune", "--organization", "acme", "--yes", "--json")
    assert (answer.facts["deleted"], Job.objects.count()) == (1, 0)
    assert "acme" in answer.err


@pytest.mark.usefixtures("broker")
def test_a_replay_tells_programs_why_it_was_refused() -> None:
    dead(make_job_type(type_name="print_letters"), 1)
    answer = call("jobs_replay", "--type", "print_leters", "--json")
    assert (answer.code, answer.error["did_you_mean"]) == (2, ["print_letters"])
    assert call("jobs_replay", "--type", "print_letters", "--json").facts["count"] == 1


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize("command", ["jobs_status", "jobs_prune", "jobs_sync", "jobs_replay --all"])
def test_a_database_that_is_away_is_an_error_for_programs(
    monkeypatch: pytest.MonkeyPatch, interpose: Interpose, command: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("no route\nto host")

    interpose("snapshot", fail)
    interpose("Pruner", fail)
    interpose("declaration_differences", fail)
    interpose("start_operation", fail)
    answer = call(*command.split(), "--json")
    assert (answer.code, answer.out, answer.error["code"], answer.error["exit_code"]) == (3, "", "unavailable", 3)


@pytest.mark.usefixtures("broker")
def test_a_failed_system_check_is_an_error_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise SystemCheckError("what Django found")

    monkeypatch.setattr(JobsStatus, "handle", fail)
    answer = call("jobs_status", "--json")
    assert (answer.code, answer.error["code"]) == (1, "refused")
    assert call("jobs_status").err == "what Django found\n"
