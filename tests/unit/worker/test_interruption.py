"""An interruption comes only inside the handler, and waits for shields."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from django_jobs.exceptions import AttemptLost, JobCanceled, JobTimedOut, WorkerStopping
from tests.support import verbs
from tests.support.tuning import Tuning
from tests.support.verbs import CheckpointRunner, Interpose, Interrupter


@pytest.fixture
def interrupter() -> Interrupter:
    return Interrupter(on_main_thread=True)


def test_nothing_is_raised_while_nothing_is_due(interrupter: Interrupter) -> None:
    with interrupter.interruptible():
        interrupter.check()
        interrupter.on_signal()


def test_what_is_due_is_raised_inside_the_handler(interrupter: Interrupter) -> None:
    interrupter.want(JobTimedOut)
    with pytest.raises(JobTimedOut), interrupter.interruptible():
        interrupter.check()


def test_a_signal_raises_what_is_due(interrupter: Interrupter) -> None:
    interrupter.want(JobCanceled)
    with pytest.raises(JobCanceled), interrupter.interruptible():
        interrupter.on_signal()


def test_a_second_signal_does_not_disturb_what_the_handler_does_about_the_first(interrupter: Interrupter) -> None:
    steps = []
    interrupter.want(JobCanceled)
    with pytest.raises(JobCanceled), interrupter.interruptible():  # noqa: PT012  (the order is what is tested)
        try:
            interrupter.on_signal()
        except JobCanceled:
            interrupter.on_signal()
            steps.append("cleaned up")
            raise
    assert steps == ["cleaned up"]


def test_a_handler_that_goes_on_is_interrupted_by_a_signal_again_after_two_seconds(
    interrupter: Interrupter, tuning: Tuning
) -> None:
    clock = SimpleNamespace(monotonic=lambda: 1.0)  # also soon after the machine has started
    tuning.set(interruption_clock=clock)
    interrupter.want(JobCanceled)
    with interrupter.interruptible():
        with pytest.raises(JobCanceled):
            interrupter.on_signal()
        clock.monotonic = lambda: 2.9
        interrupter.on_signal()
        clock.monotonic = lambda: 3.1
        with pytest.raises(JobCanceled):
            interrupter.on_signal()


def test_outside_the_handler_nothing_is_raised(interrupter: Interrupter) -> None:
    interrupter.want(JobCanceled)
    interrupter.check()
    interrupter.on_signal()
    with interrupter.interruptible():
        pass
    interrupter.check()


def test_a_shield_makes_it_wait_until_its_end(interrupter: Interrupter) -> None:
    steps = []
    with pytest.raises(JobCanceled), interrupter.interruptible():  # noqa: PT012  (the order is what is tested)
        with interrupter.shielded():
            interrupter.want(JobCanceled)
            interrupter.check()
            interrupter.on_signal()
            steps.append("saved")
        steps.append("after the shield")
    assert steps == ["saved"]


def test_the_innermost_shields_end_is_not_enough(interrupter: Interrupter) -> None:
    steps = []
    interrupter.want(JobCanceled)
    with pytest.raises(JobCanceled), interrupter.interruptible(), interrupter.shielded():  # noqa: PT012
        with interrupter.shielded():
            pass
        steps.append("still shielded")
    assert steps == ["still shielded"]


def test_an_error_inside_a_shield_is_not_replaced(interrupter: Interrupter) -> None:
    interrupter.want(JobCanceled)
    with pytest.raises(ZeroDivisionError), interrupter.interruptible(), interrupter.shielded():
        raise ZeroDivisionError


@pytest.mark.parametrize("on_main_thread", [True, False])
def test_what_a_handler_does_about_one_that_was_raised_in_a_shield_is_not_disturbed(on_main_thread: bool) -> None:
    interrupter, steps = Interrupter(on_main_thread), []
    with pytest.raises(AttemptLost), interrupter.interruptible():  # noqa: PT012  (the order is what is tested)
        try:
            with interrupter.shielded():
                raise AttemptLost  # as a step that is refused does, which may know it before the relay
        except AttemptLost:
            interrupter.want(AttemptLost)
            (interrupter.on_signal if on_main_thread else interrupter.deliver)()
            steps.append("cleaned up")
            raise
    assert steps == ["cleaned up"]


def test_the_first_kind_that_was_asked_for_stays(interrupter: Interrupter) -> None:
    interrupter.want(JobTimedOut)
    interrupter.want(JobCanceled)
    assert interrupter.wanted is JobTimedOut


def test_a_handler_that_swallows_it_gets_it_again_at_the_next_checkpoint(interrupter: Interrupter) -> None:
    interrupter.want(JobCanceled)
    with interrupter.interruptible():
        for _ in range(2):
            with pytest.raises(JobCanceled):
                interrupter.check()


@pytest.mark.parametrize("on_main_thread", [True, False])
def test_after_an_interruption_that_struck_on_the_way_out_the_slot_can_close_it(on_main_thread: bool) -> None:
    interrupter = Interrupter(on_main_thread)
    way_in = interrupter.interruptible()
    way_in.__enter__()
    interrupter.want(JobCanceled)
    interrupter.close()
    interrupter.check()
    interrupter.on_signal()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (JobCanceled, (True, False)),
        (AttemptLost, (True, True)),
        (JobTimedOut, (False, False)),
        (WorkerStopping, (False, False)),
        (None, (False, False)),
    ],
)
def test_a_context_tells_a_cancel_and_a_loss_from_other_reasons_to_stop(
    interrupter: Interrupter, kind: Any, expected: tuple[bool, bool]
) -> None:
    if kind:
        interrupter.want(kind)
    assert (interrupter.is_canceled(), interrupter.is_lost()) == expected


def test_a_shield_in_one_thread_holds_in_the_others(interrupter: Interrupter) -> None:
    entered, leave, caught = threading.Event(), threading.Event(), []

    def save() -> None:
        try:
            with interrupter.shielded():
                entered.set()
                leave.wait()
        except JobCanceled as error:
            caught.append(error)

    thread = threading.Thread(target=save)
    with interrupter.interruptible():
        thread.start()
        entered.wait()
        interrupter.want(JobCanceled)
        interrupter.check()
        interrupter.on_signal()
        leave.set()
        thread.join()
    assert len(caught) == 1


@pytest.mark.parametrize(("seconds", "canceled", "kind"), [(300, True, JobCanceled), (-1, False, JobTimedOut)])
def test_under_a_plain_rqworker_a_shield_makes_it_wait_too(
    seconds: int, canceled: bool, kind: type[BaseException]
) -> None:
    claimed: Any = SimpleNamespace(pk=7, attempt=2, key=(7, 2), timeout_seconds=seconds, claimed_at=verbs.uptime())
    runner = CheckpointRunner(claimed, "rqworker")
    stopped: Any = SimpleNamespace(is_set=lambda: canceled)
    runner.stopped = stopped
    steps = []
    with pytest.raises(kind):  # noqa: PT012  (the order is what is tested)
        with runner.shielded():
            runner.check()
            steps.append("saved")
        steps.append("after the shield")
    assert steps == ["saved"]


@pytest.mark.parametrize("is_shared", [True, False], ids=["the engine's connection", "one of a thread of the handler"])
def test_a_statement_that_is_found_after_the_handler_has_ended_is_ended_only_if_it_is_the_handlers(
    interpose: Interpose, is_shared: bool
) -> None:
    connection = SimpleNamespace(alias="default")
    interrupter = Interrupter(on_main_thread=True, connections=[connection] if is_shared else [])
    answers: list[bool] = []

    def end_statement(connection: Any, is_wanted: Any) -> None:
        answers.append(is_wanted())
        interrupter.close()
        answers.append(is_wanted())

    store = SimpleNamespace(knows_activity=False, end_statement=end_statement)
    interpose("store_of", lambda _: store)
    interrupter.connections = [connection]
    with interrupter.interruptible():
        interrupter._end_from_outside()
    assert answers == [True, not is_shared]


def test_in_threads_statements_are_ended_whether_or_not_the_driver_sees_them(interpose: Interpose) -> None:
    ended: list[str] = []
    interpose(
        "store_of",
        lambda alias: SimpleNamespace(knows_activity=alias == "seen", end_statement=lambda *_: ended.append(alias)),
    )
    connections = [SimpleNamespace(alias="seen"), SimpleNamespace(alias="not seen")]
    interrupter = Interrupter(on_main_thread=False, connections=connections)
    with interrupter.interruptible():
        interrupter._end_from_outside()
    assert ended == ["seen", "not seen"]
