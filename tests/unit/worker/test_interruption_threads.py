"""An interruption of another thread comes inside the handler, once, or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from typing import Any

import pytest

from django_jobs.exceptions import JobCanceled
from tests.support.tuning import Tuning
from tests.support.verbs import Interrupter


def test_another_thread_is_interrupted_where_it_stands() -> None:
    interrupter = Interrupter(on_main_thread=False)
    began, caught = threading.Event(), []

    def handler() -> None:
        try:
            with interrupter.interruptible():
                began.set()
                while True:
                    pass
        except JobCanceled as error:
            caught.append(error)

    thread = threading.Thread(target=handler)
    thread.start()
    began.wait()
    interrupter.request(JobCanceled)
    thread.join(10)
    assert len(caught) == 1


def test_nobody_who_interrupts_a_thread_waits_while_the_network_is_asked_to_end_its_statements() -> None:
    interrupter = Interrupter(on_main_thread=False)
    with interrupter._raising:  # held meanwhile
        thread = threading.Thread(target=interrupter.request, args=[JobCanceled], daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
    assert interrupter.wanted is JobCanceled


def test_many_that_interrupt_another_thread_at_once_do_it_once(monkeypatch: pytest.MonkeyPatch, tuning: Tuning) -> None:
    tuning.set(interruption_repeat_seconds=600.0)
    raised: list[Any] = []
    interrupter = Interrupter(on_main_thread=False)
    with interrupter.interruptible(), monkeypatch.context() as patch:
        patch.setattr(ctypes.pythonapi, "PyThreadState_SetAsyncExc", lambda *arguments: raised.append(arguments))
        threads = [threading.Thread(target=interrupter.request, args=[JobCanceled]) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(raised) == 1


def test_a_thread_whose_handler_ends_while_it_is_interrupted_is_left_alone_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupter = Interrupter(on_main_thread=False)
    asked, left = threading.Event(), threading.Event()
    steps: list[str] = []
    really_raise = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def raise_late(thread: Any, kind: Any) -> None:
        if kind is not None:
            asked.set()
            left.wait(0.2)  # in vain, since the handler's end waits for this
        really_raise(thread, kind)

    def slot() -> None:
        with contextlib.suppress(JobCanceled), interrupter.interruptible():
            prodder.start()
            asked.wait()
        interrupter.close()
        left.set()
        prodder.join()
        steps.append("settled")

    monkeypatch.setattr(ctypes.pythonapi, "PyThreadState_SetAsyncExc", raise_late)
    prodder = threading.Thread(target=interrupter.request, args=[JobCanceled])
    thread = threading.Thread(target=slot)
    thread.start()
    thread.join(10)
    assert steps == ["settled"]
