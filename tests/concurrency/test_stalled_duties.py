"""A scheduler whose tick hangs tells so itself: what tells has threads of its own."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from django_jobs.models import Alert
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, Scheduler
from tests.support.waiting import wait_until


@pytest.mark.usefixtures("broker")
def test_a_tick_that_hangs_is_an_alarm_by_the_name_of_its_duty(interpose: Interpose, tuning: Tuning) -> None:
    goes_on, stop = threading.Event(), threading.Event()
    interpose("dispatch_without_budget", lambda: int(goes_on.wait(60)))
    tuning.set(duty_stalled_seconds=0.5, duty_look_seconds=0.1, alert_pause_seconds=0.2)
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
