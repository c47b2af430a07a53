"""While the main loop claims, the refiller asks the policy again: what they remember together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections

from django_jobs.models import JobType, Organization
from tests.support import verbs
from tests.support.brokers import WORKER, pending_job, queue_up, ticket_of
from tests.support.verbs import ClaimRow, Interpose, Refiller

pytestmark = [pytest.mark.usefixtures("broker"), pytest.mark.django_db(transaction=True)]


@pytest.fixture
def row(kind: JobType, organization: Organization) -> ClaimRow:
    """What a worker read of a job that it has claimed."""
    job = queue_up(pending_job(kind, organization))
    verbs.claim([ticket_of(job)], WORKER)
    (found,) = verbs.store().claim_rows([job.pk])
    verbs.forget_claim_verdicts()
    return found


@pytest.fixture
def answer_by(interpose: Interpose) -> Callable[[Callable[[], bool]], None]:
    """Let this be the policy's answer to whether an organization is active."""

    def answer(is_active: Callable[[], bool]) -> None:
        interpose("get_policy", lambda: SimpleNamespace(is_active=lambda _: is_active()))

    return answer


def ask(row: ClaimRow) -> None:
    verbs.policy_refusal(row)


def ask_in_a_thread(row: ClaimRow) -> None:
    ask(row)
    connections.close_all()


def test_a_late_answer_does_not_replace_that_to_a_later_question(row: ClaimRow, answer_by: Any) -> None:
    asked, answer = threading.Event(), threading.Event()

    def allow_late() -> bool:
        if threading.current_thread() is not late:
            return False
        asked.set()
        return answer.wait(30)

    answer_by(allow_late)
    late = threading.Thread(target=ask_in_a_thread, args=[row])
    late.start()
    asked.wait(30)
    ask(row)
    answer.set()
    late.join()
    assert verbs.known_handler(row) is None


def test_a_slow_policy_holds_up_a_refill_by_one_answer_at_most(
    row: ClaimRow, answer_by: Any, interpose: Interpose
) -> None:
    refilled, asked, may_answer = threading.Semaphore(0), threading.Event(), threading.Event()
    questions: list[object] = []
    #: How many questions had been asked at each refill.
    before: list[int] = []

    def answer_slowly() -> bool:
        questions.append(1)
        asked.set()
        return may_answer.wait(30)

    def refill(*_: object, if_empty: bool = False) -> None:
        if if_empty:
            return
        before.append(len(questions))
        refilled.release()

    answer_by(answer_slowly)
    interpose("refill", refill)
    for number in range(20):
        verbs.known_handler(row._replace(organization=f"organization-{number}"))
    refiller = Refiller()
    refiller.start()
    try:
        refiller.ask(1)
        assert asked.wait(30)
        assert refilled.acquire(timeout=30)
        refiller.ask(1)
        may_answer.set()
        assert refilled.acquire(timeout=30)
    finally:
        may_answer.set()
        refiller.stop()
    assert before == [0, 1]
