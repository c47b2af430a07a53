"""Handlers that submit: what a later attempt submits again is the earlier one's job; refusals say which call."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, transaction

from django_jobs import (
    asubmit_job,
    cancel_job,
    create_batch,
    get_batch_status,
    get_job_status,
    retry_job,
    submit_for_each,
    submit_job,
    submit_jobs,
)
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, JobsError, TransientError, WorkerStopping
from django_jobs.models import Batch, DuplicateKey, Job, JobType, Organization
from django_jobs.testing import make_context, run_jobs
from tests.support import handlers, verbs
from tests.support.brokers import job_in, pending_job, reread
from tests.support.factories import make_job_type, make_organization, make_user

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def does(monkeypatch: pytest.MonkeyPatch) -> Callable[..., JobType]:
    """A job type whose handler is the given function; it fails in every attempt but the third."""

    def make(function: Callable[[Any], Any], **fields: Any) -> JobType:
        def handler(context: Any) -> None:
            function(context)
            if context.attempt < 3:
                raise TransientError("again")

        async def async_handler(context: Any) -> None:
            await function(context)
            if context.attempt < 3:
                raise TransientError("again")

        chosen: Any = async_handler if asyncio.iscoroutinefunction(function) else handler
        chosen.__module__ = "tests.support.handlers"
        name = f"temporary_{id(function)}"
        monkeypatch.setattr(handlers, name, chosen, raising=False)
        return make_job_type(name, retry_delay=1, **fields)

    return make


@pytest.fixture
def child() -> JobType:
    """Held, so that what is submitted of it stays as it is."""
    return make_job_type(type_name="child", is_paused=True)


@contextlib.contextmanager
def noted(refusals: list[Any]) -> Iterator[None]:
    """Keep the refusal that ends the attempt."""
    try:
        yield
    except JobsError as refusal:
        refusals.append(refusal)
        raise


def children() -> list[Job]:
    return list(Job.objects.filter(job_type="child").order_by("pk"))


WAYS: dict[str, Callable[[Any, list[Job]], object]] = {
    "submit_job": lambda context, got: got.append(submit_job("child", context.organization)),
    "context.submit_job": lambda context, got: got.append(context.submit_job("child")),
    "submit_jobs": lambda context, got: got.extend(
        submit_jobs([{"job_type": "child", "organization": context.organization}])
    ),
    "submit_for_each": lambda context, got: got.extend(submit_for_each("child", [context.organization]).submitted),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("window", [0, 300])
@pytest.mark.parametrize("is_over", [False, True], ids=["within the window", "after it"])
def test_three_attempts_submit_one_job(
    way: str, window: int, is_over: bool, does: Any, child: JobType, organization: Organization
) -> None:
    JobType.objects.filter(pk="child").update(deduplication_window=window)
    got: list[Job] = []

    def submit(context: Any) -> None:
        if is_over:
            DuplicateKey.objects.all().delete()
        WAYS[way](context, got)

    parent = pending_job(does(submit), organization)
    run_jobs(retries=True)
    assert reread(parent).status == "Completed"
    assert [job.pk for job in got] == [children()[0].pk] * 3
    assert len(children()) == 1
    assert (got[0].submitted_by_id, got[0].submitted_by_attempt) == (parent.pk, 1)


def test_what_one_attempt_submits_twice_is_given_back_one_after_the_other(
    does: Any, child: JobType, organization: Organization
) -> None:
    got: list[list[int]] = []
    pending_job(does(lambda context: got.append([context.submit_job("child").pk for _ in range(2)])), organization)
    run_jobs(retries=True)
    assert got == [[job.pk for job in children()]] * 3
    assert len(children()) == 2


def test_a_list_gets_its_jobs_back_one_by_one(does: Any, child: JobType, organization: Organization) -> None:
    got: list[list[int]] = []

    def submit(context: Any) -> None:
        items = [{"job_type": "child", "organization": organization, "parameters": {"n": n}} for n in (1, 1, 2)]
        if context.attempt > 1:
            items.append({"job_type": "child", "organization": organization, "parameters": {"n": 3}})
        got.append([job.pk for job in submit_jobs(items)])

    pending_job(does(submit), organization)
    run_jobs(retries=True)
    assert got[1] == got[2] == [*got[0], children()[-1].pk]
    assert len(children()) == 4


def test_within_a_window_the_same_work_is_one_job_however_often_it_is_submitted(
    does: Any, child: JobType, organization: Organization
) -> None:
    JobType.objects.filter(pk="child").update(deduplication_window=300)

    def submit(context: Any) -> None:
        DuplicateKey.objects.filter(pk__in=[] if context.attempt == 1 else DuplicateKey.objects.all()).delete()
        for _ in range(2):
            context.submit_job("child", on_duplicate="return")

    pending_job(does(submit), organization)
    run_jobs(retries=True)
    assert len(children()) == 1


def test_in_one_attempt_a_duplicate_is_a_mistake_of_the_handlers(
    does: Any, child: JobType, organization: Organization
) -> None:
    JobType.objects.filter(pk="child").update(deduplication_window=300)
    refusals: list[JobsError] = []

    def submit(context: Any) -> None:
        with noted(refusals):
            for _ in range(2):
                context.submit_job("child")

    parent = pending_job(does(submit), organization)
    run_jobs()
    row = reread(parent)
    assert [(type(refusal), refusal.facts["job"]) for refusal in refusals] == [(DuplicateJob, children()[0].name)]
    assert (row.status, row.error_type) == ("Dead Letter", "Permanent")
    assert row.error_message.startswith("submit_job('child')")


@pytest.mark.parametrize("end", ["canceled", "dead"])
def test_a_child_that_was_canceled_or_died_keeps_nobody_out(
    end: str, does: Any, child: JobType, organization: Organization
) -> None:
    def submit(context: Any) -> None:
        made = context.submit_job("child")
        if context.attempt == 1:
            cancel_job(made) if end == "canceled" else Job.objects.filter(pk=made.pk).update(
                status="Dead Letter", ready_at=None
            )

    pending_job(does(submit), organization)
    run_jobs(retries=True)
    assert [job.submitted_by_attempt for job in children()] == [1, 2]


def test_a_later_attempt_gets_back_what_it_replaces_by_the_same_and_else_submits_its_last_change(
    does: Any, child: JobType, organization: Organization
) -> None:
    JobType.objects.filter(pk="child").update(deduplication_window=300)
    versions = {1: [1, 2], 2: [2], 3: [1, 2]}

    def submit(context: Any) -> None:
        for version in versions[context.attempt]:
            context.submit_job("child", {"version": version}, unique_key="k", on_duplicate="replace")
        if context.attempt == 1:
            Job.objects.filter(job_type="child").update(status="Completed", started_at=verbs.now(), ready_at=None)

    pending_job(does(submit), organization)
    run_jobs(retries=True)
    assert [job.input_parameters["version"] for job in children()] == [2, 2]
    assert [job.submitted_by_attempt for job in children()] == [1, 3]


def test_another_jobs_work_is_a_duplicate_as_ever(does: Any, child: JobType, organization: Organization) -> None:
    JobType.objects.filter(pk="child").update(deduplication_window=300)
    submit_job("child", organization)
    refusals: list[JobsError] = []

    def submit(context: Any) -> None:
        with noted(refusals):
            context.submit_job("child")

    parent = pending_job(does(submit), organization)
    run_jobs()
    assert [refusal.code for refusal in refusals] == ["duplicate_job"]
    assert reread(parent).error_message.startswith("submit_job('child')")


def test_what_was_rolled_back_is_submitted_again(does: Any, child: JobType, organization: Organization) -> None:
    def submit(context: Any) -> None:
        with transaction.atomic():
            context.submit_job("child")
            if context.attempt == 1:
                raise TransientError("rolled back")

    pending_job(does(submit), organization)
    run_jobs(retries=True)
    assert [job.submitted_by_attempt for job in children()] == [2]


@pytest.mark.django_db(transaction=True)
def test_what_a_rolled_back_transaction_gave_back_is_given_back_again(
    does: Any, child: JobType, organization: Organization
) -> None:
    got: list[int] = []

    def submit(context: Any) -> None:
        if context.attempt == 2:
            with contextlib.suppress(ZeroDivisionError), transaction.atomic():
                got.append(context.submit_job("child").pk)
                raise ZeroDivisionError
            with transaction.atomic():
                got.append(context.submit_job("child").pk)
            got.append(context.submit_job("child").pk)
        else:
            submit_jobs([{"job_type": "child", "organization": organization}] * 2)

    pending_job(does(submit), organization)
    run_jobs(retries=True)
    first, second = (job.pk for job in children())
    assert got == [first, first, second]


# Batches.


def batches() -> list[Batch]:
    return list(Batch.objects.order_by("pk"))


def dies_at(attempt: int, context: Any) -> None:
    """End an attempt as the death of its worker does: nothing in the handler hears of it."""
    if context.attempt == attempt:
        raise WorkerStopping


def test_an_attempt_gets_the_batch_back_in_whose_midst_the_one_before_died(
    does: Any, child: JobType, organization: Organization
) -> None:
    then = {"job_type": make_job_type(type_name="then").pk, "parameters": {"for": "batch"}}

    def fill(context: Any) -> None:
        with create_batch(organization, name="Parts", then=then) as batch:
            batch.submit("child", {"part": 1})
            batch.submit("child", {"part": 2})
            dies_at(1, context)
            batch.submit("child", {"part": 3})

    parent = pending_job(does(fill), organization)
    run_jobs(retries=True)
    assert reread(parent).status == "Completed"
    assert [get_batch_status(batch).state for batch in batches()] == ["Running"]
    assert [job.input_parameters["part"] for job in children()] == [1, 2, 3]
    assert {job.batch_id for job in children()} == {batches()[0].pk}
    assert not Job.objects.filter(job_type="then").exists(), "its parts have not run yet"


def test_what_two_batches_of_one_attempt_are_are_those_of_the_next(
    does: Any, child: JobType, organization: Organization
) -> None:
    got: list[list[int]] = []

    def make(context: Any) -> None:
        made = [create_batch(organization, name=name) for name in ("a", "b", "a")]
        for number, batch in enumerate(made):
            batch.submit("child", {"number": number})
            batch.close()
        got.append([batch.pk for batch in made])

    parent = pending_job(does(make), organization)
    run_jobs(retries=True)
    assert reread(parent).status == "Completed"
    assert got == [[batch.pk for batch in batches()]] * 3
    assert (len(batches()), len(children())) == (3, 3)


@pytest.mark.parametrize("differs", ["organization", "name", "then", "on_failure", "open_to", "user"])
def test_another_batch_is_not_given_back(differs: str, does: Any, child: JobType, organization: Organization) -> None:
    values: dict[str, Any] = {
        "organization": make_organization(),
        "name": "x",
        "then": {"job_type": "child"},
        "on_failure": {"job_type": "child"},
        "open_to": "members",
        "user": make_user(member_of=[organization]),
    }

    def make(context: Any) -> None:
        changed = {differs: values[differs]} if context.attempt == 1 else {}
        create_batch(**{"organization": organization, **changed})

    pending_job(does(make), organization)
    run_jobs(retries=True)
    assert len(batches()) == 2


def test_a_batch_that_the_block_canceled_is_made_anew(does: Any, child: JobType, organization: Organization) -> None:
    def fill(context: Any) -> None:
        with create_batch(organization) as batch:
            batch.submit("child")
            if context.attempt == 1:
                raise TransientError("again")

    pending_job(does(fill), organization)
    run_jobs(retries=True)
    assert [get_batch_status(batch).state for batch in batches()] == ["Canceled", "Running"]
    assert [job.status for job in children()] == ["Canceled", "Pending"]


def test_a_batch_that_is_given_back_is_judged_no_more(does: Any, child: JobType, organization: Organization) -> None:
    def make(context: Any) -> None:
        create_batch(organization, then={"job_type": "child"})
        JobType.objects.filter(pk="child").update(is_enabled=False)

    parent = pending_job(does(make), organization)
    run_jobs(retries=True)
    assert (reread(parent).status, len(batches())) == ("Completed", 1)


def test_a_batch_that_was_rolled_back_is_made_again(does: Any, child: JobType, organization: Organization) -> None:
    def make(context: Any) -> None:
        with transaction.atomic():
            create_batch(organization)
            if context.attempt == 1:
                raise TransientError("rolled back")

    pending_job(does(make), organization)
    run_jobs(retries=True)
    assert [batch.submitted_by_attempt for batch in batches()] == [2]


def test_another_job_makes_a_batch_of_its_own(does: Any, child: JobType, organization: Organization) -> None:
    kind = does(lambda _: create_batch(organization))
    for _ in range(2):
        pending_job(kind, organization)
    run_jobs(retries=True)
    assert len(batches()) == 2


def test_a_retry_by_hand_is_a_later_attempt(does: Any, child: JobType, organization: Organization) -> None:
    parent = pending_job(does(lambda context: context.submit_job("child"), max_retries=0), organization)
    run_jobs()
    assert reread(parent).status == "Dead Letter"
    retry_job(parent)
    run_jobs()
    assert reread(parent).attempt == 2
    assert len(children()) == 1


def test_what_is_given_back_is_judged_no_more(does: Any, child: JobType, organization: Organization) -> None:
    """Its type may be disabled, its limit reached, what it waits for dead."""

    def submit(context: Any) -> None:
        context.submit_job("child")
        JobType.objects.filter(pk="child").update(is_enabled=False, rate_limit=0)

    parent = pending_job(does(submit), organization)
    run_jobs(retries=True)
    assert reread(parent).status == "Completed"


def test_asynchronous_handlers_get_theirs_back_too(
    does: Any, child: JobType, organization: Organization, both_ways: str
) -> None:
    got: list[Job] = []

    def in_a_thread() -> Job:
        try:
            return submit_job("child", organization, {"by": "thread"})
        finally:
            connections.close_all()

    async def submit(context: Any) -> None:
        got.append(await asubmit_job("child", organization, {"by": "function"}))
        got.append(await context.asubmit_job("child", {"by": "context"}))
        if both_ways == "committed":
            got.append(await asyncio.to_thread(in_a_thread))

    parent = pending_job(does(submit), organization)
    run_jobs(retries=True)
    assert reread(parent).status == "Completed"
    assert got[0 : len(children())] == children()
    assert len(got) == 3 * len(children())


@pytest.mark.usefixtures("transactional_db")
def test_a_thread_of_the_handlers_own_submits_through_the_context(
    does: Any, child: JobType, organization: Organization
) -> None:
    def submit(context: Any) -> None:
        def run() -> None:
            context.submit_job("child")
            connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    pending_job(does(submit), organization)
    run_jobs(retries=True)
    assert [job.submitted_by_attempt for job in children()] == [1]


# For whom.


def test_the_context_submits_for_its_organization_by_key_and_for_its_owner(
    does: Any, child: JobType, organization: Organization
) -> None:
    owner = make_user("ada", member_of=[organization])

    def submit(context: Any) -> None:
        Organization.objects.filter(pk=organization.pk).update(name="renamed")
        if not Organization.objects.filter(name=context.organization).exists():
            make_organization(name=context.organization)
        context.submit_job("child", {"n": 1}, priority="High", metadata={"trace": "x"})

    pending_job(does(submit), organization, user=owner)
    run_jobs(retries=True)
    (made,) = children()
    assert (made.organization_id, made.owner_id, made.owner_name) == (organization.pk, owner.pk, "ada")
    assert (made.input_parameters, made.priority, made.metadata) == ({"n": 1}, 2, {"trace": "x"})


def test_code_submits_in_its_owners_name_what_is_closed_to_users_and_it_runs(
    does: Any, organization: Organization
) -> None:
    make_job_type(type_name="child", submit_by="code")
    make_job_type(type_name="for_admins", submit_by="admins")
    owner = make_user(member_of=[organization])
    closed: list[list[str]] = []

    def submit(context: Any) -> None:
        made = [context.submit_job(name) for name in ("child", "for_admins")]
        closed.append([job.job_type.submit_by for job in made])

    pending_job(does(submit), organization, user=owner)
    ended = run_jobs(retries=True)
    assert {status.job_type: status.status for status in ended if status.owner == owner.username} == dict.fromkeys(
        [ended[0].job_type, "child", "for_admins"], "Completed"
    )
    assert closed[0] == ["code", "admins"]


def test_an_owner_who_lacks_a_permission_submits_nothing_that_requires_it(
    does: Any, organization: Organization
) -> None:
    make_job_type(type_name="child", requires_permission="auth.add_user")
    owner = make_user(member_of=[organization])
    refusals: list[Any] = []

    def submit(context: Any) -> None:
        with noted(refusals):
            context.submit_job("child")

    parent = pending_job(does(submit), organization, user=owner)
    run_jobs()
    assert [refusal.codes for refusal in refusals] == [{"job_type": ["unknown_job_type"]}]
    assert reread(parent).error_message.startswith("submit_job('child')")


def test_in_the_name_of_an_owner_who_was_deleted_meanwhile_nothing_is_submitted(
    does: Any, child: JobType, organization: Organization
) -> None:
    owner = make_user(member_of=[organization])
    refusals: list[Any] = []

    def submit(context: Any) -> None:
        owner.delete()
        with noted(refusals):
            context.submit_job("child")

    pending_job(does(submit), organization, user=owner)
    run_jobs()
    assert ([refusal.code for refusal in refusals], children()) == (["owner_gone"], [])


def test_server_code_may_leave_the_owner_out_or_name_another(
    does: Any, child: JobType, organization: Organization
) -> None:
    owner, other = make_user(member_of=[organization]), make_user(member_of=[organization])

    def submit(context: Any) -> None:
        context.submit_job("child", {"n": 1}, user=None)
        context.submit_job("child", {"n": 2}, user=other)

    pending_job(does(submit), organization, user=owner)
    run_jobs(retries=True)
    assert [job.owner_name for job in children()] == ["", other.username]


def test_another_user_is_checked_as_ever(does: Any, organization: Organization) -> None:
    make_job_type(type_name="child", submit_by="code")
    refusals: list[Any] = []

    def submit(context: Any) -> None:
        with noted(refusals):
            context.submit_job("child", user=make_user(member_of=[organization]))

    pending_job(does(submit), organization)
    run_jobs()
    assert [refusal.codes for refusal in refusals] == [{"job_type": ["unknown_job_type"]}]


def test_unknown_keywords_are_a_type_error(does: Any, child: JobType, organization: Organization) -> None:
    errors: list[str] = []

    def submit(context: Any) -> None:
        for keywords in ({"organization": "x"}, {"colour": "red"}):
            try:
                context.submit_job("child", **keywords)
            except TypeError as error:
                errors.append(str(error))

    pending_job(does(submit), organization)
    run_jobs()
    assert ["context.submit_job" in error for error in errors] == [True, True]
    assert ["organization" in errors[0], "colour" in errors[1]] == [True, True]


# Costs, refusals, tests of handlers.


def test_a_limit_is_waited_for(does: Any, organization: Organization) -> None:
    pending_job(make_job_type(type_name="child", rate_limit=1, rate_limit_window=3600), organization)
    refusals: list[JobsError] = []

    def submit(context: Any) -> None:
        with noted(refusals):
            context.submit_job("child")

    parent = pending_job(does(submit), organization)
    run_jobs()
    row = reread(parent)
    assert row.status == "Failed"
    assert [refusal.code for refusal in refusals] == ["rate_limited"]
    assert row.next_retry_at
    assert (row.next_retry_at - row.created_at).total_seconds() > 3000
    assert get_job_status(parent).waiting_for == "retry"


def test_other_refusals_are_not_retried_and_lists_say_which_call(does: Any, organization: Organization) -> None:
    refusals: list[Any] = []

    def submit(context: Any) -> None:
        with noted(refusals):
            submit_jobs([{"job_type": "nothing", "organization": organization}])

    parent = pending_job(does(submit), organization)
    run_jobs()
    row = reread(parent)
    assert (row.status, row.error_type) == ("Dead Letter", "Permanent")
    assert [refusal.codes for refusal in refusals] == [{"0.job_type": ["unknown_job_type"]}]
    assert row.error_message.startswith("submit_jobs(['nothing', …])")


def test_a_recording_context_keeps_what_is_submitted() -> None:
    context = make_context()
    job = context.submit_job("child", {"n": 1}, priority="High")
    assert context.submitted == [job]
    assert job.name.startswith("JOB-")
    assert (job.job_type_id, job.input_parameters, job.priority) == ("child", {"n": 1}, 2)
    with pytest.raises(TypeError):
        context.submit_job("child", colour="red")  # type: ignore[call-arg]
    with pytest.raises(InvalidSubmission):
        context.submit_job("child", priority="Highest")
    assert context.submitted == [job]
    assert not Job.objects.exists()


def test_a_list_that_is_refused_uses_up_nothing(does: Any, child: JobType, organization: Organization) -> None:
    def submit(context: Any) -> None:
        good = {"job_type": "child", "organization": context.organization}
        for bad in ({"priority": "none"}, {"depends_on": "JOB-2026-99999"}):
            with pytest.raises(InvalidSubmission):
                submit_jobs([good, good | bad])
        submit_jobs([good])

    pending_job(does(submit), organization)
    run_jobs(retries=True)
    assert len(children()) == 1


def test_outside_of_handlers_duplicates_are_refused_as_ever(child: JobType, organization: Organization) -> None:
    JobType.objects.filter(pk="child").update(deduplication_window=300)
    submit_job("child", organization)
    with pytest.raises(DuplicateJob) as caught:
        submit_job("child", organization)
    assert caught.value.refused_call == "submit_job('child')"
    assert job_in("Completed").submitted_by_id is None
