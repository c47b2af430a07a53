"""The job that a submission would become: built, put into its batch, and checked field by field."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from django.utils.translation import gettext_noop as _

from django_jobs.engine import observers
from django_jobs.engine.access import get_policy, may_hide_jobs, may_view
from django_jobs.engine.actors import name_of
from django_jobs.engine.claimed_job import GivenBack, current_job
from django_jobs.engine.job_types import parameters
from django_jobs.engine.job_types.parameters import lane_key
from django_jobs.engine.json_storage import canonical
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import NewJob
from django_jobs.engine.submission.targets import Targets, belongs, is_heard, may_cancel_batch, unheard
from django_jobs.engine.submission.values import Errors, Fields, carrying, of_user
from django_jobs.exceptions import InvalidSubmission, JobTypeDisabled, OrganizationInactive, PermissionDenied
from django_jobs.models import Batch, BatchChange, Job
from django_jobs.statuses import AWAITING_TURN, RETRYABLE_BY_HAND, UNSUCCESSFUL, OpenTo, RunAfter, Status
from django_jobs.texts import say

# Giving a handler back what an earlier attempt of its job submitted, when a later attempt submits the same work.
#
# Each job remembers which job's handler submitted it, and in which attempt; so does each batch. A first attempt takes
# no statement. A job that was canceled or is a Dead Letter is not given back, nor is a batch that was canceled.


#: Hashes looked for in one statement.
GIVEN_BACK_AT_ONCE: Final = 2_000
#: What is equal of batches that two attempts make by the same call.
_SAME: Final = ("organization_id", "owner_id", "name", "then", "on_failure", "open_to")

Made = TypeVar("Made", Job, Batch)


def submitter() -> tuple[int | None, int | None]:
    """Return the job whose handler submits now, and its attempt; two Nones outside handlers."""
    claimed = current_job.get()
    return (None, None) if claimed is None else (claimed.pk, claimed.attempt)


def is_own(made: Job | Batch) -> bool:
    """Return whether an earlier attempt of the job that runs here submitted this job, or made this batch."""
    pk, attempt = submitter()
    return attempt is not None and made.submitted_by_id == pk and (made.submitted_by_attempt or 0) < attempt


def is_later_attempt() -> bool:
    """Return whether a handler runs here whose job was tried before, so that there may be something to give back."""
    claimed = current_job.get()
    return claimed is not None and claimed.attempt > 1


def given_back(work: Sequence[tuple[str, int]]) -> list[Job | None]:
    """Return for each piece of work (hash, window in seconds) the job that an earlier attempt submitted, or None.

    Jobs of equal work, which a type without a window may have, are given back one after the other.
    """
    claimed = current_job.get()
    if claimed is None or claimed.attempt <= 1 or not work:
        return [None] * len(work)
    earlier = _submitted_earlier(claimed.pk, claimed.attempt, sorted({key for key, _ in work}))
    if not earlier:
        return [None] * len(work)
    with claimed.given_back.lock:
        return [_next(claimed.given_back, earlier[key], window) for key, window in work]


def batch_given_back(asked: Batch) -> Batch | None:
    """Return the batch that an earlier attempt made by the same call, or None; one after the other, as jobs."""
    claimed = current_job.get()
    if claimed is None or claimed.attempt <= 1:
        return None
    rows = Batch.primary.filter(submitted_by_id=claimed.pk, submitted_by_attempt__lt=claimed.attempt)
    earlier = rows.filter(canceled_at__isnull=True).order_by("pk")
    same = [batch for batch in earlier if all(getattr(batch, name) == getattr(asked, name) for name in _SAME)]
    with claimed.given_back.lock:
        return _next(claimed.given_back, same, 0)


def _submitted_earlier(pk: int, attempt: int, keys: list[str]) -> dict[str, list[Job]]:
    found: dict[str, list[Job]] = defaultdict(list)
    rows = Job.primary.filter(submitted_by_id=pk, submitted_by_attempt__lt=attempt)
    for start in range(0, len(keys), GIVEN_BACK_AT_ONCE):
        chunk = rows.filter(job_hash__in=keys[start : start + GIVEN_BACK_AT_ONCE]).exclude(
            status__in=sorted(UNSUCCESSFUL)
        )
        for job in chunk.order_by("pk"):
            found[job.job_hash].append(job)
    return found


def _next(given: GivenBack, earlier: list[Made], window: int) -> Made | None:
    connection = database.connection()
    transaction = connection.atomic_blocks[0] if connection.atomic_blocks else None
    for made in earlier:
        key = (made._meta.model_name, made.pk)
        if not given.has(key, transaction):
            given.add(key, transaction)
            return made
    # Within a window, the same work is one job however often it is submitted.
    return earlier[-1] if earlier and window else None


# The job that a submission would become, made of its values, its type and its organization.


@dataclass(slots=True, kw_only=True)
class PreparedJob(NewJob):
    """A submission that may become a row: the new job, what it was made of, and what it asks of the same work."""

    #: Made when it is first asked for: of many, while the server inserts those before it.
    job: Job = field(init=False)
    targets: Targets
    fields: Fields
    on_duplicate: str
    builder: Builder
    #: The earlier job of the same work, in whose favor this one is not inserted.
    existing: Job | None = None
    #: The earlier job that is no longer to keep the same work out: it has started, and this one is to be replaced next.
    supersedes: Job | None = None
    #: Of one among many: whether the user may know of that job, where it is asked before anything is written.
    is_shown: Callable[[Job], bool] | None = None

    def __getattr__(self, name: str) -> Any:
        """Make the job: Python asks this for what is not there yet."""
        if name != "job":
            raise AttributeError(name)
        self.job = self.builder.job(self.fields, self.targets)
        return self.job

    def refuses(self, existing: Job) -> bool:
        """Return whether the same work is an error.

        It is none where the caller says so, nor where an earlier attempt of the running job submitted it. Nobody is
        given a job that the user may not see.
        """
        if self.on_duplicate == "raise":
            return not is_own(existing)
        return self.is_shown is not None and not self.is_shown(existing)


class Builder:
    """Makes the requests of one submitter: ``user`` is the owner, or None."""

    def __init__(self, user: Any) -> None:
        self._user = user
        submitted_by_id, submitted_by_attempt = submitter()
        self._submitter = {
            "owner_id": getattr(user, "pk", None),
            "owner_name": name_of(user),
            "submitted_by_id": submitted_by_id,
            "submitted_by_attempt": submitted_by_attempt,
        }
        self._carried = observers.carried()
        self._is_heard = is_heard(Job)

    def build(self, fields: Fields, found: Targets) -> PreparedJob:
        """Return the request of these values, for this type and organization."""
        if self._user is not None:
            fields = of_user(fields)
        if self._carried:
            fields = carrying(fields, self._carried)
        request = PreparedJob(
            builder=self,
            versions=found.versions,
            parents=sorted(fields.parents.values()) if fields.parents else (),
            window=found.common.window if fields.deduplication_window is None else fields.deduplication_window,
            encoded={} if self._is_heard else fields.encoded,  # who hears of a new job may change what it holds
            targets=found,
            fields=fields,
            on_duplicate=fields.on_duplicate,
        )
        if self._is_heard:
            _ = request.job  # who listens hears of it before anything is judged or written
        return request

    def job(self, fields: Fields, found: Targets) -> Job:
        """Return the new job of these values."""
        common, given = found.common, fields.columns["input_parameters"]
        values = {**common.values, **self._submitter, **fields.columns}
        values["job_hash"] = work_hash(common.work, given, fields.unique_key, fields.canonical)
        if common.concurrency_key:
            values["lane_key"] = lane_key(common.concurrency_key, given)
        if not self._is_heard:
            job: Job = unheard(Job, values)
            job._state.fields_cache = {"job_type": found.kind}
            return job
        make: Callable[..., Job] = Job
        job = make(*values.values())
        job.job_type = found.kind
        return job


def work_hash(work: str, parameters: Any, unique_key: str | None = None, text: str | None = None) -> str:
    """Return the SHA-256 of type, organization and canonical parameters: equal work has equal hashes.

    ``work`` is what :func:`~.targets.work_of` tells of type and organization. A ``unique_key`` takes the place of the
    parameters, and is equal to none. ``text`` is the canonical JSON of the parameters, where it is known.
    """
    what = text or canonical(parameters) if unique_key is None else f'"unique_key",{canonical(unique_key)}'
    return hashlib.sha256(f"{work},{what}]".encode()).hexdigest()


def give_back(requests: Sequence[PreparedJob]) -> None:
    """Set each request's ``existing`` to the job that an earlier attempt of the running job submitted, if there is one.

    Outside of handlers, and in first attempts, this asks nothing.
    """
    if not is_later_attempt():
        return
    earlier = given_back([(request.job.job_hash, request.window) for request in requests])
    for request, job in zip(requests, earlier, strict=True):
        request.existing = job


def take_back(requests: Iterable[PreparedJob]) -> None:
    """Have what these got back, of which one is refused, given back to those that submit the same work next."""
    claimed = current_job.get()
    for request in requests:
        if claimed is not None and request.existing is not None:
            claimed.given_back.take_back((request.existing._meta.model_name, request.existing.pk))


# Adding new jobs to their batches, in the transaction that stores them.
#
# The batch's row is locked in a way that others who add jobs share. Whoever closes or ends the batch waits for them,
# and so knows of every job that counts. A job that fails or waits decides what follows the batch, and when. So a user
# adds jobs only where they may cancel the batch, or where it is open to members.


class BatchTakesNoJobs(InvalidSubmission):
    """Some of the batches take no jobs; ``by_batch`` has by their keys why."""

    def __init__(self, by_batch: Mapping[int, str]) -> None:
        super().__init__({"batch": list(by_batch.values())})
        self.by_batch = by_batch


def may_add(user: Any, batch: Batch, organization: Any) -> bool:
    """Return whether a job of this owner may come into the batch of their organization. Server code, None, may add.

    A batch of server code takes no user's jobs, since it may submit what no user may. The job whose handler made the
    batch may add to it, and so may the batch's own jobs, whoever owns them.
    """
    if user is None:
        return True
    if batch.open_to == OpenTo.MEMBERS:
        is_open = belongs(user, organization)
    else:
        is_open = bool(batch.owner_name) and may_cancel_batch(user, batch)
    return is_open or submitter()[0] == (batch.submitted_by_id or 0) or _runs_for(batch)


def may_replace(existing: Job, user: Any, organization: Any) -> bool:
    """Return whether a submission of this owner may change the earlier job of the same work, as far as its batch says.

    A job that has started is not changed: there is a new one.
    """
    if user is None or existing.batch_id is None or existing.status not in AWAITING_TURN:
        return True
    batch = Batch.primary.filter(pk=existing.batch_id).first()
    return batch is None or may_add(user, batch, organization)


def lock_batches(requests: Sequence[PreparedJob]) -> None:
    """Hold the batches of these open until the transaction ends. Raise BatchTakesNoJobs where one takes no jobs."""
    wanted = sorted({request.fields.batch.pk for request in requests if request.fields.batch is not None})
    if not wanted:
        return
    found = {batch.pk: batch for batch in store().share_batches(wanted)}
    hindrances = {pk: text for pk in wanted if (text := _hindrance(found.get(pk)))}
    if hindrances:
        raise BatchTakesNoJobs(hindrances)


def _hindrance(batch: Batch | None) -> str | None:
    """Return why the batch takes no jobs, in words; None where it does."""
    if batch is None:
        return say("This batch was deleted.", code="deleted")
    if batch.canceled_at is not None:
        return say("%(batch)s was canceled: it takes no more jobs.", code="canceled", batch=batch.batch_id)
    if batch.closed_at is None or _runs_for(batch):
        return None
    if batch.completed_at is not None:
        text = "%(batch)s has ended: it takes no more jobs. Make another batch."
        return say(text, code="ended", batch=batch.batch_id)
    text = "%(batch)s is closed: only its own jobs may add jobs to it now."
    return say(text, code="closed", batch=batch.batch_id)


def _runs_for(batch: Batch) -> bool:
    """Return whether the handler that runs here belongs to a job of the batch, which cannot end before that job.

    One that was retried after the batch had ended makes it run again, though its row may not say so yet.
    """
    claimed = current_job.get()
    if claimed is None:
        return False
    rows = Job.primary.filter(pk=claimed.pk, batch_id=batch.pk, status=Status.RUNNING, attempt=claimed.attempt)
    return rows.exists()


def count_members(requests: Sequence[PreparedJob]) -> None:
    """Note how many jobs each batch got."""
    counts = Counter(request.fields.batch.pk for request in requests if request.fields.batch is not None)
    if counts:
        now = database.now()
        changes = [BatchChange(batch_id=pk, changed_at=now, total=number) for pk, number in sorted(counts.items())]
        BatchChange.primary.bulk_create(changes)


# What is wrong with a submission for its job type and its organization, field by field.


#: Jobs to wait for that are read in one statement: so many values every database takes.
READ_AT_ONCE: Final = 2_000


class References(NamedTuple):
    """What exists of what submissions name: the jobs to wait for and the batches, by their ids."""

    parents: Mapping[str, Job]
    batches: Mapping[str, Batch]


def check_submissions(asked: Mapping[int, PreparedJob], errors: dict[int, Errors], user: Any) -> None:
    """Judge requests by their places; what is wrong with one goes into its errors. What they name is read together."""
    known = read_known(asked.values(), user)
    active: dict[Any, bool] = {}
    for place, request in asked.items():
        pk = request.targets.organization.pk
        if pk not in active:
            active[pk] = is_active(request.targets)
        own = errors.get(place) or Errors()
        check_submission(request, known, own, is_active=active[pk])
        if own:
            errors[place] = own


def check_submission(request: PreparedJob, known: References, errors: Errors, *, is_active: bool) -> None:
    """Judge one request; ``known`` is what exists of what it names."""
    kind, fields = request.targets.kind, request.fields
    if not kind.is_enabled:
        text = say(_("The job type %(type)s is disabled."), code="job_type_disabled", type=repr(kind.type_name))
        errors.note("job_type", text, JobTypeDisabled)
    if not is_active:
        text = say(_("This organization is not active."), code="organization_inactive")
        errors.note("organization", text, OrganizationInactive)
    if fields.unique_key is not None and not request.window:  # nothing is unique in no time at all
        text = say("It needs a deduplication_window of more than 0 seconds to be unique in.", code="needs_window")
        errors["unique_key"] = [text]
    check_named(request, known, errors)
    if "parameters" not in errors:
        errors.update(parameters.validate(kind.type_name, fields.columns["input_parameters"]))


def is_active(found: Targets) -> bool:
    """Return whether the policy lets the organization's jobs start."""
    return bool(get_policy().is_active(found.organization))


def read_known(requests: Iterable[PreparedJob], user: Any) -> References:
    """Return what exists of what these name. Raises PermissionDenied for a batch to which the user may not add jobs."""
    asked = list(requests)
    batches = _read_batches(asked)
    named = {request.fields.batch.batch_id: request.targets.organization for request in asked if request.fields.batch}
    for name, organization in named.items():
        batch = batches.get(name)
        if batch is not None and batch.organization_id == organization.pk:  # else it is not told that there is one
            _check_member(batch, organization, user)
    return References(_read_parents(asked, user), batches)


def _check_member(batch: Batch, organization: Any, user: Any) -> None:
    if not may_add(user, batch, organization):
        raise PermissionDenied(say(_("You may not add jobs to %(batch)s."), code="not_owner", batch=batch.batch_id))


def check_named(request: PreparedJob, known: References, errors: Errors) -> None:
    """Note what is wrong with the jobs and the batch that a request names."""
    if request.fields.parents:
        _check_parents(request, known.parents, errors)
    if request.fields.batch is not None:
        _check_batch(request, known.batches, errors)


def _read_batches(requests: Iterable[PreparedJob]) -> dict[str, Batch]:
    wanted = {request.fields.batch.pk for request in requests if request.fields.batch is not None}
    rows = Batch.primary.filter(pk__in=wanted).defer("then", "on_failure", "fault") if wanted else ()
    return {batch.batch_id: batch for batch in rows}


def _check_batch(request: PreparedJob, known: Mapping[str, Batch], errors: Errors) -> None:
    """Whether the batch still takes jobs is asked under its lock, when the job is stored."""
    name = request.fields.batch.batch_id if request.fields.batch is not None else ""
    batch = known.get(name)
    if (
        batch is None or batch.organization_id != request.targets.organization.pk
    ):  # not told apart: it is none of theirs
        errors["batch"] = [say("There is no batch %(batch)s in this organization.", code="unknown_batch", batch=name)]


def _read_parents(requests: Iterable[PreparedJob], user: Any) -> dict[str, Job]:
    """Return the jobs to wait for that exist, by id, without those that the policy hides from ``user``."""
    wanted = sorted({pk for request in requests for pk in request.parents})
    if not wanted:
        return {}
    rows = Job.primary.only("pk", "created_at", "status", "organization_id")
    found: dict[str, Job] = {}
    for start in range(0, len(wanted), READ_AT_ONCE):
        found |= {job.name: job for job in rows.filter(pk__in=wanted[start : start + READ_AT_ONCE])}
    if user is None or not may_hide_jobs():
        return found
    return {name: job for name, job in found.items() if may_view(user, job)}


def _check_parents(request: PreparedJob, known: Mapping[str, Job], errors: Errors) -> None:
    """Note which of the jobs to wait for cannot be waited for; ``known`` are those that exist, by id."""
    must_complete = request.fields.columns.get("run_after") != RunAfter.ENDED
    organization_pk = request.targets.organization.pk
    problems = [
        problem
        for name in request.fields.parents
        if (problem := _parent_problem(name, known, organization_pk, must_complete=must_complete))
    ]
    if problems:
        errors["depends_on"] = [*errors.get("depends_on", ()), *problems]


def _parent_problem(name: str, known: Mapping[str, Job], organization_pk: Any, *, must_complete: bool) -> str | None:
    parent = known.get(name)
    if parent is None or parent.organization_id != organization_pk:  # not told apart: it is none of theirs
        return say("There is no job %(job)s in this organization.", code="unknown_job", job=name)
    if must_complete and parent.status in UNSUCCESSFUL:
        hope = " unless somebody retries it" if parent.status in RETRYABLE_BY_HAND else ""
        text = f"%(job)s has ended as %(status)s: it will not complete{hope}."
        return say(text, code="will_not_complete", job=name, status=parent.status)
    return None
