"""A worker's share of the backlog: claimed without tickets, by the same rules as with them."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection

from django_jobs import cancel_job, get_job_history, submit_job
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from django_jobs.pools import all_queues
from django_jobs.statuses import Priority
from tests.support import handlers, verbs
from tests.support.brokers import (
    ALL_QUEUES,
    WORKER,
    MemoryBroker,
    job_in,
    pending_job,
    queue_for,
    queue_up,
    reread,
    start,
    ticket_of,
)
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, Ticket

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only there a move passes two statuses at once"),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture(autouse=True)
def _few_go_by_themselves(settings: Any) -> None:
    """Leave what is submitted in the backlog: nobody has room for it."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 100}


def waiting(kind: JobType, organization: Organization, count: int = 1, **fields: Any) -> list[Job]:
    """Jobs of the backlog, of an organization and type that a worker knows to be allowed."""
    ask_policy(kind, organization)
    return [pending_job(kind, organization, **fields) for _ in range(count)]


def ask_policy(kind: JobType, organization: Organization) -> None:
    """Have the policy's answer known for a second, as after any claim."""
    start(pending_job(kind, organization))


def take(
    count: int = 16,
    *,
    priorities: Sequence[int] = tuple(Priority),
    fits: Any = len,
    about_to_start: Any = lambda _: None,
) -> list[int] | None:
    """The keys of what a worker gets as its share."""
    found = verbs.take_share([queue_for(item) for item in priorities], count, WORKER, fits, about_to_start)
    return None if found is None else [item.pk for item in found]


def test_a_job_of_the_backlog_runs_with_the_history_of_one_that_had_a_ticket(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    (job,) = waiting(kind, organization)
    assert take() == [job.pk]
    row = reread(job)
    assert (row.status, row.attempt, row.worker_name, row.ready_at) == ("Running", 1, WORKER, None)
    assert row.queued_at
    assert row.lease_expires_at
    assert row.started_at == row.queued_at
    logs = ExecutionLog.objects.filter(job=job).order_by("id")
    assert list(logs.values_list("from_status", "to_status", "actor", "attempt", "worker_name")) == [
        ("", "Pending", "system", 0, ""),
        ("Pending", "Queued", "system", 0, ""),
        ("Queued", "Running", "worker", 1, WORKER),
    ]
    assert broker.pks() == []


def test_a_share_holds_all_that_the_run_needs(kind: JobType, organization: Organization) -> None:
    (job,) = waiting(kind, organization, parameters={"month": 3}, metadata={"trace": "x"})
    (claimed,) = verbs.take_share(all_queues(), 16, WORKER, len, lambda _: None) or []
    assert (claimed.job_id, claimed.attempt, claimed.timeout_seconds) == (job.name, 1, 300)
    assert (claimed.parameters, claimed.metadata) == ({"month": 3}, {"trace": "x"})
    assert (claimed.organization, claimed.organization_pk) == (organization.name, organization.pk)
    assert claimed.handler is handlers.do_nothing
    assert claimed.ticket == ticket_of(job)


def test_both_changes_are_announced_in_the_order_of_the_log(
    kind: JobType, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = waiting(kind, organization, 3)
    heard: list[tuple[int, str]] = []
    monkeypatch.setattr(
        verbs.move_hooks.announcer,
        "changed",
        lambda moved, _: heard.extend((item.log_id, item.to_status) for item in moved),
    )
    take()
    logs = ExecutionLog.objects.filter(job__in=jobs, to_status__in=["Queued", "Running"]).order_by("id")
    assert heard == list(logs.values_list("id", "to_status"))


def test_organizations_take_turns(kind: JobType) -> None:
    flooding, quiet = make_organization(), make_organization()
    flood, few = waiting(kind, flooding, 10), waiting(kind, quiet, 2)
    assert set(take(4) or []) == {flood[0].pk, flood[1].pk, few[0].pk, few[1].pk}
    assert take(2) == [flood[2].pk, flood[3].pk]


def test_the_next_turn_is_that_of_the_next_organization(kind: JobType) -> None:
    organizations = [make_organization() for _ in range(3)]
    for organization in organizations:
        waiting(kind, organization, 2)
    served = [Job.objects.get(pk=pk).organization_id for _ in range(6) for pk in take(1) or []]
    assert sorted(served[:3]) == sorted(served[3:]) == [organization.pk for organization in organizations]


def test_no_organization_gets_more_than_it_may_have_in_flight(
    kind: JobType, organization: Organization, settings: Any
) -> None:
    waiting(kind, organization, 5)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 3}
    assert len(take() or []) == 2  # one runs
    assert take() == []


def test_the_most_urgent_go_first_and_only_those_that_the_worker_serves(
    kind: JobType, organization: Organization
) -> None:
    (low,) = waiting(kind, organization, priority="Low")
    (high,) = waiting(kind, organization, priority="High")
    (critical,) = waiting(kind, organization, priority="Critical")
    assert take(1, priorities=[Priority.LOW, Priority.HIGH]) == [high.pk]
    assert take() == [critical.pk, low.pk]


def test_what_needs_an_answer_of_the_policy_goes_to_the_broker(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    """The host's code must not run while everybody waits for the lock."""
    jobs = waiting(kind, organization, 2)
    verbs.forget_claim_verdicts()
    assert take() == []
    assert broker.pks() == [job.pk for job in jobs]
    assert [item.pk for item in verbs.claim(broker.take_all(), WORKER)] == [job.pk for job in jobs]
    (later,) = waiting(kind, organization)
    assert take() == [later.pk]


def test_nothing_goes_before_what_is_more_urgent_and_has_to_be_asked_for(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    low = waiting(kind, organization, 3, priority="Low")
    urgent = pending_job(kind, make_organization(), priority="High")
    broker.lose_tickets()
    Job.objects.filter(pk=urgent.pk).update(status="Pending", ready_at=urgent.created_at, queued_at=None)
    assert take() == []
    assert broker.pks()[0] == urgent.pk
    verbs.claim(broker.take_all()[:1], WORKER)
    assert set(take() or []) <= {job.pk for job in low}


def test_nothing_goes_before_what_is_more_urgent_and_queued(kind: JobType, organization: Organization) -> None:
    """Its ticket may come a moment later: it is pushed after the commit."""
    (low,) = waiting(kind, organization, priority="Low")
    urgent = queue_up(pending_job(kind, organization, priority="High"))
    assert take() == []
    assert take(priorities=[Priority.LOW]) == [low.pk]
    assert verbs.claim([ticket_of(urgent)], WORKER)


def test_more_than_the_worker_starts_soon_goes_to_the_broker(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    jobs = waiting(kind, organization, 5)
    assert take(fits=lambda _: 2) == [job.pk for job in jobs[:2]]
    assert broker.pks() == [job.pk for job in jobs[2:]]


def test_a_share_fills_no_more_than_the_window(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    """A ticket keeps its place: jobs of others that come later would wait behind all of them."""
    jobs = waiting(kind, organization, verbs.MIN_WINDOW + 5)
    assert take(fits=lambda _: 1) == [jobs[0].pk]
    assert broker.pks() == [job.pk for job in jobs[1 : verbs.MIN_WINDOW + 1]]
    assert {reread(job).status for job in jobs[verbs.MIN_WINDOW + 1 :]} == {"Pending"}
    assert take(fits=lambda _: 1) == [jobs[verbs.MIN_WINDOW + 1].pk]


def test_who_was_picked_and_left_is_the_next_to_have_a_turn(kind: JobType) -> None:
    verbs.announce_worker(WORKER, ALL_QUEUES, slots=1)
    organizations = sorted((make_organization() for _ in range(4)), key=lambda item: item.pk)
    for organization in organizations:
        waiting(kind, organization, 3)
    served = [Job.objects.get(pk=pk).organization_id for _ in range(2) for pk in take(4, fits=lambda _: 2) or []]
    first, second, _, last = (item.pk for item in organizations)  # the third one's job has the broker's one place
    assert served == [first, second, last, first]


def test_a_share_is_no_larger_than_a_pass_of_the_dispatcher_may_be(kind: JobType, organization: Organization) -> None:
    """New jobs that go without a turn keep that distance from their organization's limit."""
    verbs.announce_worker(WORKER, ALL_QUEUES, slots=1)
    waiting(kind, organization, 7)
    assert len(take(7) or []) == verbs.read_window().most_at_once == 4


def test_no_handler_is_imported_while_everybody_waits_for_the_lock(
    broker: MemoryBroker, kind: JobType, organization: Organization, late_module: str
) -> None:
    """That may take seconds, or end the process, of which the claim by ticket tells its supervisor."""
    (job,) = waiting(kind, organization)
    JobType.objects.filter(pk=kind.pk).update(handler_method=f"{late_module}.run")
    assert take() == []
    assert late_module not in sys.modules
    assert [item.pk for item in verbs.claim(broker.take_all(), WORKER)] == [job.pk]
    later = pending_job(kind, organization)
    assert take() == [later.pk]


@pytest.fixture
def late_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Any:
    """The name of a module that nobody has imported, and that may have handlers."""
    (tmp_path / "late_module.py").write_text("def run(context):\n    return None\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HANDLER_MODULES": ["late_module", "tests.support.handlers"]}
    yield "late_module"
    sys.modules.pop("late_module", None)


def test_a_question_to_which_there_was_no_answer_is_not_asked_again_by_itself(
    broker: MemoryBroker, kind: JobType, organization: Organization, interpose: Interpose
) -> None:
    """Else a policy whose own database is away for one tenant would keep the worker from all shares."""
    waiting(kind, organization)
    verbs.forget_claim_verdicts()
    assert take() == []

    def fail(_: object) -> None:
        raise OperationalError("the policy's own database is away")

    interpose("get_policy", lambda: SimpleNamespace(is_active=fail))
    with pytest.raises(OperationalError):
        take()
    assert take() == []


def test_a_slow_policy_is_asked_one_question_before_a_share(
    broker: MemoryBroker, organization: Organization, interpose: Interpose, tuning: Tuning
) -> None:
    """Else a child that claimed jobs of many kinds by their tickets would stand still before its first share."""
    tuning.set(share_ask_seconds=0.0, policy_ask_again_seconds=1e9)
    kinds = [make_job_type() for _ in range(5)]
    verbs.claim([ticket_of(queue_up(pending_job(kind, organization))) for kind in kinds], WORKER)
    asked: list[object] = []

    def is_active(organization: object) -> bool:
        asked.append(organization)
        return True

    interpose("get_policy", lambda: SimpleNamespace(is_active=is_active))
    take()
    assert len(asked) == 1


@pytest.mark.parametrize(
    "handler", ["tests.support.handlers.not_there", "os.system"], ids=["not loadable", "not allowed"]
)
def test_what_may_not_run_is_turned_away_by_its_ticket(
    broker: MemoryBroker, kind: JobType, organization: Organization, handler: str
) -> None:
    (job,) = waiting(kind, organization)
    JobType.objects.filter(pk=kind.pk).update(handler_method=handler)
    assert take() == []
    assert broker.pks() == [job.pk]


def test_an_expired_job_is_not_started(broker: MemoryBroker, kind: JobType, organization: Organization) -> None:
    (job,) = waiting(kind, organization)
    Job.objects.filter(pk=job.pk).update(expires_at=job.created_at - dt.timedelta(seconds=1))
    assert take() == []
    assert broker.pks() == [job.pk]


def test_a_paused_type_gives_nothing(kind: JobType, organization: Organization) -> None:
    waiting(kind, organization)
    JobType.objects.filter(pk=kind.pk).update(is_paused=True)
    assert take() == []


def test_a_job_that_failed_begins_its_next_attempt(kind: JobType, organization: Organization) -> None:
    ask_policy(kind, organization)
    job = job_in("Failed", job_type=kind, organization=organization)
    Job.objects.filter(pk=job.pk).update(ready_at=job.created_at, is_delayed=False)
    assert take() == [job.pk]
    row = reread(job)
    assert (row.status, row.attempt, row.next_retry_at) == ("Running", 2, None)
    assert [(log["from_status"], log["to_status"]) for log in get_job_history(job)][-2:] == [
        ("Failed", "Queued"),
        ("Queued", "Running"),
    ]


def test_a_job_that_is_to_run_later_is_left_alone(kind: JobType, organization: Organization) -> None:
    waiting(kind, organization, run_at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
    assert take() == []


def test_a_canceled_job_is_left_alone(kind: JobType, organization: Organization) -> None:
    first, second = waiting(kind, organization, 2)
    cancel_job(first)
    assert take() == [second.pk]


def test_a_job_gets_the_values_of_the_submission_that_replaced_it(organization: Organization) -> None:
    kind = make_job_type(deduplication_window=600)
    ask_policy(kind, organization)
    job = submit_job(kind, organization, {"x": 1}, metadata={"n": 1})
    submit_job(kind, organization, {"x": 1}, metadata={"n": 2}, on_duplicate="replace")
    (claimed,) = verbs.take_share(all_queues(), 16, WORKER, len, lambda _: None) or []
    assert (claimed.pk, claimed.metadata) == (job.pk, {"n": 2})


def test_who_is_about_to_start_is_told_before_it_starts(kind: JobType, organization: Organization) -> None:
    jobs = waiting(kind, organization, 2)
    told: list[tuple[Ticket, str]] = []

    def about_to_start(tickets: Sequence[Ticket]) -> None:
        told.extend((ticket, Job.objects.get(pk=ticket.pk).status) for ticket in tickets)

    take(about_to_start=about_to_start)
    assert told == [(ticket_of(job), "Pending") for job in jobs]


def test_another_dispatcher_at_work_leaves_nothing(
    kind: JobType, organization: Organization, interpose: Interpose
) -> None:
    waiting(kind, organization)
    interpose("take_dispatch_lock", lambda _: None)
    assert take() is None


def test_a_broker_that_is_away_gets_nothing_to_keep(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    jobs = waiting(kind, organization, 3)
    broker.is_down = True
    assert take(fits=lambda _: 1) == [jobs[0].pk]
    assert [reread(job).status for job in jobs] == ["Running", "Pending", "Pending"]
    broker.is_down = False
    verbs.dispatch()
    assert verbs.get_broker().depths()[queue_for(Priority.NORMAL)] == 2
