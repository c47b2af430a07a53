"""What children tell their supervisor of what they counted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from django_jobs.worker import child
from django_jobs.worker.reported_counts import CountsReceiver, CountsSender
from tests.support import verbs
from tests.support.tuning import Tuning
from tests.support.verbs import ATTEMPTS, RUNS, CountKey, ProcessCounts, SharedSlots, WorkerOptions

KEY = CountKey(RUNS, "echo", "", "-10")


@pytest.fixture
def receiver() -> Iterator[CountsReceiver]:
    receiver = CountsReceiver()
    yield receiver
    receiver.close()
    verbs.stop_counting()


@pytest.fixture
def sender(receiver: CountsReceiver) -> Iterator[CountsSender]:
    """A child's end, in this process: what is counted from now on goes into it."""
    sender = CountsSender(os.dup(receiver.descriptor))
    receiver.child_has_started()
    yield sender
    sender.close()


def received(receiver: CountsReceiver) -> dict[CountKey, float]:
    """What the supervisor gets now, counted from nothing. After it this process counts nothing."""
    total = ProcessCounts(is_bounded=False)
    verbs.start_counting(total)
    receiver.receive()
    verbs.stop_counting()
    return total.read()


def test_what_was_sent_arrives_once(receiver: CountsReceiver, sender: CountsSender) -> None:
    verbs.count_in_process([(KEY, 2)])
    sender.send()
    sender.send()
    assert received(receiver) == {KEY: 2}
    assert received(receiver) == {}


def test_it_arrives_after_the_childs_end_too(receiver: CountsReceiver, sender: CountsSender) -> None:
    verbs.count_in_process([(KEY, 2)])
    sender.send()
    sender.close()
    assert received(receiver) == {KEY: 2}


def test_what_a_child_counted_last_arrives_whatever_ended_it(
    receiver: CountsReceiver, sender: CountsSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Mock):
        def run(self) -> None:
            verbs.count_in_process([(KEY, 2)])
            raise ZeroDivisionError

    # in place of what changes a whole process for good
    for name in ("gc", "claimed_job", "database", "events", "ports", "store"):
        monkeypatch.setattr(child, name, Mock())
    monkeypatch.setattr(child, "Child", Failing)
    monkeypatch.setattr(child, "CountsSender", lambda _: sender)
    slots = SharedSlots.create(1)
    with pytest.raises(ZeroDivisionError):
        child.run_child("worker-1", WorkerOptions(), slots, 1, 7)
    slots.close()
    assert received(receiver) == {KEY: 2}


def test_what_the_supervisor_has_no_room_for_is_kept_and_sent_later(
    receiver: CountsReceiver, sender: CountsSender, tuning: Tuning
) -> None:
    tuning.set(counts_a_report=10)
    for number in range(50_000):
        verbs.count_in_process([(CountKey(RUNS, f"type-{number}"), 1)])
    sender.send()
    first = received(receiver)
    assert 0 < len(first) < 50_000

    def next_part() -> float:
        sender.send()
        return sum(received(receiver).values())

    assert sum(first.values()) + sum(iter(next_part, 0)) == 50_000


def test_many_numbers_with_the_longest_names_arrive_and_counting_goes_on(
    receiver: CountsReceiver, sender: CountsSender
) -> None:
    keys = [CountKey(ATTEMPTS, "t" * 100, f"{number:03}" + "\N{ROCKET}" * 137, "completed") for number in range(250)]
    verbs.count_in_process([(key, 1) for key in keys])
    sender.send()
    assert verbs.is_counting()
    assert received(receiver) == dict.fromkeys(keys, 1)


def test_a_child_whose_supervisor_is_gone_counts_no_more(receiver: CountsReceiver, sender: CountsSender) -> None:
    receiver.close()
    verbs.count_in_process([(KEY, 2)])
    sender.send()
    assert not verbs.is_counting()


def test_it_sends_when_that_is_due(receiver: CountsReceiver, sender: CountsSender, tuning: Tuning) -> None:
    tuning.set(counts_report_seconds=600.0)
    verbs.count_in_process([(KEY, 1)])
    sender.send_when_due()
    verbs.count_in_process([(KEY, 1)])
    sender.send_when_due()
    assert received(receiver) == {KEY: 1}
