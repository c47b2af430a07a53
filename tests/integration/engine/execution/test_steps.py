"""Steps of a handler: done once for the job, in the same order in every attempt."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import decimal
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

import pytest
from django.db import OperationalError, connections, transaction

from django_jobs import retry_job
from django_jobs.exceptions import AttemptLost, InvalidStep, JobCanceled, StepOrderChanged, TransientError
from django_jobs.models import Job, JobStep
from django_jobs.testing import make_context
from tests.support import verbs
from tests.support.attempts import FreeRunner, Stage
from tests.support.durable import DurableJob, Effects
from tests.support.factories import make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import outcomes

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def durable() -> DurableJob:
    return DurableJob()


@pytest.fixture
def effects() -> Effects:
    return Effects()


def refusal(durable: DurableJob, handler: Any) -> InvalidStep:
    """What refuses a step; the job ends for good by that, and its error says it."""
    durable.run(handler)
    assert isinstance(durable.error, InvalidStep)
    assert (durable.job.status, durable.job.error_message) == ("Dead Letter", str(durable.error))
    return durable.error


def test_a_later_attempt_gets_what_the_first_one_has_stored(durable: DurableJob, effects: Effects) -> None:
    got: list[Any] = []

    def handler(context: Any) -> None:
        got.append(context.step("charge", effects.do, "card"))
        if context.attempt == 1:
            raise TransientError("the network is away")
        got.append(context.step("book", effects.do, what="ledger"))

    durable.run(handler)
    outcome = durable.run(handler)
    assert isinstance(outcome, outcomes.Returned)
    assert effects.done == ["card", "ledger"]
    assert got == [{"receipt": "card"}, {"receipt": "card"}, {"receipt": "ledger"}]
    assert durable.stored() == [(1, "charge", {"receipt": "card"}, 1), (2, "book", {"receipt": "ledger"}, 2)]


def test_a_step_that_raised_is_not_stored(durable: DurableJob) -> None:
    def handler(context: Any) -> None:
        context.step("divide", lambda: 1 // (context.attempt - 1))

    durable.run(handler)
    assert isinstance(durable.error, ZeroDivisionError)
    assert durable.stored() == []
    durable.run(handler)
    assert durable.stored() == [(1, "divide", 1, 2)]


def test_names_that_come_again_are_numbered(durable: DurableJob, effects: Effects) -> None:
    def handler(context: Any) -> None:
        for address in ("a", "b", "c"):
            context.step("mail", effects.do, address)
            if context.attempt == 1 and address == "b":
                raise TransientError("full")

    durable.run(handler)
    durable.run(handler)
    assert [row[1] for row in durable.stored()] == ["mail", "mail #2", "mail #3"]
    assert effects.done == ["a", "b", "c"]


def test_a_step_that_a_handler_tries_again_is_found_by_the_next_attempt(durable: DurableJob, effects: Effects) -> None:
    tries: list[str] = []

    def charge(what: str) -> Any:
        tries.append(what)
        if len(tries) < 3:
            raise ConnectionError("the bank is away")
        return effects.do(what)

    def handler(context: Any) -> None:
        for _ in range(3):
            try:
                context.step("charge", charge, "card")
                break
            except ConnectionError:
                continue
        context.step("book", effects.do, "ledger")
        if context.attempt == 1:
            raise TransientError("killed")

    durable.run(handler)
    assert isinstance(durable.run(handler), outcomes.Returned)
    assert effects.done == ["card", "ledger"]
    assert [step.name for step in JobStep.objects.filter(job=durable.job)] == ["charge", "book"]


@dataclasses.dataclass
class Letter:
    to: str
    day: dt.date


def test_any_argument_has_the_same_digest_in_every_process_and_release(durable: DurableJob) -> None:
    """A job may end in another process than it began in, and of a later release: so the digests are written down."""
    organization = make_organization()
    organization.pk = 7
    letter = Letter("a", dt.date(2026, 1, 31))

    def handler(context: Any) -> None:
        context.step("json", anything, {"b": [1, 2.5], "a": "ä"}, letter.day, decimal.Decimal("1.50"), to=None)
        context.step("forms", anything, organization, b"abc", {"x", "y", "z"}, Effects.do, Effects, Path("a"), letter)
        context.step("by type", anything, context, object(), {1: 1, "a": 1}, float("nan"))
        context.step("client", anything, ServerProxy("http://a.example"))  # which has an attribute of any name

    def anything(*args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    durable.run(handler)
    assert dict(JobStep.objects.filter(job=durable.job).values_list("name", "digest")) == {
        "json": "7c77c52cec510852aa62e24174ce9fea",
        "forms": "95fe63256567927dca93b3e2044ad917",
        "by type": "b7fd9e4b02364f62e1bfbab2d2e68213",
        "client": "3d1b9a4751dc99c060ece71678e956d0",
    }


def test_a_step_that_raised_and_is_passed_over_is_done_by_the_next_attempt(
    durable: DurableJob, effects: Effects
) -> None:
    """Though another one of its name follows, which is not the same call."""

    def mail(to: str, attempt: int) -> Any:
        if (to, attempt) == ("first", 1):
            raise ConnectionError(to)
        return effects.do(to)

    def handler(context: Any) -> None:
        for to in ("first", "second"):
            with contextlib.suppress(ConnectionError):
                context.step("mail", functools.partial(mail, attempt=context.attempt), to)
        if context.attempt == 1:
            raise TransientError("killed")

    durable.run(handler)
    assert isinstance(durable.run(handler), outcomes.Returned)
    assert effects.done == ["second", "first"]


def test_every_attempt_gets_the_stored_form(durable: DurableJob) -> None:
    value = {"day": dt.date(2026, 1, 31), "sum": decimal.Decimal("1.50"), "pair": (1, 2), 7: None, "big": 1e22}
    got: list[Any] = []

    def handler(context: Any) -> None:
        got.append(context.step("make", lambda: value))
        if context.attempt == 1:
            raise TransientError("again")

    durable.run(handler)
    durable.run(handler)
    assert repr(got[0]) == repr(got[1])
    assert got[0] == {"day": "2026-01-31", "sum": "1.50", "pair": [1, 2], "7": None, "big": 1e22}


def test_another_order_is_an_error_that_says_what_to_do(durable: DurableJob, effects: Effects) -> None:
    def old(context: Any) -> None:
        context.step("charge", effects.do, 1)
        raise TransientError("again")

    def new(context: Any) -> None:
        context.step("book", effects.do, 2)

    durable.run(old)
    durable.run(new)
    assert isinstance(durable.error, StepOrderChanged)
    assert (durable.error.code, durable.error.facts) == (
        "other_step",
        {"position": 1, "before": "charge", "step": "book"},
    )
    assert (durable.job.status, effects.done) == ("Dead Letter", [1])


def test_other_arguments_are_an_error_however_often_they_are_tried(durable: DurableJob, effects: Effects) -> None:
    got: list[BaseException] = []

    def handler(context: Any) -> None:
        for _ in range(2):
            try:
                context.step("charge", effects.do, 100 * context.attempt)
            except StepOrderChanged as error:
                got.append(error)
        raise TransientError("again")

    durable.run(handler)
    assert effects.done == [100, 100]
    durable.run(handler)
    assert len(got) == 2
    assert effects.done == [100, 100]


def test_of_equal_names_each_gets_what_its_place_has_stored(durable: DurableJob, effects: Effects) -> None:
    def handler(context: Any) -> None:
        to = ["a", "b"] if context.attempt == 1 else ["b", "a"]
        for address in to:
            context.step("mail", effects.do, address)
        raise TransientError("again")

    durable.run(handler)
    durable.run(handler)
    assert isinstance(durable.error, StepOrderChanged)
    assert effects.done == ["a", "b"]


def test_one_dict_may_be_the_argument_of_many_steps(durable: DurableJob, effects: Effects) -> None:
    """Though the first one of them raised: what it was then counts, not what is in it by now."""

    def mail(letter: dict[str, str], attempt: int) -> Any:
        if (letter["to"], attempt) == ("a", 1):
            raise ConnectionError("full")
        return effects.do(letter["to"])

    def handler(context: Any) -> None:
        letter: dict[str, str] = {}
        for letter["to"] in ("a", "b", "c"):
            with contextlib.suppress(ConnectionError):
                context.step("mail", functools.partial(mail, attempt=context.attempt), letter)
        if context.attempt == 1:
            raise TransientError("again")

    durable.run(handler)
    assert isinstance(durable.run(handler), outcomes.Returned)
    assert effects.done == ["b", "c", "a"]


def test_a_function_that_is_made_anew_is_known_by_what_it_captured(durable: DurableJob, effects: Effects) -> None:
    failed: list[str] = []

    def mail(to: str) -> Any:
        if to not in failed:
            failed.append(to)
            raise ConnectionError(to)
        return effects.do(to)

    def handler(context: Any) -> None:
        for to in ("a", "b", "a", "b"):  # those that failed are tried again behind the others
            with contextlib.suppress(ConnectionError):
                context.step("mail", lambda to=to: mail(to))
        if context.attempt == 1:
            raise TransientError("again")

    durable.run(handler)
    assert [row[1:3] for row in durable.stored()] == [("mail", {"receipt": "a"}), ("mail #2", {"receipt": "b"})]


def test_a_later_attempt_gets_what_is_stored_on_several_pages(
    durable: DurableJob, effects: Effects, tuning: Tuning
) -> None:
    tuning.set(steps_page_rows=3)

    def handler(context: Any) -> None:
        for number in range(7 if context.attempt == 1 else 9):
            assert context.step("count", effects.do, number) == {"receipt": number}
        if context.attempt == 1:
            raise TransientError("again")

    durable.run(handler)
    durable.run(handler)
    assert effects.done == list(range(9))


BAD_NAMES: dict[str, Any] = {
    "empty": ("", "wrong_length"),
    "too long": ("x" * 201, "wrong_length"),
    "NUL": ("a\x00b", "unstorable_text"),
    "surrogate": ("a\ud800b", "unstorable_text"),
    "number": (7, "not_a_text"),
}


@pytest.mark.parametrize(("name", "code"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_a_bad_name_is_refused(durable: DurableJob, effects: Effects, name: Any, code: str) -> None:
    assert refusal(durable, lambda context: context.step(name, effects.do, 1)).code == code
    assert effects.done == []


def test_a_name_may_be_as_long_as_its_column_holds_with_a_number(durable: DurableJob, effects: Effects) -> None:
    def handler(context: Any) -> None:
        for _ in range(2):
            context.step("ä" * 200, effects.do, 1)

    durable.run(handler)
    assert [row[1] for row in durable.stored()] == ["ä" * 200, f"{'ä' * 200} #2"]


BAD_RESULTS: dict[str, Any] = {
    "not_json": {1, 2},
    "not_finite": float("nan"),
    "unstorable_text": "a\x00b",
    "too_large": "x" * 70_000,
}


@pytest.mark.parametrize(("code", "value"), BAD_RESULTS.items(), ids=BAD_RESULTS)
def test_a_result_that_cannot_be_stored_is_refused_by_the_steps_name(
    durable: DurableJob, code: str, value: Any
) -> None:
    error = refusal(durable, lambda context: context.step("make", lambda: value))
    assert (error.code, error.facts["step"], "'make'" in str(error)) == (code, "make", True)
    assert durable.stored() == []


def test_what_is_no_function_is_refused(durable: DurableJob) -> None:
    error = refusal(durable, lambda context: context.step("make", {}))
    assert (error.code, error.facts) == ("no_function", {"step": "make", "type": "dict"})


def test_a_step_inside_a_steps_function_is_refused(durable: DurableJob, effects: Effects) -> None:
    def handler(context: Any) -> None:
        context.step("outer", lambda: context.step("inner", effects.do, 1))

    error = refusal(durable, handler)
    assert (error.code, error.facts["step"]) == ("inside_step", "inner")
    assert effects.done == []


async def a_coroutine(value: int = 0) -> int:
    return value


@pytest.mark.parametrize("function", [a_coroutine, functools.partial(a_coroutine, 1), lambda: a_coroutine(1)])
def test_a_coroutine_function_is_refused_with_the_name_of_what_takes_it(durable: DurableJob, function: Any) -> None:
    error = refusal(durable, lambda context: context.step("fetch", function))
    assert (error.code, "context.astep" in str(error)) == ("coroutine", True)


def test_a_step_is_refused_while_another_thread_is_in_one(effects: Effects) -> None:
    context = make_context()
    refused: list[Any] = []

    def begin_another() -> None:
        try:
            context.step("second", effects.do, "second")
        except BaseException as error:  # noqa: BLE001
            refused.append(error)

    def first() -> str:
        thread = threading.Thread(target=begin_another)
        thread.start()
        thread.join()
        return "first"

    assert context.step("part", first) == "first"
    assert isinstance(refused[0], InvalidStep)
    assert refused[0].code == "two_threads"
    assert context.step("second", effects.do, "after it") == {"receipt": "after it"}
    assert effects.done == ["after it"]


@pytest.mark.django_db(transaction=True)
def test_a_step_that_another_thread_has_done_is_refused_and_not_done_again(
    durable: DurableJob, effects: Effects
) -> None:
    """As by a handler that waits for a thread with a time limit, and then tries again."""
    refused: list[BaseException] = []

    def charge(context: Any, what: str) -> None:
        try:
            context.step("charge", effects.do, what)
        finally:
            connections.close_all()

    def charge_in_thread(context: Any, what: str) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(charge, context, what).result()

    def handler(context: Any) -> None:
        charge_in_thread(context, "a")
        charge_in_thread(context, "b")
        with pytest.raises(InvalidStep) as error:
            charge_in_thread(context, "a")
        refused.append(error.value)

    assert isinstance(durable.run(handler, how=verbs.run), outcomes.Returned)
    assert "'charge'" in str(refused[0])
    assert effects.done == ["a", "b"]


def test_inside_a_transaction_a_step_is_refused_before_it_is_done(durable: DurableJob, effects: Effects) -> None:
    def handler(context: Any) -> None:
        with transaction.atomic():
            context.step("charge", effects.do, 1)

    assert refusal(durable, handler).code == "in_transaction"
    assert effects.done == []


@pytest.mark.django_db(transaction=True)
def test_a_step_is_refused_too_where_the_handler_commits_by_hand(durable: DurableJob, effects: Effects) -> None:
    def handler(context: Any) -> None:
        transaction.set_autocommit(False)
        context.step("charge", effects.do, 1)

    durable.run(handler, how=verbs.run)
    assert isinstance(durable.error, InvalidStep)
    assert (durable.error.code, durable.job.status) == ("in_transaction", "Dead Letter")
    assert effects.done == []


def test_a_steps_function_may_open_transactions(durable: DurableJob, effects: Effects) -> None:
    def handler(context: Any) -> None:
        context.step("book", transaction.atomic(effects.do), 1)

    durable.run(handler)
    assert durable.stored() == [(1, "book", {"receipt": 1}, 1)]


def test_a_job_has_a_bounded_number_of_steps(durable: DurableJob, effects: Effects, tuning: Tuning) -> None:
    tuning.set(steps_of_a_job=2)

    def handler(context: Any) -> None:
        for number in range(3):
            context.step("one", effects.do, number)

    assert refusal(durable, handler).code == "too_many"
    assert effects.done == [0, 1]


def test_an_attempt_that_lost_its_job_is_refused_and_stops(durable: DurableJob, effects: Effects) -> None:
    went_on: list[int] = []

    def handler(context: Any) -> None:
        context.step("charge", effects.do, 1)
        Job.objects.filter(pk=durable.job.pk).update(attempt=context.attempt + 1)
        try:
            context.step("book", effects.do, 2)
        finally:
            Job.objects.filter(pk=durable.job.pk).update(attempt=context.attempt)
        went_on.append(1)

    outcome = durable.run(handler)
    assert isinstance(outcome, outcomes.Interrupted)
    assert [row[1] for row in durable.stored()] == ["charge"]
    assert went_on == []


def test_a_job_that_is_to_stop_begins_no_step(effects: Effects) -> None:
    stage = Stage()

    def handler(context: Any) -> None:
        stage.interrupter.want(JobCanceled)
        context.step("charge", effects.do, 1)

    assert isinstance(stage.run(handler, how=verbs.attempt), outcomes.Canceled)
    assert effects.done == []


def test_an_interruption_waits_until_what_happened_is_stored(effects: Effects, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    insert = type(verbs.store()).insert_step

    def interrupted(self: Any, *args: Any) -> Any:
        stage.interrupter.request(JobCanceled)
        return insert(self, *args)

    monkeypatch.setattr(type(verbs.store()), "insert_step", interrupted)

    def handler(context: Any) -> None:
        context.step("charge", effects.do, 1)
        effects.do("went on")

    assert isinstance(stage.run(handler, how=verbs.attempt), outcomes.Canceled)
    assert effects.done == [1]
    assert JobStep.objects.count() == 1


class Failing:
    """A store that fails so many times, then stores."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tuning: Tuning, times: int) -> None:
        self.left = times
        insert = type(verbs.store()).insert_step

        def fail_first(this: Any, *args: Any) -> Any:
            if self.left > 0:
                self.left -= 1
                raise OperationalError("the server closed the connection")
            return insert(this, *args)

        monkeypatch.setattr(type(verbs.store()), "insert_step", fail_first)
        tuning.set(work_notes_first_pause_seconds=0.001)


@pytest.mark.django_db(transaction=True)
def test_storing_is_tried_again_while_the_database_is_away(
    durable: DurableJob, effects: Effects, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    failing = Failing(monkeypatch, tuning, 3)
    durable.run(lambda context: context.step("charge", effects.do, 1) and None, how=verbs.run)
    assert (failing.left, effects.done) == (0, [1])
    assert [row[1] for row in durable.stored()] == ["charge"]


@pytest.mark.django_db(transaction=True)
def test_after_the_time_of_a_lease_the_job_is_requeued(
    durable: DurableJob, effects: Effects, monkeypatch: pytest.MonkeyPatch, tuning: Tuning, settings: Any
) -> None:
    Failing(monkeypatch, tuning, 1_000_000)
    outcome_of_database: list[Any] = []

    def handler(context: Any) -> None:
        monkeypatch.setitem(settings.DJANGO_JOBS, "LEASE_SECONDS", 0.01)
        try:
            context.step("charge", effects.do, 1)
        except AttemptLost as error:
            outcome_of_database.append(error.__cause__)
            raise
        finally:
            monkeypatch.undo()

    outcome = durable.run(handler, how=verbs.run)
    assert isinstance(outcome, outcomes.Interrupted)
    assert isinstance(outcome_of_database[0], OperationalError)
    assert verbs.is_lost_connection(outcome_of_database[0])


def test_what_a_handler_left_behind_takes_no_step(durable: DurableJob, effects: Effects) -> None:
    contexts: list[Any] = []
    durable.run(contexts.append, FreeRunner())
    with pytest.raises(JobCanceled):
        contexts[0].step("charge", effects.do, 1)
    assert effects.done == []


def test_a_retry_by_hand_continues(durable: DurableJob, effects: Effects) -> None:
    def handler(context: Any) -> None:
        context.step("charge", effects.do, "card")
        if context.attempt == 1:
            raise InvalidStep("stop here")

    durable.run(handler)
    retry_job(durable.job)
    durable.run(handler)
    assert (durable.job.status, effects.done) == ("Completed", ["card"])
