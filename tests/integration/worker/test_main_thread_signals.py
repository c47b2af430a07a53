"""The main thread's signals, by which handlers are stopped: each job finds them as the worker set them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from django_jobs.exceptions import JobTimedOut
from tests.integration.worker.test_slots import Child
from tests.support.brokers import MemoryBroker, reread, running_job

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

OURS = (signal.SIGALRM, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def child(broker: MemoryBroker) -> Iterator[Child]:
    before = {number: signal.getsignal(number) for number in OURS}
    child = Child(1, broker)
    yield child
    child.slots.close()
    child.state.shared_slots.close()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("taken", [OURS, OURS[1:]])
def test_signals_that_a_handler_took_over_are_given_back_at_its_end(
    child: Child, taken: tuple[signal.Signals, ...]
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: None)  # as the child's main loop does, which comes after the slots
    before = [signal.getsignal(number) for number in OURS]

    def take_over(context: Any) -> None:
        for number in taken:
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit

    assert child.run(take_over).status == "Failed"
    assert [signal.getsignal(number) for number in OURS] == before


def test_a_timeout_is_one_also_after_a_handler_that_used_the_alarm_for_its_own(child: Child) -> None:
    """With the default action the alarm would end the process."""

    def use_the_alarm(context: Any) -> None:
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.alarm(5)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    interrupted: list[type] = []

    def wait(context: Any) -> None:
        try:
            threading.Event().wait(10)
        except BaseException as error:
            interrupted.append(type(error))
            raise

    assert child.run(use_the_alarm).status == "Completed"
    assert signal.getsignal(signal.SIGALRM) != signal.SIG_DFL
    job, claimed = running_job()
    claimed.handler, claimed.timeout_seconds = wait, 1
    child.state.in_hand.put([claimed])
    child.slots.run_batch()
    child.state.settle()
    assert (reread(job).status, interrupted) == ("Timed Out", [JobTimedOut])
