"""What a child's second thread sees to while handlers run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError

from django_jobs.engine.execution import settle
from django_jobs.worker import housekeeper
from django_jobs.worker.batch import Batch
from django_jobs.worker.options import WorkerOptions
from tests.support.brokers import WORKER, reread, running_job

pytestmark = pytest.mark.usefixtures("broker")

OPTIONS = WorkerOptions()


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "not committed"])
def test_what_was_handed_back_does_not_run_though_the_databases_answer_was_lost(
    monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    job, claimed = running_job()
    batch = Batch()
    batch.put([running_job()[1], claimed])
    batch.next()
    monkeypatch.setattr(housekeeper, "HAND_BACK_SECONDS", 0.0)
    child: Any = SimpleNamespace(name=WORKER, options=OPTIONS, batch=batch)
    watch = housekeeper.Steward(child, supervisor=1)
    original = settle.return_to_queue

    def cut_off(*args: Any) -> None:
        if is_committed:
            original(*args)
        raise OperationalError(2013, "Lost connection to server during query")

    monkeypatch.setattr(settle, "return_to_queue", cut_off)
    with pytest.raises(OperationalError):
        watch._hand_back()
    assert batch.next() is None
    monkeypatch.setattr(settle, "return_to_queue", original)
    watch._hand_back()
    assert (reread(job).status, reread(job).retry_count) == ("Queued", 0)


def test_a_job_that_runs_in_our_name_and_nobody_knows_of_is_handed_back_when_it_is_seen_twice() -> None:
    (forgotten, _), (known, claimed), (others, _) = running_job(), running_job(), running_job("worker-2")
    batch = Batch()
    batch.put([claimed])
    child: Any = SimpleNamespace(name=WORKER, options=OPTIONS, batch=batch, known=lambda: {(known.pk, claimed.attempt)})
    watch = housekeeper.Steward(child, supervisor=1)

    watch._return_strangers()
    watch._hand_back()
    assert reread(forgotten).status == "Running"
    watch._return_strangers()
    watch._hand_back()

    assert [reread(job).status for job in (forgotten, known, others)] == ["Queued", "Running", "Running"]
    assert reread(forgotten).retry_count == 0


def test_what_runs_long_enough_to_be_seen_is_shown_before_the_next_heartbeat() -> None:
    job, claimed = running_job()
    shown: list[list[str]] = []
    item = SimpleNamespace(key=(job.pk, claimed.attempt), seconds=0.4)
    slots = SimpleNamespace(
        board=SimpleNamespace(running=lambda: [item]), running=SimpleNamespace(claimed=lambda _: claimed)
    )
    rq = SimpleNamespace(beat=lambda items: shown.append([one.ticket_id for one in items]))
    child: Any = SimpleNamespace(name=WORKER, options=OPTIONS, slots=slots, rq=rq)
    watch = housekeeper.Steward(child, supervisor=1)

    assert not watch._is_any_unseen()
    item.seconds = 0.6
    watch._due.clear()
    assert watch._is_any_unseen()
    watch._show()
    assert shown == [[claimed.ticket.id]]
    watch._due.clear()
    assert not watch._is_any_unseen()
