"""Mails about alarms that a real scheduler sends to a real mail server."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from tests.acceptance.steps import PATIENCE, Stage
from tests.support.alerts import only
from tests.support.factories import make_job_type
from tests.support.monitor import count
from tests.support.smtp import ADMIN, mail_server
from tests.support.tuning import tuned
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

#: A scheduler that evaluates and tries again sooner, and sooner takes an alarm for over.
QUICK: Final = tuned(alert_pause_seconds=0.2, alert_clear_seconds=1, mail_first_pause_seconds=0.5)
SETTINGS: Final = {**only("type_failing"), "SCHEDULER_INTERVAL": 0.2}


def test_a_failing_type_is_one_mail_its_end_another_and_a_storm_one_more(processes: ProcessPool, stage: Stage) -> None:
    kind = make_job_type()
    with mail_server() as (inbox, environ):
        scheduler = processes.start("jobs_scheduler", settings=SETTINGS, environ={**environ, **QUICK})

        count(kind, stage.organization, ago=120, failed=5)
        wait_until(lambda: inbox.messages, PATIENCE, "the mail that it fails")
        count(kind, stage.organization, completed=50)
        wait_until(lambda: len(inbox.messages) == 2, PATIENCE, "the mail that this is over")

        inbox.is_closed = True
        with transaction.atomic():
            for _ in range(50):
                count(make_job_type(), stage.organization, ago=120, failed=5)
        wait_until(lambda: inbox.refused, PATIENCE, "a mail that the server refused")
        inbox.is_closed = False
        wait_until(lambda: len(inbox.messages) == 3, PATIENCE, "the mail about the storm")
        scheduler.stop()

        raised, over, storm = (" ".join(subject.split()) for subject in inbox.subjects())
        assert raised != over
        assert (kind.pk in raised, kind.pk in over, " 50 raised" in storm) == (True, True, True)
        assert {message["To"] for message in inbox.messages} == {ADMIN}
        assert "5 of 5" in str(inbox.messages[0].get_payload())
