"""While the main loop claims, the refiller asks the policy again: what they remember together."""

from __future__ import annotations

import gc
import threading

import pytest

from django_jobs.engine.execution import policy_memory
from django_jobs.engine.store import line_watch
from django_jobs.models import JobType, Organization
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.brokers import WORKER, pending_job, queue_up, ticket_of
from tests.support.verbs import ClaimRow, Interpose, PolicyRefusal, Refiller

pytestmark = pytest.mark.usefixtures("broker")

SUSPENDED = PolicyRefusal(Status.PENDING, "The organization is not active")


@pytest.fixture
def row(kind: JobType, organization: Organization) -> ClaimRow:
    """What a worker read of a job that it has claimed."""
    job = queue_up(pending_job(kind, organization))
    verbs.claim([ticket_of(job)], WORKER)
    (found,) = verbs.store().claim_rows([job.pk])
    verbs.forget_claim_verdicts()
    return found


def ask(row: ClaimRow) -> None:
    policy_memory._ask_now(policy_memory._key(row), row)


def test_a_late_answer_does_not_replace_that_to_a_later_question(
    row: ClaimRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def allow_late(_: ClaimRow) -> None:
        asked.set()
        answer.wait(30)

    monkeypatch.setattr(policy_memory, "_ask_quietly", allow_late)
    late = threading.Thread(target=ask, args=[row])
    late.start()
    asked.wait(30)
    monkeypatch.setattr(policy_memory, "_ask_quietly", lambda _: SUSPENDED)
    ask(row)
    answer.set()
    late.join()
    assert verbs.known_verdicts() == []


def test_answers_may_come_while_they_are_walked_through(row: ClaimRow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older Pythons collect garbage in the midst of it, and finalizers let other threads run."""
    monkeypatch.setattr(policy_memory, "_ask_quietly", lambda _: None)
    for number in range(verbs.KNOWN_VERDICTS):
        ask(row._replace(owner_name=f"user-{number}"))
    others: list[threading.Thread] = []

    def let_another_run(phase: str, _: object) -> None:
        if phase == "start" and len(others) < 2 * verbs.KNOWN_VERDICTS:
            others.append(threading.Thread(target=ask, args=[row._replace(owner_name=f"another-{len(others)}")]))
            others[-1].start()
            others[-1].join(0.01)

    thresholds = gc.get_threshold()
    gc.callbacks.append(let_another_run)
    gc.set_threshold(1)
    try:
        assert len(verbs.known_verdicts()) >= verbs.KNOWN_VERDICTS - 1
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(let_another_run)
        for other in others:
            other.join()


def test_a_slow_policy_holds_up_a_refill_by_one_answer_at_most(
    row: ClaimRow, monkeypatch: pytest.MonkeyPatch, interpose: Interpose
) -> None:
    refilled, asked, may_answer = threading.Semaphore(0), threading.Event(), threading.Event()
    questions: list[ClaimRow] = []
    #: How many questions had been asked at each refill.
    before: list[int] = []

    def answer_slowly(question: ClaimRow) -> None:
        questions.append(question)
        asked.set()
        may_answer.wait(30)

    def refill(*_: object) -> None:
        before.append(len(questions))
        refilled.release()

    monkeypatch.setattr(policy_memory, "_ask_quietly", answer_slowly)
    interpose("refill", refill)
    interpose("refill_if_empty", lambda *_: None)
    for number in range(20):
        verbs.known_handler(row._replace(owner_name=f"user-{number}"))
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


def test_a_line_that_falls_silent_while_the_refiller_asks_is_given_up(
    row: ClaimRow, monkeypatch: pytest.MonkeyPatch, interpose: Interpose
) -> None:
    asked, limits = threading.Event(), []

    def ask_policy(_: ClaimRow) -> None:
        limits.append(line_watch._of_thread.line.seconds)
        asked.set()

    monkeypatch.setattr(policy_memory, "_ask_quietly", ask_policy)
    interpose("refill", lambda *_: None)
    interpose("refill_if_empty", lambda *_: None)
    verbs.known_handler(row)
    refiller = Refiller()
    refiller.start()
    try:
        refiller.ask(1)
        assert asked.wait(30)
    finally:
        refiller.stop()
    assert limits == [verbs.SILENT_LINE_SECONDS]
