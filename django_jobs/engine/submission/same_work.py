"""Work that is there already, or too much of it: duplicates, replacement, limits."""

from __future__ import annotations

import datetime as dt
import functools
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, TypeVar

from django.apps import apps as current_apps
from django.db import router
from django.db.models import Count, QuerySet
from django.utils.translation import gettext_noop as _

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing, transitions
from django_jobs.engine.access import AccessPolicy, get_policy
from django_jobs.engine.actors import Actor, submitter_of
from django_jobs.engine.claimed_job import Claimed, GivenBack, current_job, submitter
from django_jobs.engine.deadlines import add_up
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.job_types.types import RETRY_FIELDS
from django_jobs.engine.json_storage import canonical
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database
from django_jobs.engine.store.counting import created_between
from django_jobs.engine.store.database import store, store_of
from django_jobs.engine.store.values import Move, Terms, parts_of, place_in_lane
from django_jobs.engine.submission.targets import PreparedJob, Targets
from django_jobs.engine.transitions import move
from django_jobs.exceptions import JobNotFound, QueueFull, RateLimited
from django_jobs.models import Batch, DuplicateGate, DuplicateKey, Job, JobType
from django_jobs.statuses import AWAITING_TURN, UNSUCCESSFUL, Priority, Status
from django_jobs.texts import say

# Duplicates: whom equal work refuses, who may know of it, and when its key is deleted.
#
# A key row for each piece of work names the job that was accepted last and until when it keeps others out. Who is first
# among many at the same moment is decided by the store, where jobs are inserted.


FORGET_BATCH = 1000


def find_duplicates(keys: Iterable[str]) -> dict[str, Job]:
    """Key by key, the job that keeps the same work out now."""
    return store().same_work(keys)


def after_migrate(*, using: str, apps: Any = current_apps, **kwargs: Any) -> None:
    """Prepare the tables of duplicates, on a database that has them."""
    if "duplicategate" in apps.all_models["django_jobs"] and router.allow_migrate_model(using, DuplicateGate):
        store_of(using).after_migrate()


def is_duplicate_visible(existing: Job, user: Any) -> bool:
    """Return whether the policy shows the earlier job to ``user``.

    The built-in policy shows people the jobs of every organization for which they may submit.
    """
    if user is None or type(get_policy()) is AccessPolicy:
        return True
    try:
        Scope(user).job(existing)
    except JobNotFound:
        return False
    return True


def release_keys(jobs: Iterable[Job]) -> None:
    """These jobs keep nobody out any more: they are about to go, or a later one takes their place."""
    by_key = sorted((job.job_hash, job.pk) for job in jobs)
    for some in parts_of(by_key):
        keys, pks = zip(*some, strict=True)
        DuplicateKey.primary.filter(pk__in=keys, job_id__in=pks).delete()


def release_missing_keys(keys: Iterable[str]) -> None:
    """Remove keys whose job somebody deleted in another way."""
    rows = dict(DuplicateKey.primary.filter(pk__in=list(keys)).values_list("pk", "job_id"))
    there = set(Job.primary.filter(pk__in=rows.values()).values_list("pk", flat=True))
    for key, pk in rows.items():
        if pk not in there:
            DuplicateKey.primary.filter(pk=key, job_id=pk).delete()


def forget_expired_keys(seconds: float = 0.0) -> int:
    """Remove keys that keep nobody out any more, batch by batch for so many seconds; at least one batch."""
    return add_up(seconds, iter(_forget_batch, 0))


def _forget_batch() -> int:
    """Remove a batch of expired keys; return how many, 0 also where others hold all of them."""
    now = database.now()
    rows = DuplicateKey.primary.filter(expires_at__lt=now).order_by("expires_at")
    old = list(rows.values_list("pk", flat=True)[:FORGET_BATCH])
    return database.in_transaction(lambda: _forget(old, now)) if old else 0


def _forget(old: list[str], now: dt.datetime) -> int:
    """In the order in which submissions take keys over, and past those that one holds; judged again under the lock,
    since the same work may have been accepted anew in between.
    """
    keys = DuplicateKey.primary.all()
    locked = database.locked(keys.filter(pk__in=old), skip=True)
    expired = [key.pk for key in locked if key.expires_at < now]
    return keys.filter(pk__in=expired).delete()[0]


# Giving a handler back what an earlier attempt of its job submitted, when a later attempt submits the same work.
#
# Each job remembers which job's handler submitted it, and in which attempt; so does each batch. A first attempt takes
# no statement. A job that was canceled or is a Dead Letter is not given back, nor is a batch that was canceled.


#: What is equal of batches that two attempts make by the same call.
_SAME: Final = ("organization_id", "owner_id", "name", "then", "on_failure", "open_to")

Made = TypeVar("Made", Job, Batch)


def is_own(made: Job | Batch) -> bool:
    """Return whether an earlier attempt of the job that runs here submitted this job, or made this batch."""
    pk, attempt = submitter()
    return attempt is not None and made.submitted_by_id == pk and (made.submitted_by_attempt or 0) < attempt


def later_attempt() -> Claimed | None:
    """Return the job whose handler runs here, if it was tried before: there may be something to give back."""
    claimed = current_job.get()
    return claimed if claimed is not None and claimed.attempt > 1 else None


def give_back(requests: Sequence[PreparedJob]) -> None:
    """Set each request's ``existing`` to the job that an earlier attempt of the running job submitted, if there is one.

    Jobs of equal work, which a type without a window may have, are given back one after the other. Outside of handlers,
    and in first attempts, this asks nothing.
    """
    claimed = later_attempt()
    if claimed is None:
        return
    keys = sorted({request.job.job_hash for request in requests})
    earlier = _submitted_earlier(claimed.pk, claimed.attempt, keys)
    with claimed.given_back.lock:
        for request in requests:
            request.existing = _next(claimed.given_back, earlier[request.job.job_hash], request.window)


def take_back(requests: Iterable[PreparedJob]) -> None:
    """Have what these got back, of which one is refused, given back to those that submit the same work next."""
    claimed = current_job.get()
    for request in requests:
        if claimed is not None and request.existing is not None:
            claimed.given_back.take_back((request.existing._meta.model_name, request.existing.pk))


def batch_given_back(asked: Batch) -> Batch | None:
    """Return the batch that an earlier attempt made by the same call, or None; one after the other, as jobs."""
    claimed = later_attempt()
    if claimed is None:
        return None
    rows = Batch.primary.filter(submitted_by_id=claimed.pk, submitted_by_attempt__lt=claimed.attempt)
    earlier = rows.filter(canceled_at__isnull=True).order_by("pk")
    same = [batch for batch in earlier if all(getattr(batch, name) == getattr(asked, name) for name in _SAME)]
    with claimed.given_back.lock:
        return _next(claimed.given_back, same, 0)


def _submitted_earlier(pk: int, attempt: int, keys: list[str]) -> dict[str, list[Job]]:
    found: dict[str, list[Job]] = defaultdict(list)
    rows = Job.primary.filter(submitted_by_id=pk, submitted_by_attempt__lt=attempt)
    for some in parts_of(keys):
        for job in rows.filter(job_hash__in=some).exclude(status__in=sorted(UNSUCCESSFUL)).order_by("pk"):
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


# Replacing: an earlier job that has not started gets the values of a later submission of the same work.
#
# The job's row is locked while it is judged, so replacements come one after the other and the last one counts. A job
# that has a ticket goes back to Pending first. The worker that takes the ticket then finds a job that is not queued, or
# reads the new values (``claim``). A job that has started, or that a worker has claimed ahead, runs with the values
# that were read. So the later submission becomes a job of its own. It takes the place of the earlier one as the job
# that is to be replaced.


MESSAGE: Final = say("Replaced by a later submission", code="replaced")
#: Jobs that are locked together.
REPLACED_AT_ONCE: Final = 1_000
#: The fields that are taken from the later submission. Id, dependencies and ``created_at`` stay as they are.
_TAKEN: Final = (
    "owner_id",
    "owner_name",
    "priority",
    "head_start",
    "input_parameters",
    "lane_key",
    "metadata",
    "run_at",
    *RETRY_FIELDS,
    "timeout_seconds",
    "expires_at",
    "submitted_by_id",
    "submitted_by_attempt",
)


def replace_jobs(pks: Collection[int], request: PreparedJob) -> dict[int, Job]:
    """Give earlier jobs, which differ only in their organizations, the values of this submission of the same work.

    Return them by key, without those that have started, were deleted, were canceled or are Dead Letters: there is to be
    a new job in their place.
    """
    found: dict[int, Job] = {}
    for chunk in parts_of(sorted(pks), REPLACED_AT_ONCE):
        found |= database.in_transaction(functools.partial(_replace, chunk, request))
    return found


def _replace(pks: Sequence[int], request: PreparedJob) -> dict[int, Job]:
    rows = Job.primary.all()
    found = [job for job in database.locked(rows.filter(pk__in=pks)) if job.status not in UNSUCCESSFUL]
    # With the values that they have no handler began. An interruption empties ``started_at``, and so does a retry by
    # hand; but the next attempt goes on from the steps and the checkpoint of the last one.
    unstarted = [job for job in found if job.started_at is None and not job.begun_attempt]
    waiting = [job for job in unstarted if job.status in AWAITING_TURN]
    asked = request.job.input_parameters
    others = [job for job in found if job not in waiting]
    # An earlier attempt of the running job submitted just these.
    kept = {job.pk: job for job in others if is_own(job) and canonical(job.input_parameters) == canonical(asked)}
    if not waiting:
        return kept
    now = database.now()
    actor = submitter_of(request.job)
    _write(waiting, request.job, now, actor)
    # They keep the same work out until the new window ends, where they still do.
    keys = DuplicateKey.primary.filter(pk__in=[job.job_hash for job in waiting], job_id__in=[job.pk for job in waiting])
    keys.update(expires_at=now + dt.timedelta(seconds=request.window))
    replaced = rows.in_bulk([job.pk for job in waiting])
    for job in replaced.values():
        transitions.hooks.announcer.replaced(job, actor)
    if any(job.ready_at and not job.is_delayed for job in replaced.values()):
        database.once_on_commit(dispatcher.wake)
    return kept | replaced


def _write(waiting: Sequence[Job], asked: Job, now: dt.datetime, actor: Actor) -> None:
    """Write the new values. A job that waits for parents goes on waiting for them."""
    ready_at = max(now, asked.run_at or now)
    is_delayed = ready_at > now
    if not is_delayed:
        ready_at = place_in_lane(ready_at, asked.head_start)
    values = {name: getattr(asked, name) for name in _TAKEN}
    queued = [job.pk for job in waiting if job.status == Status.QUEUED]
    ready = [job.pk for job in waiting if job.status == Status.PENDING and job.ready_at is not None]
    held = [job.pk for job in waiting if job.status == Status.PENDING and job.ready_at is None]
    if queued:
        _withdraw(queued, {**values, "ready_at": ready_at, "is_delayed": is_delayed}, actor)
    if ready:
        Job.primary.filter(pk__in=ready).update(**values, ready_at=ready_at, is_delayed=is_delayed)
    if held:
        Job.primary.filter(pk__in=held).update(**values, ready_at=None)


def _withdraw(pks: Sequence[int], values: dict[str, Any], actor: Actor) -> None:
    """Take these jobs back to Pending with the new values. A move names foreign keys without ``_id``."""
    written = {name.removesuffix("_id") if name == "owner_id" else name: value for name, value in values.items()}
    written["queued_at"] = None
    moves = [Move(pk=pk, to_status=Status.PENDING, message=MESSAGE, values=written) for pk in pks]
    if len(move(moves, Terms(sources=[Status.QUEUED], actor=actor))) < len(pks):
        raise AssertionError("A locked job changed its status.")


# How much an organization may submit: a rate for each type, and a number of waiting jobs.
#
# No lock is held until the caller commits. So concurrent submitters may exceed a limit, by at most their number.


RATE: Final = _("This organization may submit %(limit)d %(type)s in %(window)d seconds; try again in %(delay)d s.")


def check_limits(requests: Sequence[PreparedJob]) -> Sequence[PreparedJob]:
    """Return them. Raise RateLimited or QueueFull when these submissions together exceed what is left of a limit."""
    limited = [request for request in requests if request.targets.kind.rate_limit is not None]
    if limited:
        _check_rates(limited)
    limit = jobs_settings.MAX_BACKLOG_PER_ORGANIZATION
    if limit is not None:
        _check_backlogs(requests, int(limit))
    return requests


def _check_rates(limited: Sequence[PreparedJob]) -> None:
    alike: dict[Any, list[PreparedJob]] = defaultdict(list)
    for request in limited:
        alike[request.targets.kind.pk, request.targets.organization.pk].append(request)
    for (kind_pk, organization_pk), [first, *others] in alike.items():
        kind = first.targets.kind
        delay = _seconds_until_free(kind, organization_pk, 1 + len(others))
        if delay is not None:
            facts = {"limit": kind.rate_limit, "type": kind_pk, "window": kind.rate_limit_window}
            text = say(RATE, code="rate_limited", delay=math.ceil(delay), **facts)
            raise RateLimited(text, delay, first.place)


def _seconds_until_free(kind: JobType, organization_pk: Any, count: int) -> float | None:
    """Return None while ``count`` more are within the limit. One row is read: the oldest that would still count."""
    limit, window = int(kind.rate_limit or 0), float(kind.rate_limit_window)
    left = limit - count
    if left < 0:  # not even when nothing was submitted before
        return window
    rows = store().newest_of_type(kind.pk, organization_pk)
    times = rows.values_list("created_at", flat=True)[left : left + 1]
    for created_at in times:
        free_at = created_at + dt.timedelta(seconds=window)
        delay = (free_at - database.now()).total_seconds()
        return max(1.0, delay) if delay > 0 else None
    return None


def _check_backlogs(requests: Sequence[PreparedJob], limit: int) -> None:
    places: dict[Any, list[int]] = defaultdict(list)
    for request in requests:
        places[request.targets.organization.pk].append(request.place)
    for organization_pk, own in places.items():
        if waiting(organization_pk, limit) + len(own) > limit:
            text = _("This organization has %(limit)d jobs waiting, as many as it may; try again later.")
            raise QueueFull(say(text, code="queue_full", limit=limit), timing.FULL_BACKLOG_RETRY_SECONDS, own[0])


def full_limits(targets: Sequence[Targets]) -> dict[Any, str]:
    """Return the organizations among those of one type that may not submit one more of it now, and why.

    The answers are those of :func:`check_limits`, for many organizations in a few statements.
    """
    if not targets:
        return {}
    pks = [item.organization.pk for item in targets]
    return _without_room(pks) | _rate_limited(targets[0].kind, pks)


def _rate_limited(kind: JobType, pks: Sequence[Any]) -> dict[Any, str]:
    if kind.rate_limit is None:
        return {}
    limit = int(kind.rate_limit)
    since = database.now() - dt.timedelta(seconds=float(kind.rate_limit_window))
    rows = created_between(Job.primary.filter(job_type_id=kind.pk), after=since)
    counts = _counted(rows, pks)
    return {pk: "rate_limited" for pk in pks if counts[pk] >= limit}


def _without_room(pks: Sequence[Any]) -> dict[Any, str]:
    limit = jobs_settings.MAX_BACKLOG_PER_ORGANIZATION
    if limit is None:
        return {}
    counts = _counted(_ready(), pks) + _counted(_blocked(), pks)
    return {pk: "queue_full" for pk in pks if counts[pk] >= int(limit)}


def _counted(rows: QuerySet[Job], pks: Sequence[Any]) -> Counter[Any]:
    """Return how many rows each organization has."""
    counts: Counter[Any] = Counter()
    for some in parts_of(pks):
        own = rows.filter(organization_id__in=some).order_by()
        counts.update(dict(own.values_list("organization_id").annotate(Count("pk"))))
    return counts


def waiting(organization_pk: Any, most: int) -> int:
    """Return how many of an organization's jobs wait in the database, counted up to ``most``."""
    count = _ready().filter(organization_id=organization_pk)[:most].count()
    if count >= most:
        return count
    return count + _blocked().filter(organization_id=organization_pk)[: most - count].count()


def _ready() -> QuerySet[Job]:
    """Return what waits for dispatch or for its moment. All priorities are named, since the index has them first."""
    return store().waiting_jobs().filter(priority__in=list(Priority))


def _blocked() -> QuerySet[Job]:
    """Return what waits for other jobs."""
    return Job.primary.order_by().filter(ready_at__isnull=True, status=Status.PENDING)
