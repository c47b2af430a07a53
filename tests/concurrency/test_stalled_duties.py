"""A scheduler whose tick hangs tells so itself: what tells has threads of its own."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction

from django_jobs.models import Alert
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, Scheduler
from tests.support.waiting import wait_until


@pytest.mark.usefixtures("broker")
def test_a_tick_that_hangs_is_an_alarm_by_the_name_of_its_duty(interpose: Interpose, tuning: Tuning) -> None:
    goes_on, stop = threading.Event(), threading.Event()
    interpose("dispatch_patiently", lambda: int(goes_on.wait(60)))
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


@pytest.mark.skipif(connection.vendor != "postgresql", reason="a table that somebody holds ends no statement there")
@pytest.mark.usefixtures("broker")
def test_a_duty_whose_statements_never_get_an_answer_is_an_alarm_by_its_name(tuning: Tuning) -> None:
    """The rule that reads the same table is given up after a while, and the other rules go on."""
    stop, waits_no_more = threading.Event(), threading.Event()
    tuning.set(alert_statement_seconds=0.5, duty_stalled_seconds=2.0, duty_look_seconds=0.1, alert_pause_seconds=0.2)
    scheduler = Scheduler("one")

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE django_jobs_schedule IN ACCESS EXCLUSIVE MODE")
            is_held.set()
            waits_no_more.wait(60)
        connections.close_all()

    def work() -> None:
        scheduler.run(stop)
        connections.close_all()

    def is_told() -> bool:
        return Alert.objects.filter(rule="duty_stalled", subject="fire_schedules").exists()

    is_held = threading.Event()
    threads = [threading.Thread(target=target, daemon=True) for target in (hold, work)]
    threads[0].start()
    assert is_held.wait(30)
    threads[1].start()
    try:
        wait_until(is_told, 30, "the alarm")
    finally:
        waits_no_more.set()
        stop.set()
        for thread in threads:
            thread.join(60)
