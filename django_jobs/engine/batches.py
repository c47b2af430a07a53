"""Jobs that are followed together: making a batch, adding up its counts, and what is submitted at its end."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from django.db import Error
from django.db.models import F, IntegerField, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.utils.dateparse import parse_datetime

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing, transitions
from django_jobs.engine.access import beside, get_policy, may_hang, owner_of
from django_jobs.engine.actors import name_of
from django_jobs.engine.claimed_job import current_job, submitter
from django_jobs.engine.deadlines import Late, add_up
from django_jobs.engine.json_storage import NotStorable, encoded, is_storable_text
from django_jobs.engine.organizations import recent_ids
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database
from django_jobs.engine.store.base_jobs import COUNTS
from django_jobs.engine.store.database import fresh_reads, store
from django_jobs.engine.store.values import parts_of
from django_jobs.engine.submission import same_work, submit, targets
from django_jobs.engine.submission.targets import belongs
from django_jobs.engine.submission.values import Errors, SubmissionFields
from django_jobs.exceptions import (
    BatchNotFound,
    InvalidSubmission,
    JobsError,
    JobTypeDisabled,
    OrganizationInactive,
    PermissionDenied,
    PolicyFailed,
    RetryableRefusal,
)
from django_jobs.models import Batch, BatchChange, Job, JobType, get_organization_model
from django_jobs.models.batch import COUNTED, BatchQuerySet, format_batch_id
from django_jobs.models.job import format_job_id
from django_jobs.statuses import IN_FLIGHT, TERMINAL, UNFINISHED_STATES, BatchState, OpenTo, Status
from django_jobs.texts import said, say
from django_jobs.values import BatchStatus

# Jobs that are followed together: making a batch, adding up its counts, and what is submitted at its end.


# Changing a batch: under a lock that keeps out those who add jobs, by what its counts are then.


def change(batch: Batch, write: Callable[[Batch, dt.datetime], None], *fields: str) -> None:
    """Have ``write`` set these fields of a batch whose counts are added up, and end it if it has ended by that.

    The instance says the same then.

    Raises BatchNotFound, and what ``write`` raises; then nothing is changed.
    """

    def run() -> Batch:
        row = store().close_batch(batch.pk)
        if row is None:
            raise BatchNotFound(
                say("There is no batch %(batch)s any more.", code="unknown_batch", batch=batch.batch_id)
            )
        # A transaction that does not see what others committed meanwhile cannot know the counts: somebody looks again.
        is_blind = store().has_old_view()
        if not is_blind:
            _write_counts([row.pk], database.now(), are_owned=True)
            row = Batch.primary.get(pk=row.pk)
        write(row, database.now())
        row.save(update_fields=fields, using=database.alias())
        if is_blind:
            look_again(row)
        elif _may_end(row) and (row.completed_at is None or row.fault):
            _end([row], database.now())
        transitions.hooks.announcer.batches_counted({row.pk: row.organization_id})
        return Batch.primary.get(pk=row.pk)

    row = database.in_transaction(run)
    for column in Batch._meta.concrete_fields:
        setattr(batch, column.attname, getattr(row, column.attname))


# How often this process looks whether a batch whose jobs end here has ended.


#: Batches that are remembered. What is forgotten is looked at once more than needed, or left to the scheduler.
MAX_REMEMBERED: Final = 10_000


class BatchLooks:
    """Remembers when each batch was looked at, and which are to be looked at later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked: dict[int, float] = {}
        self._waiting: set[int] = set()

    def due(self, pks: Collection[int]) -> list[int]:
        """Return the batches at which nobody looked for BATCH_LOOK_SECONDS; put off the others."""
        now = time.monotonic()
        with self._lock:
            if len(self._looked) + len(self._waiting) >= MAX_REMEMBERED:  # a process that is no worker never asks
                self._looked.clear()
                self._waiting.clear()
            due = {
                pk for pk in pks if now - self._looked.get(pk, -timing.BATCH_LOOK_SECONDS) >= timing.BATCH_LOOK_SECONDS
            }
            self._looked.update(dict.fromkeys(due, now))
            self._waiting.update(pks)
            self._waiting -= due
            return sorted(due)

    def waiting(self) -> list[int]:
        """Return those that were put off and whose time has come; they are no longer put off."""
        return self.due(self._waiting.copy()) if self._waiting else []

    def put_off(self, pks: Iterable[int]) -> None:
        """Note that these are to be looked at again."""
        with self._lock:
            self._waiting.update(pks)


# Adding up the counts of batches, and seeing that one has ended.
#
# Whatever moves a job of a batch into or out of a status that counts leaves a :class:`BatchChange` in the same
# transaction. So those whose jobs end at once do not wait for each other, and no change is lost or counted twice.
# Changes are added to the batch's row, under its lock, and deleted: once a second by the scheduler, and after a commit
# with which the batch may have ended.
#
# A batch ends when it is closed and all its jobs have ended. The transaction that sees this submits ``then`` or
# ``on_failure``, so that each is submitted once whatever dies. A change of nothing notes that a batch is
# to be looked at again.


logger = logging.getLogger("django_jobs")

#: Batches that one transaction looks at.
AT_ONCE: Final = 200
#: Changes that one tick of the scheduler reads, and for how long it works on them.
READ_AT_ONCE: Final = 5_000

_looks = BatchLooks()


def count_after_commit(pks: Collection[int]) -> None:
    """End those of these batches whose last jobs ended just now. Never raises: the scheduler looks again."""
    due = _looks.due(pks)
    if due:
        _look(due)


def count_waiting() -> int:
    """Look at the batches that could wait, where their time has come; return at how many. Never raises."""
    due = _looks.waiting()
    return _look(due) if due else 0


def count_in_tick() -> int:
    """Add up the batches of which somebody left changes, for BATCH_TICK_SECONDS; return how many were written."""
    due = BatchChange.primary.filter(changed_at__lte=database.now()).order_by("pk")
    pks = list(dict.fromkeys(due.values_list("batch_id", flat=True)[:READ_AT_ONCE]))
    return add_up(timing.BATCH_TICK_SECONDS, map(_count_or_forget, parts_of(pks, AT_ONCE)))


def _count_or_forget(pks: Sequence[int]) -> int:
    """Add up these batches. What is noted of those that were deleted goes: their jobs may end after them."""
    if gone := set(pks) - set(Batch.primary.filter(pk__in=pks).values_list("pk", flat=True)):
        BatchChange.primary.filter(batch_id__in=gone).delete()
    return _count(pks, only_ends=False)


def _look(pks: Sequence[int]) -> int:
    try:
        for some in parts_of(pks, AT_ONCE):
            _count(some, only_ends=True)
    except Exception as error:  # noqa: BLE001  (the caller has committed what it wanted; a policy may have failed)
        logger.warning("event=batches_not_counted error=%r", error)
        _looks.put_off(pks)
    return len(pks)


def _count(pks: Sequence[int], *, only_ends: bool) -> int:
    """Add up those of these that may have ended, or all; return how many were written."""
    ending = _that_may_end(pks)
    others = [] if only_ends else sorted(set(pks).difference(*ending.values()))
    count = 0
    if others:
        count += len(database.in_transaction(functools.partial(_add_up, others, are_owned=False)))
    # Tenant by tenant: what follows a batch asks the access policy, and may wait for a submission of the same work.
    for organization_pk, some in ending.items():
        try:
            count += len(beside(organization_pk, functools.partial(_end_all, some)))
        except Late:
            _looks.put_off(some)
    return count


def _that_may_end(pks: Sequence[int]) -> dict[Any, list[int]]:
    """Return, by tenant, those of these batches that are closed and whose jobs have all ended, seen without a lock.

    The rows are read before the changes, so that what is added up in between is not missed.
    """
    left = F("total") - sum(F(COUNTED[status]) for status in sorted(TERMINAL))
    rows = Batch.primary.filter(pk__in=pks, closed_at__isnull=False, retry_position__isnull=True).order_by()
    seen = list(rows.annotate(left=left).values_list("pk", "organization_id", "left"))
    grouped: Any = BatchChange.primary.filter(batch_id__in=pks).order_by().values_list("batch_id")
    changes = dict(grouped.annotate(left=Sum(left)))
    ending: dict[Any, list[int]] = defaultdict(list)
    for pk, organization_pk, left_before in seen:
        if left_before + changes.get(pk, 0) <= 0:
            ending[organization_pk].append(pk)
    return ending


def _end_all(pks: Sequence[int]) -> list[Batch]:
    ask_ahead_of_ending(pks)
    return database.in_transaction(functools.partial(_add_up, pks, are_owned=True))


def _add_up(pks: Sequence[int], *, are_owned: bool) -> list[Batch]:
    """Add up batches, and end those that ``are_owned``: nobody adds a job to them before the transaction ends."""
    if are_owned:
        free = store().own_batches(sorted(pks))
        _looks.put_off(set(pks) - set(free))
    else:
        free = list(database.locked(Batch.primary.filter(pk__in=pks), skip=True).values_list("pk", flat=True))
    return _write_counts(free, database.now(), are_owned=are_owned)


def look_again(batch: Batch) -> None:
    """Have somebody look at the batch once the open transaction is committed: it may have ended."""
    _remind([batch], database.now())
    database.on_commit(lambda: count_after_commit([batch.pk]))


def _write_counts(pks: Sequence[int], now: dt.datetime, *, are_owned: bool) -> list[Batch]:
    """Add up these batches, whose rows the open transaction has locked, and return those that changed.

    Those that may be ended only by somebody who owns them are to be looked at again.
    """
    written = store().add_up_batches(pks, now) if pks else []
    ending = [batch for batch in written if _may_end(batch)]
    if are_owned:
        _end(ending, now)
    else:
        _remind(ending, now)
    # A job of one that had ended was retried.
    revived = [batch.pk for batch in written if batch.completed_at is not None and batch not in ending]
    if revived:
        Batch.primary.filter(pk__in=revived).update(completed_at=None)
    transitions.hooks.announcer.batches_counted({batch.pk: batch.organization_id for batch in written})
    return written


def _may_end(batch: Batch) -> bool:
    """Return whether all its jobs have ended, and none is to be retried still."""
    return batch.closed_at is not None and batch.retry_position is None and batch.ended >= batch.total


def _end(batches: Sequence[Batch], now: dt.datetime) -> None:
    """End these batches and submit what follows them. Where that must wait, it is tried again later."""
    # One that ended before, and of which only what follows must wait, keeps its moment.
    new = [batch for batch in batches if batch.completed_at is None or not batch.fault]
    for batch in new:
        batch.completed_at = now
    if new:
        Batch.primary.filter(pk__in=[batch.pk for batch in new]).update(completed_at=now)
    waiting = [batch for batch in batches if not follow_ending(batch)]
    _remind(waiting, now + timing.BATCH_FOLLOWER_RETRY)
    for batch in new:
        level = logging.WARNING if batch.fault else logging.INFO
        text = "batch_id=%s event=batch_ended state=%s total=%s organization=%s %s"
        logger.log(level, text, batch.batch_id, batch.state, batch.total, batch.organization_name, batch.fault)


def _remind(batches: Sequence[Batch], at: dt.datetime) -> None:
    """Have these looked at again, from that moment on."""
    BatchChange.primary.bulk_create([BatchChange(batch_id=batch.pk, changed_at=at) for batch in batches])


# Making a batch.


#: Characters.
MAX_NAME: Final = 200


def create_batch(
    organization: Any,
    *,
    name: str = "",
    then: Mapping[str, Any] | None = None,
    on_failure: Mapping[str, Any] | None = None,
    user: Any = None,
    open_to: str = "owner",
) -> Batch:
    """Make a batch of an organization, and return it: add jobs by its ``submit`` and ``submit_many``, then close it.

    As a context manager it closes itself at the end of the block, and cancels itself where the block raises.
    ``organization`` is an id or an instance, or None for the system organization; ``name`` a title of up to 200
    characters; ``user`` the owner of the batch and its jobs, whose rights are checked (None: trusted server code).
    Users add jobs to it where they may cancel it, and none to one of server code. With ``open_to="members"`` every
    member of the organization may. Server code and the batch's own jobs always may.

    ``then`` and ``on_failure`` are submissions: dicts with ``job_type`` and whatever else
    :func:`~django_jobs.submit_job` takes, but for the organization and what waits for jobs. One is submitted when the
    batch is closed and its last job has ended: ``then`` if all completed, else ``on_failure``. Each is submitted once
    at most.

    Inside a handler, a later attempt that makes the same batch again gets that of the earlier attempt. A canceled batch
    is not given back.

    Raises InvalidSubmission, whose ``errors`` name each field, and PermissionDenied.
    """
    errors = Errors()
    tenant = targets.read_organization(organization, errors)
    if tenant is None:
        raise errors.refusal()
    if not _is_title(name):
        raise InvalidSubmission(
            {"name": [say("Give a text of up to %(most)d characters.", code="too_long", most=MAX_NAME)]}
        )
    if open_to not in OpenTo.values:
        raise InvalidSubmission({"open_to": [say("Use 'owner' or 'members'.", code="invalid_choice")]})
    submitted_by_id, submitted_by_attempt = submitter()
    batch = Batch(
        name=name,
        organization=tenant,
        organization_name=str(getattr(tenant, jobs_settings.ORGANIZATION_ID_FIELD)),
        owner_id=getattr(user, "pk", None),
        owner_name=name_of(user),
        open_to=open_to,
        submitted_by_id=submitted_by_id,
        submitted_by_attempt=submitted_by_attempt,
    )
    if same_work.later_attempt() is not None:  # what is given back is not judged again
        batch.then, batch.on_failure = stored_ending("then", then), stored_ending("on_failure", on_failure)
        earlier = same_work.batch_given_back(batch)
        if earlier is not None:
            return earlier
    _check_tenant(tenant, user)
    batch.then = check_ending("then", then, tenant, user)
    batch.on_failure = check_ending("on_failure", on_failure, tenant, user)
    batch.created_at = database.now()
    batch.save(using=database.alias())
    return batch


def _is_title(name: object) -> bool:
    return isinstance(name, str) and len(name) <= MAX_NAME and is_storable_text(name)


def _check_tenant(tenant: Any, user: Any) -> None:
    if user is not None and not belongs(user, tenant):
        raise PermissionDenied(say("You may not make a batch for this organization.", code="no_part"))
    if not get_policy().is_active(tenant):
        text = say("This organization is not active.", code="organization_inactive")
        raise OrganizationInactive({"organization": [text]})


# What a batch does, as host code is told: its row, and what was not yet added to it.


def get_batch_status(batch_id: str | Batch, *, user: Any = None) -> BatchStatus:
    """Return what the batch does now. BatchNotFound when there is no such batch, or ``user`` may not know of it.

    This reads one row and what was not yet added to it, and counts what is queued or running of the batch now: nothing
    that grows with the number of its jobs.
    """
    batch = Scope(user).batch(batch_id)
    status = describe_batch(batch.pk)
    if status is None:
        raise BatchNotFound(say("There is no batch %(batch)r.", code="unknown_batch", batch=batch.batch_id))
    return status


def describe_batch(pk: int) -> BatchStatus | None:
    """Return the status of the batch with this key, as it is now; None where it is gone."""
    return next(iter(describe_batches(list(up_to_date(Batch.primary.filter(pk=pk))))), None)


def up_to_date(rows: BatchQuerySet) -> BatchQuerySet:
    """Return these batches with what was not yet added to each, read by the same statement."""
    left = BatchChange.primary.filter(batch_id=OuterRef("pk")).order_by().values("batch_id")
    sums = {f"left_{name}": _sum(left, name) for name in COUNTS}
    return rows.annotate(**sums)


def _sum(left: QuerySet[Any, Any], name: str) -> Coalesce:
    return Coalesce(Subquery(left.annotate(s=Sum(name)).values("s"), output_field=IntegerField()), Value(0))


def describe_batches(batches: Sequence[Batch]) -> list[BatchStatus]:
    """Return the status of each of these rows, best from :func:`up_to_date`; in a fixed number of statements."""
    for batch in batches:
        for name in COUNTS:
            setattr(batch, name, getattr(batch, name) + getattr(batch, f"left_{name}", 0))
            setattr(batch, f"left_{name}", 0)
        if batch.ended < batch.total:  # a job of a batch that had ended was retried just now
            batch.completed_at = None
    flying, starts = _in_flight([batch.pk for batch in batches if batch.ended < batch.total])
    names = recent_ids({batch.organization_id: batch.organization_name for batch in batches})
    jobs = _job_ids([pk for batch in batches for pk in (batch.then_job_id, batch.on_failure_job_id) if pk is not None])
    return [_describe(batch, flying, starts.get(batch.pk), names[batch.organization_id], jobs) for batch in batches]


def _in_flight(pks: Sequence[int]) -> tuple[Counter[tuple[int, str]], dict[int, dt.datetime]]:
    """Count, by batch and status, what is in flight, which is never much; and tell when the first of each started."""
    counts: Counter[tuple[int, str]] = Counter()
    starts: dict[int, dt.datetime] = {}
    rows = Job.primary.filter(status__in=sorted(IN_FLIGHT), queued_at__isnull=False, batch_id__in=pks).order_by()
    for pk, status, started_at in rows.values_list("batch_id", "status", "started_at") if pks else ():
        counts[pk, status] += 1
        if status == Status.RUNNING and started_at is not None:
            starts[pk] = min(starts.get(pk, started_at), started_at)
    return counts, starts


def _job_ids(pks: Sequence[int]) -> dict[int, str]:
    rows = Job.primary.filter(pk__in=pks).values_list("pk", "created_at") if pks else ()
    return {pk: format_job_id(pk, created_at.year) for pk, created_at in rows}


def _describe(
    batch: Batch,
    flying: Counter[tuple[int, str]],
    started_at: dt.datetime | None,
    organization: str,
    jobs: dict[int, str],
) -> BatchStatus:
    counts = dict.fromkeys(map(str, Status), 0)
    counts |= {str(status): max(0, getattr(batch, column)) for status, column in COUNTED.items()}
    left = max(0, batch.total - sum(counts.values()))
    for status in IN_FLIGHT:  # they may have moved on since the row was read
        counts[status] = min(left, flying[batch.pk, status])
        left -= counts[status]
    counts[Status.PENDING] = left
    return BatchStatus(
        batch_id=batch.batch_id,
        name=batch.name,
        organization=organization,
        owner=batch.owner_name,
        open_to=batch.open_to,
        state=str(batch.state),
        total=batch.total,
        by_status=counts,
        progress=_progress(batch),
        created_at=batch.created_at,
        started_at=min(filter(None, (batch.started_at, started_at)), default=None),
        closed_at=batch.closed_at,
        completed_at=batch.completed_at,
        then_job=jobs.get(batch.then_job_id or 0),
        on_failure_job=jobs.get(batch.on_failure_job_id or 0),
        fault=batch.fault,
        refused=batch.refused,
    )


def _progress(batch: Batch) -> int:
    """Return the share of its jobs that have ended, in percent. An empty batch is done once it has ended."""
    if not batch.total:
        return 0 if batch.state in UNFINISHED_STATES else 100
    return min(100, 100 * batch.ended // batch.total)


def batch_id_of(job_pk: int) -> str | None:
    """Return the id of the batch that a job counts for; None where it counts for none."""
    row = Job.primary.filter(pk=job_pk, batch__isnull=False).values_list("batch_id", "batch__created_at").first()
    return None if row is None or row[1] is None else format_batch_id(row[0], row[1].year)


def batch_of(job_pk: int) -> BatchStatus | None:
    """Return the status of the batch that a job counts for, or whose ``then`` or ``on_failure`` it is."""
    pk = Job.primary.filter(pk=job_pk).values_list("batch_id", flat=True).first()
    if pk is None:
        for name in ("then_job_id", "on_failure_job_id"):
            pk = pk or Batch.primary.filter(**{name: job_pk}).values_list("pk", flat=True).first()
    return None if pk is None else describe_batch(pk)


# What a batch submits at its end: ``then`` if all its jobs completed, ``on_failure`` if not; each once at most.


#: What such a submission cannot say: it waits for the whole batch, and counts for none.
_NOT_TAKEN: Final = frozenset({"depends_on", "run_after", "batch"})
_TAKEN: Final = frozenset({"job_type", "parameters", *SubmissionFields.__annotations__}) - _NOT_TAKEN
_MOMENTS: Final = ("run_at", "expires_at")
#: Refusals that end by themselves, or when somebody switches a tenant or a type on again, for which jobs wait too.
_PASSING: Final = (RetryableRefusal, OrganizationInactive, JobTypeDisabled)


def check_ending(name: str, given: object, organization: Any, user: Any) -> dict[str, Any] | None:
    """Return a submission as it is stored until the batch ends. ``name`` is ``then`` or ``on_failure``.

    Raises InvalidSubmission or PermissionDenied for what would be refused now, with the name before each field.
    """
    values = _values(name, given)
    if not values:
        return None
    try:
        submit.judge(values.pop("job_type"), organization, values, user)
    except InvalidSubmission as refusal:
        raise type(refusal)({f"{name}.{field}": texts for field, texts in refusal.errors.items()}) from refusal
    return stored_ending(name, given)


def stored_ending(name: str, given: object) -> dict[str, Any] | None:
    """Return the same without judging it. Raises InvalidSubmission for what is no submission."""
    values = _values(name, given)
    if not values:
        return None
    max_bytes, job_type = int(jobs_settings.MAX_PARAMETERS_BYTES) + 8192, values["job_type"]
    try:
        text: dict[str, Any] = encoded({**values, "job_type": getattr(job_type, "pk", job_type)}, name, max_bytes)[1]
    except NotStorable as error:
        raise InvalidSubmission({name: [said(error)]}) from error
    return text


def _values(name: str, given: object) -> dict[str, Any]:
    """Return what is given by its names; nothing where nothing is to follow."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or "job_type" not in given:
        problem = say("Give an object (a dict) with job_type, and what else the job needs.", code="not_an_object")
        raise InvalidSubmission({name: [problem]})
    unknown = sorted(str(key) for key in given.keys() - _TAKEN)
    if unknown:
        text = f"It takes no %(names)s; known are {', '.join(sorted(_TAKEN))}."
        raise InvalidSubmission({name: [say(text, code="unknown_field", names=", ".join(unknown))]})
    return dict(given)


def follow_ending(batch: Batch) -> bool:
    """Submit what follows a batch whose jobs have all ended, unless that was done; its caller owns the row.

    Return False where it cannot be submitted for now, and is to be tried again. ``fault`` says why in words.
    """
    name = "then" if batch.state == BatchState.COMPLETED else "on_failure"
    if getattr(batch, name) is None or getattr(batch, f"{name}_job_id") is not None:
        _write_ending(batch)
        return True
    token = current_job.set(None)  # the batch submits it, not the job that happens to run here
    try:
        with fresh_reads():  # a refusal is for good
            job = database.in_transaction(lambda: _submit(batch, getattr(batch, name)))
    except _PASSING as refusal:
        _write_ending(batch, fault=_reason_of(refusal), is_fault_passing=True)
        return False
    except JobsError as refusal:
        _write_ending(batch, fault=_reason_of(refusal))
    except Error:
        raise
    except Exception as error:
        if not database.goes_on_after(error):
            raise  # the policy hangs, and has taken the transaction with it
        logger.warning("batch_id=%s event=batch_not_followed error=%r", batch.batch_id, error, exc_info=error)
        _write_ending(batch, fault=f"{type(error).__name__}; the log says more", is_fault_passing=True)
        return False
    else:
        _write_ending(batch, values={f"{name}_job_id": job.pk})
    finally:
        current_job.reset(token)
    return True


def ask_ahead_of_ending(pks: Sequence[int]) -> None:
    """Ask the policy what will be asked where something follows these batches, which are of one organization.

    To be called before the transaction that ends them: what fails or hangs here is told there.
    """
    if not may_hang():
        return
    rows = Batch.primary.filter(pk__in=pks).select_related("organization", "owner")
    with fresh_reads(), contextlib.suppress(PolicyFailed):
        for batch in rows:
            for given in filter(None, (batch.then, batch.on_failure)):
                kind = JobType.primary.filter(pk=given["job_type"]).first()
                targets.ask_ahead(batch.organization, batch.owner, kind)


def _reason_of(refusal: JobsError) -> str:
    """Return why something could not be submitted, without the names of refused fields."""
    if isinstance(refusal, InvalidSubmission):
        return " ".join(str(text) for texts in refusal.errors.values() for text in texts)
    return str(refusal)


def _write_ending(
    batch: Batch, *, fault: str = "", is_fault_passing: bool = False, values: Mapping[str, Any] = MappingProxyType({})
) -> None:
    wanted = {**values, "fault": fault, "is_fault_passing": is_fault_passing}
    changed = {name: value for name, value in wanted.items() if getattr(batch, name) != value}
    for name, value in changed.items():
        setattr(batch, name, value)
    if changed:
        Batch.primary.filter(pk=batch.pk).update(**changed)


def _submit(batch: Batch, given: dict[str, Any]) -> Job:
    owner = owner_of(batch, batch.batch_id)
    values = {key: value for key, value in given.items() if key != "job_type"}
    for name in _MOMENTS:
        if isinstance(values.get(name), str):
            values[name] = parse_datetime(values[name])
    # What follows one batch is not the same work as what follows another, though its parameters may be equal.
    if values.get("unique_key") is None:
        values["deduplication_window"] = 0
    values.setdefault("on_duplicate", "return")
    return submit.submit_or_find(given["job_type"], tenant_of(batch), values, owner)[0]


def tenant_of(batch: Batch) -> Any:
    """Return an instance with the key of the batch's tenant, which a submission reads anew."""
    return get_organization_model()(pk=batch.organization_id)
