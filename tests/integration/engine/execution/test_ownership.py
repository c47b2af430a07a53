"""What an attempt gets that owns its job no longer, or cannot know."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import Error, OperationalError
from pytest_django import DjangoDbBlocker

from django_jobs.exceptions import AttemptLost
from django_jobs.models import Job
from tests.support import verbs
from tests.support.attempts import FreeRunner, Stage
from tests.support.brokers import running_job
from tests.support.cases import rolled_back
from tests.support.verbs import Interpose, outcomes

pytestmark = pytest.mark.usefixtures("broker")


def test_an_attempt_whose_lease_ran_out_owns_its_job_no_more_though_nobody_has_taken_it_yet() -> None:
    job, claimed = running_job()
    context: Any = verbs.context_for(claimed, FreeRunner())
    Job.objects.filter(pk=job.pk).update(lease_expires_at=verbs.now() + dt.timedelta(seconds=5))
    assert context.still_owned()
    Job.objects.filter(pk=job.pk).update(lease_expires_at=verbs.now() - dt.timedelta(milliseconds=1))
    assert not context.still_owned()


def test_an_attempt_owns_nothing_while_another_worker_has_one_of_the_same_number() -> None:
    job, claimed = running_job()
    context: Any = verbs.context_for(claimed, FreeRunner())
    Job.objects.filter(pk=job.pk).update(worker_name="another worker")
    assert not context.still_owned()


def test_nobody_says_that_an_attempt_owns_its_job_while_the_database_gives_no_answer(
    interpose: Interpose,
) -> None:
    def lose(*_: Any) -> bool:
        raise OperationalError("the server closed the connection")

    interpose("is_owned", lose)
    context: Any = verbs.context_for(running_job()[1], FreeRunner())
    with pytest.raises(Error):
        context.still_owned()


def test_a_coroutine_asks_too() -> None:
    async def ask(context: Any) -> dict[str, Any]:
        return {"owned": await context.astill_owned()}

    ended = Stage().run(ask, how=verbs.attempt)
    assert ended.result == {"owned": True}


CALLS: dict[str, Any] = {
    "update_progress": lambda context: context.update_progress(1),
    "submit_job": lambda context: context.submit_job("echo"),
    "save_output": lambda context: context.save_output("a.txt", "text"),
    "parents": lambda context: context.parents,
    "get_organization": lambda context: context.get_organization(),
    "still_owned": lambda context: context.still_owned(),
}


def test_an_attempt_that_is_known_to_be_lost_ends_at_its_next_call_and_does_nothing_there(
    subtests: pytest.Subtests, django_db_blocker: DjangoDbBlocker
) -> None:
    for name, call in CALLS.items():
        with rolled_back(subtests, call=name):
            stage = Stage()

            def handler(context: Any, stage: Stage = stage, call: Any = call) -> None:
                stage.interrupter.want(AttemptLost)
                with django_db_blocker.block():
                    call(context)

            assert isinstance(stage.run(handler, how=verbs.attempt), outcomes.Interrupted)


def test_inside_a_shield_a_lost_attempt_learns_that_it_owns_nothing_and_ends_behind_it() -> None:
    stage, steps = Stage(), []

    def handler(context: Any) -> None:
        stage.interrupter.want(AttemptLost)
        with context.shielded():
            steps.append(context.still_owned())
        steps.append("after the shield")

    ended = stage.run(handler, how=verbs.attempt)
    assert (type(ended), steps) == (outcomes.Interrupted, [False])
