"""A scheduler whose tick hangs tells so itself: what tells has threads of its own."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from django_jobs.engine import duty_watch
from django_jobs.engine.alerts import evaluation
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.scheduler import Scheduler
from django_jobs.models import Alert
from tests.support.waiting import wait_until


@pytest.mark.usefixtures("broker")
def test_a_tick_that_hangs_is_an_alarm_by_the_name_of_its_duty(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on, stop = threading.Event(), threading.Event()
    monkeypatch.setattr(dispatcher, "dispatch_without_budget", lambda: int(goes_on.wait(60)))
    monkeypatch.setattr(duty_watch, "STALLED_SECONDS", 0.5)
    monkeypatch.setattr(duty_watch, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(evaluation, "PAUSE", 0.2)
    scheduler = Scheduler("one")

    def work() -> None:
        scheduler.run(stop)
        connections.close_all()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        wait_until(lambda: Alert.objects.filter(rule="duty_stalled", subject="dispatch").exists(), 30, "the alarm")
    finally:
        goes_on.set()
        stop.set()
        thread.join(60)
