"""Keeping broker and database in step."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs.engine.insight.problems import _owner
from django_jobs.exceptions import ForeignBroker
from django_jobs.models import EngineLease, Installation, JobType
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import MemoryBroker, job_in, pending_job, reread, ticket_of
from tests.support.refusals import refused
from tests.support.verbs import EXIT_REASONS, FOREIGN_BROKER, MARKER, Scheduler, TicketWatch


@pytest.fixture
def marked(broker: MemoryBroker) -> MemoryBroker:
    """A broker that belongs to this database."""
    verbs.check_broker()
    return broker


def test_an_installation_keeps_its_id(broker: MemoryBroker) -> None:
    assert verbs.installation_id() == verbs.installation_id() == str(Installation.objects.get().installation_id)


def test_a_new_broker_becomes_ours(broker: MemoryBroker) -> None:
    verbs.check_broker()
    verbs.check_broker()
    assert broker.marker == verbs.installation_id()


def test_another_installations_broker_is_refused(broker: MemoryBroker) -> None:
    broker.marker = "somebody else"
    with refused(ForeignBroker, "foreign_broker") as caught:
        verbs.check_broker()
    assert caught.value.facts["theirs"] == "somebody else"


def test_who_made_the_database_anew_is_told_what_to_do(broker: MemoryBroker) -> None:
    """The commonest cause on a laptop: nobody else has that Redis database, so that another one is no help."""
    verbs.check_broker()
    Installation.objects.all().delete()
    with pytest.raises(ForeignBroker, match=f"redis-cli -n N del {MARKER}$"):
        verbs.check_broker()
    assert all(ForeignBroker.advice in text for text in (EXIT_REASONS[FOREIGN_BROKER], _owner("mine").text))


def test_a_ticket_that_waits_is_not_issued_again(marked: MemoryBroker) -> None:
    marked.push([ticket_of(job_in("Queued"))])
    watch = TicketWatch()
    assert [watch.reissue_lost(), watch.reissue_lost()] == [0, 0]
    assert len(marked.tickets) == 1


def test_a_ticket_counts_as_lost_when_it_is_missing_twice(marked: MemoryBroker) -> None:
    job = job_in("Queued")
    watch = TicketWatch()
    assert [watch.reissue_lost(), watch.reissue_lost(), watch.reissue_lost()] == [0, 1, 0]
    assert marked.tickets == [ticket_of(job)]
    assert reread(job).status == "Queued"


def test_the_ticket_of_a_job_that_others_hold_is_not_lost_until_nobody_finds_it_held(marked: MemoryBroker) -> None:
    job = job_in("Queued")
    verbs.note_held_jobs([job.pk], 30.0)
    verbs.dispatch()
    verbs.forget_held_jobs()  # another process found it
    watch = TicketWatch()
    assert [watch.reissue_lost(), watch.reissue_lost()] == [0, 0]
    EngineLease.objects.update(state={"held": {str(job.pk): 1.0}})
    assert [watch.reissue_lost(), watch.reissue_lost()] == [0, 1]


def test_a_ticket_that_came_back_is_not_lost(marked: MemoryBroker) -> None:
    ticket = ticket_of(job_in("Queued"))
    watch = TicketWatch()
    watch.reissue_lost()
    marked.push([ticket])
    watch.reissue_lost()
    marked.lose_tickets()
    assert watch.reissue_lost() == 0


def test_after_the_broker_was_emptied_every_ticket_is_issued_at_once(marked: MemoryBroker) -> None:
    jobs = [job_in("Queued") for _ in range(3)]
    verbs.note_held_jobs([jobs[0].pk], 30.0)
    verbs.dispatch()
    marked.lose_tickets()
    marked.marker = None
    assert TicketWatch().reissue_lost() == 3
    assert {ticket.pk for ticket in marked.tickets} == {job.pk for job in jobs}
    assert marked.marker == verbs.installation_id()


def test_jobs_that_are_not_queued_need_no_ticket(marked: MemoryBroker) -> None:
    for status in ("Pending", "Running", "Failed", "Completed"):
        job_in(status)
    marked.lose_tickets()
    marked.marker = None
    assert TicketWatch().reissue_lost() == 0


@pytest.mark.parametrize("held", [{"is_paused": True}, {"is_enabled": False}], ids=["paused", "disabled"])
def test_what_no_worker_takes_of_a_held_type_goes_back_to_the_backlog(
    marked: MemoryBroker, held: Any, reasons: Reasons
) -> None:
    job, other = job_in("Queued"), job_in("Queued")
    marked.push([ticket_of(job), ticket_of(other)])
    JobType.objects.filter(pk=job.job_type_id).update(**held)
    verbs.announce_worker("worker", ["jobs-normal"], slots=8)
    verbs.forget_window()
    assert TicketWatch().reissue_lost() == 0
    assert reread(job).status == "Queued"  # its worker puts it back
    verbs.withdraw_worker("worker")
    verbs.forget_window()
    assert TicketWatch().reissue_lost() == 0
    assert (reread(job).status, reread(other).status) == ("Pending", "Queued")
    assert reasons(job) == ["type_paused" if "is_paused" in held else "type_disabled"]


def test_while_the_broker_is_down_nothing_is_done(marked: MemoryBroker) -> None:
    job_in("Queued")
    marked.is_down = True
    assert TicketWatch().reissue_lost() == 0


def test_a_broker_that_turns_out_to_be_anothers_gets_no_ticket(broker: MemoryBroker) -> None:
    scheduler = Scheduler("scheduler-1")
    broker.is_down = True
    job = pending_job()
    scheduler.tick()
    broker.is_down, broker.marker = False, "somebody-else"
    scheduler.tick()
    assert (broker.tickets, reread(job).status) == ([], "Pending")
    broker.marker = None
    scheduler.tick()
    assert broker.pks() == [job.pk]
