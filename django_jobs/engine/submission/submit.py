"""Submitting jobs, one or many: checked, made storable, built, judged, stored, announced."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Unpack

from django.db import OperationalError
from django.db.models import Model
from django.utils.translation import gettext_noop as _

from django_jobs.conf import jobs_settings
from django_jobs.engine import observers, timing, transitions
from django_jobs.engine.access import get_policy, owner_of
from django_jobs.engine.claimed_job import current_job
from django_jobs.engine.dispatch import dispatcher, new_jobs, tickets
from django_jobs.engine.job_types import parameters
from django_jobs.engine.json_storage import clean_text
from django_jobs.engine.organizations import id_of
from django_jobs.engine.store import database
from django_jobs.engine.store.database import fresh_reads, store
from django_jobs.engine.store.values import LostRace
from django_jobs.engine.submission import same_work, targets
from django_jobs.engine.submission.targets import (
    Authorizer,
    BatchTakesNoJobs,
    Builder,
    PreparedJob,
    Targets,
    TargetsChanged,
)
from django_jobs.engine.submission.values import (
    FIELDS,
    Errors,
    Fields,
    SubmissionFields,
    cause_of,
    check_fields,
    refuse_unknown,
    shown,
)
from django_jobs.exceptions import (
    DuplicateJob,
    InvalidSubmission,
    JobsError,
    JobTypeDisabled,
    OrganizationInactive,
    OrganizationNotFound,
    RetryableRefusal,
)
from django_jobs.models import Batch, Job, JobType, get_organization_model
from django_jobs.texts import say

if TYPE_CHECKING:
    from django_jobs.engine.claimed_job import Claimed

# One job, for an organization that the caller names.


MAX_TRIES: Final = 10


def submit_job(  # noqa: PLR0913  (all that one submission may say)
    job_type: str | JobType,
    organization: Any,
    parameters: Mapping[str, Any] | None = None,
    priority: str | int | None = None,
    depends_on: str | Job | Iterable[str | Job] | None = None,
    *,
    user: Any = None,
    run_at: dt.datetime | None = None,
    metadata: Mapping[str, Any] | None = None,
    on_duplicate: str = "raise",
    unique_key: str | None = None,
    deduplication_window: int | None = None,
    timeout: int | None = None,
    max_retries: int | None = None,
    expires_at: dt.datetime | None = None,
    run_after: str = "completed",
    batch: str | Batch | None = None,
) -> Job:
    """Submit one job and return it.

    ``organization`` is an id or an instance, or None for work of no tenant, which is that of the organization that the
    setting SYSTEM_ORGANIZATION names; ``priority`` a label or number, by default the type's; ``depends_on`` a job or
    job id, or a list of them, that must complete first, or only end with ``run_after="ended"``; ``user`` the owner,
    whose rights are checked (None: trusted server code); ``run_at`` the moment before which it does not run;
    ``expires_at`` the moment after which it does not start; ``metadata`` a JSON object of up to 4 kB for correlation
    ids and the like. ``timeout`` (seconds, 1 to 30 days) and ``max_retries`` (0 to 100) take the place of the type's.
    ``batch`` is the batch, or its id, that the job counts for.

    ``unique_key``, a text of up to 200 characters, takes the place of the parameters where the same work is looked
    for; ``deduplication_window`` (seconds, 0 to 30 days) that of the type's window. ``on_duplicate`` says what happens
    to the same work within the window: ``"raise"`` DuplicateJob; ``"return"`` the earlier job; or ``"replace"`` it.
    Then the earlier job gets these parameters, priority and run_at. Where it has started, or a worker has claimed it
    already, there is a new job instead. Later submissions replace that one.

    Inside a handler, a later attempt that submits the same work again gets the job that the earlier attempt submitted.

    Inside a transaction the job is as lasting as the transaction, and reaches the broker only if that commits; a
    refusal leaves the transaction usable. Raises InvalidSubmission, whose ``errors`` name each field,
    PermissionDenied, DuplicateJob, QueueFull and RateLimited.
    """
    given = {
        "parameters": parameters,
        "priority": priority,
        "depends_on": depends_on,
        "run_at": run_at,
        "metadata": metadata,
        "on_duplicate": on_duplicate,
        "unique_key": unique_key,
        "deduplication_window": deduplication_window,
        "timeout": timeout,
        "max_retries": max_retries,
        "expires_at": expires_at,
        "run_after": run_after,
        "batch": batch,
    }
    return submit_or_find(job_type, organization, given, user)[0]


def submit_or_find(
    job_type: object, organization: Any, given: Mapping[str, Any], user: Any, *, is_code: bool = False
) -> tuple[Job, bool]:
    """Submit one job with these values for an owner, whose rights are checked.

    ``is_code`` tells that handler code submits in the owner's name.

    Return the job and whether it is new: not where an earlier job does the same work.
    """
    requests: list[PreparedJob] = []
    with (
        observers.submission(job_type) as submission,
        _refusals(requests, user, partial(_call, "submit_job", job_type)),
    ):
        errors = Errors()
        fields, authorizer = check_fields(given, errors), Authorizer(user, is_code=is_code)
        for trial in range(MAX_TRIES):
            try:
                own = Errors(errors)
                request = _build(targets.read_targets(job_type, organization, own, authorizer), fields, user, own)
                requests[:] = [request]
                if request.existing is not None:
                    _find_existing(requests)
                _store(requests, partial(_find_room, is_fresh=trial > 0 or request.versions is None), insert_job)
                submission.jobs = [request.existing or request.job]
                return submission.jobs[0], request.existing is None
            except TargetsChanged:
                targets.forget_targets()
                if trial:  # many processes submit the same work at once: let one of them get through
                    time.sleep(random.uniform(0, timing.SUBMISSION_RETRY_SECONDS * trial))  # noqa: S311
            except DuplicateJob:
                raise
            except JobsError:
                if trial or not targets.forget_targets():
                    raise  # the rows that it was judged by were just read
        raise TargetsChanged


def judge(job_type: object, organization: Any, given: Mapping[str, Any], user: Any) -> None:
    """Raise what a submission of these values would raise, and store nothing. Limits and equal work do not count."""
    errors = Errors()
    fields, authorizer = check_fields(given, errors), Authorizer(user)
    _build(targets.read_targets_now(job_type, organization, errors, authorizer), fields, user, errors)


def _build(found: Targets | None, fields: Fields, user: Any, errors: Errors) -> PreparedJob:
    """Return a request that may be stored."""
    if found is None:
        raise errors.refusal()
    request = Builder(user).build(fields, found)
    _judge([request], {0: errors}, user)
    if errors:
        raise errors.refusal()
    return request


def _call(name: str, job_type: object, _refusal: JobsError) -> str:
    return f"{name}({shown(job_type)!r})"


@contextlib.contextmanager
def _refusals(requests: list[PreparedJob], user: Any, call: Callable[[JobsError], str]) -> Iterator[None]:
    """Let a refusal say which call it refused, which the error text of a handler's job quotes, and no unseen job's id.

    What its requests got back is given back to those that submit the same work next.
    """
    try:
        try:
            yield
        except TargetsChanged as error:
            text = say("Others change or submit the same at this moment; try again.", code="busy")
            raise InvalidSubmission({"non_field_errors": [text]}) from error
        except DuplicateJob as duplicate:
            if not same_work.is_duplicate_visible(duplicate.existing, user):
                raise DuplicateJob(duplicate.existing, duplicate.index, is_visible=False) from None
            raise
    except JobsError as refusal:
        same_work.take_back(requests)
        refusal.refused_call = call(refusal)
        raise


# Submitting from a handler, through its context: for its job's organization, in the name of its job's owner.


def submit_from_handler(claimed: Claimed, job_type: object, parameters: Any, keywords: Mapping[str, Any]) -> Job:
    """Submit a job for the organization of the running one, and return it.

    ``user`` among the keywords takes the place of the owner, and is checked like any user. The organization is found by
    its key, so that it may have another id by now.
    """
    given = {name: value for name, value in keywords.items() if name != "user"}
    refuse_unknown("context.submit_job", given)
    token = current_job.set(claimed)  # threads that the handler started do not know the job
    try:
        with fresh_reads():  # a refusal would end the running job
            owner = keywords["user"] if "user" in keywords else owner_of(claimed.row, claimed.job_id)
            organization = get_organization_model()(pk=claimed.organization_pk)
            values = {**given, "parameters": parameters}
            return submit_or_find(job_type, organization, values, owner, is_code="user" not in keywords)[0]
    finally:
        current_job.reset(token)


# Many jobs: each is judged as a single one, and they are written all or none.


_KNOWN: Final = frozenset(FIELDS)


def submit_jobs(submissions: Iterable[Mapping[str, Any]], *, user: Any = None) -> list[Job]:
    """Submit many jobs, all or nothing, in a few statements; they come back in the given order.

    Each item takes :func:`submit_job`'s arguments by name, without ``user``; ``on_duplicate`` may be ``"raise"`` or
    ``"return"``. InvalidSubmission has every item's errors in ``by_index``; DuplicateJob, RateLimited and QueueFull
    tell the ``index`` of the first culprit.
    """
    items = as_list(submissions)
    if not items:
        return []
    # There are errors of those alone that have any: each object that lives as long as the call costs Python's garbage
    # collector time, and most submissions are good.
    errors: dict[int, Errors] = {}
    requests: list[PreparedJob] = []

    def call(refusal: JobsError) -> str:
        index = getattr(refusal, "index", None)
        first = items[min(errors, default=0) if index is None else index]
        named = first.get("job_type") if isinstance(first, Mapping) else None
        return f"submit_jobs([{shown(named)!r}, …])"

    with observers.submission("", len(items)) as submission, _refusals(requests, user, call):
        _build_all(items, requests, errors, user)
        twins = _find_twins(requests, errors)
        try:
            _store_all([request for request in requests if request.existing is None and request.place not in twins])
        except BatchTakesNoJobs as refusal:
            for request in requests:
                if request.fields.batch is not None and (text := refusal.by_batch.get(request.fields.batch.pk)):
                    errors[request.place] = Errors({"batch": [text]})
            raise_errors(errors)
        takers = [requests[twins.get(place, place)] for place in range(len(items))]
        submission.jobs = [request.existing or request.job for request in takers]
        return submission.jobs


def as_list(
    given: object,
    field: str = "non_field_errors",
    problem: str = say("Give a list of submissions, each an object (a dict).", code="not_a_list"),
) -> list[Any]:
    """Return what is given as a list. Raises InvalidSubmission for the field where it is something else."""
    if isinstance(given, str | bytes | Mapping | Model) or not isinstance(given, Iterable):
        raise InvalidSubmission({field: [problem]})
    return list(given)


def _build_all(items: Sequence[Any], requests: list[PreparedJob], errors: dict[int, Errors], user: Any) -> None:
    """Make the requests."""
    fields = _check_items(items, errors)
    objects = [items[place] for place in fields]
    read = targets.read_all_targets(
        [(item.get("job_type"), item.get("organization")) for item in objects], Authorizer(user)
    )
    builder = Builder(user)
    for place, found in zip(fields, read, strict=True):
        if isinstance(found, Errors):
            errors.setdefault(place, Errors()).add(found)
        else:
            requests.append(builder.build(fields[place], found, place))
    _judge(requests, errors, user)
    raise_errors(errors)


def _check_items(items: Sequence[Any], errors: dict[int, Errors]) -> dict[int, Fields]:
    """Return the values of all that are objects."""
    fields: dict[int, Fields] = {}
    max_bytes = int(jobs_settings.MAX_PARAMETERS_BYTES)
    for place, item in enumerate(items):
        own = Errors()
        if isinstance(item, Mapping):
            fields[place] = _check_item(item, own, max_bytes)
        else:
            text = say("Give an object (a dict) with the submission's fields.", code="not_an_object")
            own["non_field_errors"] = [text]
        if own:
            errors[place] = own
    return fields


def _check_item(item: Mapping[Any, Any], errors: Errors, max_bytes: int) -> Fields:
    if not item.keys() <= _KNOWN:
        text = say(f"There is no such field; known are {', '.join(FIELDS)}.", code="unknown_field")
        errors.update({clean_text(name, 100): [text] for name in item if name not in _KNOWN})
    fields = check_fields(item, errors, max_bytes)
    if fields.on_duplicate == "replace":
        errors["on_duplicate"] = [say("Use 'raise' or 'return'; only submit_job replaces.", code="invalid_choice")]
    return fields


def _find_twins(requests: Sequence[PreparedJob], errors: dict[int, Errors]) -> dict[int, int]:
    """Return the places of the same work that stands earlier in the list, where one job will do for both.

    Refuse a list that holds the same work twice where it does not.
    """
    first: dict[str, int] = {}
    twins: dict[int, int] = {}
    for request in requests:
        if not request.window or request.existing is not None:
            continue
        earlier = first.setdefault(request.job.job_hash, request.place)
        if earlier == request.place:
            continue
        if request.fields.on_duplicate == "return":
            twins[request.place] = earlier
        else:
            text = say("The same work stands at position %(index)d of this list.", code="duplicate_job", index=earlier)
            errors[request.place] = Errors({"non_field_errors": [text]})
    raise_errors(errors)
    return twins


def raise_errors(errors: Mapping[int, Errors]) -> None:
    """Raise what is wrong with many submissions, by their places; nothing where none is wrong."""
    if errors:
        bad = dict(sorted(errors.items()))
        flat = {f"{index}.{name}": texts for index, own in bad.items() for name, texts in own.items()}
        causes = {own.cause for own in bad.values()}
        # The special class only where it says what is wrong with each of them.
        cause = cause_of(causes) if len(causes) == 1 else InvalidSubmission
        raise cause(flat, {index: dict(own) for index, own in bad.items()})


# One job for each of many organizations, in a few statements; those that cannot have it are skipped.


INACTIVE: Final = "organization_inactive"
DUPLICATE: Final = "duplicate_job"
#: So many of the unknown ids are named in the error.
MAX_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class ForEach:
    """What became of one job for each of many organizations.

    ``submitted`` are the jobs, in the order of the organizations. ``skipped`` has the id of each organization that got
    none and the reason: ``organization_inactive``, ``duplicate_job``, ``rate_limited`` or ``queue_full``.
    """

    submitted: list[Job]
    skipped: dict[str, str]


def submit_for_each(
    job_type: str | JobType,
    organizations: Iterable[Any],
    parameters: Mapping[str, Any] | None = None,
    *,
    user: Any = None,
    **keywords: Unpack[SubmissionFields],
) -> ForEach:
    """Submit one job for each organization, in a few statements; skip those that cannot have it.

    ``organizations`` are ids or instances, or a queryset; one that is named twice gets one job. ``user`` and the
    keywords are those of :func:`~django_jobs.submit_job`. Skipped is an organization that is not active, that has
    the same work already, or whose limit is reached; with ``on_duplicate="return"`` or ``"replace"`` the same work is
    among those submitted instead. The new jobs are written all or none.

    What is wrong for all of them raises before anything is submitted: InvalidSubmission, with its subclasses
    OrganizationNotFound for ids that are not known, JobTypeNotFound and JobTypeDisabled; and PermissionDenied where
    the user has no part in one of the organizations.
    """
    refuse_unknown("submit_for_each", keywords)
    problem = say("Give a list of organizations: ids, instances, or a queryset.", code="not_a_list")
    wanted = as_list(organizations, "organizations", problem)
    return submit_each(job_type, wanted, {**keywords, "parameters": parameters}, user)


def submit_each(
    job_type: str | JobType,
    wanted: Sequence[Any],
    given: Mapping[str, Any],
    user: Any,
    run_at: Callable[[Any], dt.datetime] | None = None,
) -> ForEach:
    """Do what :func:`submit_for_each` does with these values; ``run_at`` tells each organization's moment."""
    requests: list[PreparedJob] = []
    call = partial(_call, "submit_for_each", job_type)
    with observers.submission(job_type, len(wanted)) as submission, _refusals(requests, user, call):
        errors = Errors()
        fields = check_fields(given, errors)
        found = _read(job_type, wanted, errors, Authorizer(user)) if wanted else []
        if errors:
            raise errors.refusal()
        builder = Builder(user)
        for place, item in enumerate(found):
            moment = {} if run_at is None else {"run_at": run_at(item.organization)}
            own = replace(fields, columns={**fields.columns, **moment}) if moment else fields
            requests.append(builder.build(own, item, place))
        skipped: dict[int, str] = {}
        _judge_each(requests, skipped, user)
        wanted_requests = [request for request in requests if request.place not in skipped]
        _find_existing(wanted_requests)
        insert = partial(insert_jobs, refuses=False)
        _store(wanted_requests, partial(_skip_full, skipped=skipped), insert, skipped)
        submission.jobs = [request.existing or request.job for request in requests if request.place not in skipped]
        names = {place: id_of(requests[place].targets.organization) for place in sorted(skipped)}
        return ForEach(submission.jobs, {name: skipped[place] for place, name in names.items()})


def _read(job_type: object, wanted: Sequence[Any], errors: Errors, authorizer: Authorizer) -> list[Targets]:
    """Return each organization once, with the type; what is wrong for all of them goes into ``errors``."""
    read = targets.read_all_targets([(job_type, item) for item in wanted], authorizer)
    problems = {index: found for index, found in enumerate(read) if isinstance(found, Errors)}
    unknown = [shown(wanted[index]) for index, own in problems.items() if "organization" in own]
    hidden = next((own for own in problems.values() if "job_type" in own), None)
    if hidden is not None:
        errors.note("job_type", hidden["job_type"][0], hidden.cause)
    if unknown:
        more = f" and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
        names = ", ".join(map(repr, unknown[:MAX_NAMED]))
        text = say(f"There is no organization %(names)s{more}.", code="unknown_organization", names=names)
        errors.note("organizations", text, OrganizationNotFound)
    return list({item.organization.pk: item for item in read if isinstance(item, Targets)}.values())


def _judge_each(requests: Sequence[PreparedJob], skipped: dict[int, str], user: Any) -> None:
    """Refuse what is wrong for all of them: they differ only in their organizations."""
    errors: dict[int, Errors] = {}
    _judge(requests, errors, user, skipped)
    all_errors = Errors()
    for own in errors.values():
        all_errors.add(own)
    if all_errors:
        raise all_errors.refusal()


# What is wrong with a submission for its job type and its organization, field by field.


def _judge(
    requests: Sequence[PreparedJob], errors: dict[int, Errors], user: Any, skipped: dict[int, str] | None = None
) -> None:
    """Note by their places what is wrong with requests. What they name is read together.

    What an earlier attempt submitted is not judged again, unless it is to be replaced. Where there is a place for the
    ``skipped``, an inactive organization is no error.
    """
    same_work.give_back([request for request in requests if not errors.get(request.place)])
    asked = [item for item in requests if item.existing is None or item.fields.on_duplicate == "replace"]
    batches, parents = targets.read_named_batches(asked, user), targets.read_parents(asked, user)
    active: dict[Any, bool] = {}
    validated, problems = ("", 0), dict[str, list[str]]()
    for request in database.heard(asked):
        kind, organization = request.targets.kind, request.targets.organization
        given = request.fields.columns["input_parameters"]
        own = errors.get(request.place, Errors())
        if not kind.is_enabled:
            text = say(_("The job type %(type)s is disabled."), code="job_type_disabled", type=repr(kind.type_name))
            own.note("job_type", text, JobTypeDisabled)
        if organization.pk not in active:
            active[organization.pk] = bool(get_policy().is_active(organization))
        if not active[organization.pk] and skipped is not None:
            skipped[request.place] = INACTIVE
        elif not active[organization.pk]:
            text = say(_("This organization is not active."), code="organization_inactive")
            own.note("organization", text, OrganizationInactive)
        if request.fields.unique_key is not None and not request.window:  # nothing is unique in no time at all
            text = say("It needs a deduplication_window of more than 0 seconds to be unique in.", code="needs_window")
            own["unique_key"] = [text]
        targets.check_references(request, parents, batches, own)
        if "parameters" not in own:
            if (kind.type_name, id(given)) != validated:  # it is one object, where all get the same
                validated, problems = (kind.type_name, id(given)), parameters.validate(kind.type_name, given)
            own.update(problems)
        if own:
            errors[request.place] = own


# Storing: what is there already is given back or replaced, what has room is inserted.


#: How often somebody else may be faster whose job is to be replaced, before all is judged anew.
MAX_RIVALS: Final = 10


def _store_all(requests: Sequence[PreparedJob]) -> None:
    """Store these jobs, all or none."""
    optional = [request for request in requests if request.fields.on_duplicate != "raise"]
    _find_existing(optional)
    for request in optional:
        if request.existing is not None and _refuses(request, request.existing):
            request.existing = None  # it is refused like any duplicate
    _store(requests, same_work.check_limits, insert_jobs)


def _store(
    requests: Sequence[PreparedJob],
    find_room: Callable[[Sequence[PreparedJob]], Sequence[PreparedJob]],
    insert: Callable[[Sequence[PreparedJob]], None],
    skipped: dict[int, str] | None = None,
) -> None:
    """Store what ``find_room`` has room for. The requests get their jobs, or as ``existing`` what is there already."""
    for _trial in range(MAX_RIVALS):
        wanted = _split_duplicates(requests, skipped)
        fitting = find_room(wanted) if wanted else ()
        if fitting:
            insert(fitting)
        written = [request for request in fitting if request.existing is None]
        if written:
            follow_commit(written)
        # Where somebody else was faster, their job is the one to give back or to replace.
        requests = [request for request in wanted if request.existing is not None]
        if not requests:
            return
    raise TargetsChanged


def _refuses(request: PreparedJob, existing: Job) -> bool:
    """Return whether the same work is an error.

    It is none where the caller says so, nor where an earlier attempt of the running job submitted it. Nobody is given a
    job that the user may not see, and nobody replaces one of a batch to which they may add none.
    """
    on_duplicate, builder = request.fields.on_duplicate, request.builder
    if not same_work.is_own(existing) and (on_duplicate == "raise" or not _is_shown(existing, builder)):
        return True
    organization = request.targets.organization
    return on_duplicate == "replace" and not targets.may_replace(existing, builder.user, organization)


def _is_shown(existing: Job, builder: Builder) -> bool:
    """Return whether the user may know of the job. Each visible job is asked for once."""
    if existing.pk not in builder.shown and not same_work.is_duplicate_visible(existing, builder.user):
        return False
    builder.shown.add(existing.pk)
    return True


def _find_existing(requests: Sequence[PreparedJob]) -> None:
    """Find the work that is there already, which needs no room.

    Others may have submitted since what an earlier attempt of the running job did, and that is then to be replaced.
    """
    unknown = [
        request
        for request in requests
        if request.window and (request.existing is None or request.fields.on_duplicate == "replace")
    ]
    there = same_work.find_duplicates({request.job.job_hash for request in unknown}) if unknown else {}
    for request in unknown:
        request.existing = there.get(request.job.job_hash, request.existing)


def _split_duplicates(requests: Sequence[PreparedJob], skipped: dict[int, str] | None) -> list[PreparedJob]:
    """Decide about those whose work is there already; return those of which there is to be a new job."""
    given: dict[int, PreparedJob] = {}
    for request in requests:
        if request.existing is None:
            continue
        if not _refuses(request, request.existing):
            given[request.existing.pk] = request
        elif skipped is None:
            raise DuplicateJob(request.existing, request.place)
        else:
            skipped[request.place] = DUPLICATE
    first = next(iter(given.values()), None)
    if first is not None and first.fields.on_duplicate == "replace":
        jobs = same_work.replace_jobs(given, first)
        for pk, request in given.items():
            if pk not in jobs:
                request.supersedes = request.existing
            request.existing = jobs.get(pk)
    return [request for request in requests if request.existing is None]


def _find_room(requests: Sequence[PreparedJob], *, is_fresh: bool) -> Sequence[PreparedJob]:
    """Raise QueueFull or RateLimited, unless the same work is there already, which needs no room.

    ``is_fresh`` tells whether type and organization were just read: only then is the window certainly the type's.
    """
    [request] = requests
    try:
        return same_work.check_limits(requests)
    except RetryableRefusal:
        if is_fresh:
            _find_existing(requests)
        if request.existing is None or request.existing == request.supersedes:
            raise
        return ()


def _skip_full(requests: Sequence[PreparedJob], skipped: dict[int, str]) -> Sequence[PreparedJob]:
    full = same_work.full_limits([request.targets for request in requests])
    skipped |= {item.place: full[pk] for item in requests if (pk := item.targets.organization.pk) in full}
    return [request for request in requests if request.place not in skipped]


# Having new jobs stored, with all that belongs to them, but for those whose work is there already.


MAX_INSERTIONS = 5


def insert_job(requests: Sequence[PreparedJob]) -> None:
    """Write one job, and fill in what the database gave: id, times.

    Where the same work is there, the request gets it as ``existing`` or is refused with DuplicateJob. Raises
    TargetsChanged when type or organization are no longer what the request was made for.
    """
    [request] = requests
    if not _insert(request):
        request.existing = _existing(request)
    elif request.parents:
        database.once_on_commit(transitions.follow_up)


def _insert(request: PreparedJob) -> bool:
    if request.job.batch_id is not None or request.supersedes is not None:
        return database.in_transaction(lambda: _insert_in_steps(request))
    try:
        request.at_once = new_jobs.condition_at_insert(request)
        if request.at_once is not None:
            is_new = new_jobs.REST.after(lambda: store().insert(request))
            if is_new:  # the same work says nothing of how idle the system is
                new_jobs.TRIES.note(succeeded=request.queued is not None)
            return is_new
    except OperationalError as error:
        if not (database.was_too_slow(error) or database.is_lost_race(error)):
            raise
        # It looked at what others wait for or write. That is no reason to refuse a job that can be stored without.
    request.at_once = None
    return store().insert(request)


def _insert_in_steps(request: PreparedJob) -> bool:
    """Lock the batch behind the key of the work, as for many jobs: the same work needs no batch, and none deadlock."""
    _release_superseded([request])
    is_new = store().insert(request)
    if is_new:
        targets.lock_batches(_batches_of([request]))
        targets.count_members(_batches_of([request]))
    return is_new


def _existing(request: PreparedJob) -> Job:
    """Return the job of the same work that came first, if it was that.

    Else type or organization have changed, and with them perhaps window or tenant: raises TargetsChanged.
    """
    if request.window and store().holds(request.versions):
        for existing in same_work.find_duplicates([request.job.job_hash]).values():
            if _refuses(request, existing):
                raise DuplicateJob(existing)
            return existing
        same_work.release_missing_keys([request.job.job_hash])
    raise TargetsChanged


def insert_jobs(requests: Sequence[PreparedJob], *, refuses: bool = True) -> None:
    """Write many jobs, all or nothing. Those whose work is there get it as ``existing``.

    Where that ``refuses`` the whole list, raise DuplicateJob with the place of the first that is refused. Raises
    TargetsChanged where others submit the same work again and again.
    """
    for _trial in range(MAX_INSERTIONS):
        with contextlib.suppress(LostRace):
            database.in_transaction(lambda: _insert_all(requests, refuses=refuses))
            return
        same_work.release_missing_keys(request.job.job_hash for request in requests if request.window)
    raise TargetsChanged


def _insert_all(requests: Sequence[PreparedJob], *, refuses: bool) -> None:
    store().lock_keys([request.job.job_hash for request in requests if request.window])
    _release_superseded(requests)
    for request in requests:
        request.existing = None
    _find_existing(requests)
    for request in requests:
        if refuses and request.existing is not None and _refuses(request, request.existing):
            raise DuplicateJob(request.existing, request.place)
    fresh = [request for request in requests if request.existing is None]
    targets.lock_batches(_batches_of(fresh))
    store().insert_many(fresh)
    targets.count_members(_batches_of(fresh))
    if any(request.parents for request in fresh):
        database.once_on_commit(transitions.follow_up)


def _release_superseded(requests: Sequence[PreparedJob]) -> None:
    """Let the new jobs take the places of those that keep the same work out, unless others were faster."""
    superseded = [request.supersedes for request in requests if request.supersedes is not None]
    if superseded:
        store().lock_keys([job.job_hash for job in superseded])
        same_work.release_keys(superseded)


def _batches_of(requests: Iterable[PreparedJob]) -> list[int]:
    """Return the key of each request's batch, as often as there are jobs for it."""
    return [request.fields.batch.pk for request in requests if request.fields.batch is not None]


# What follows the commit of new jobs.


def follow_commit(written: Sequence[PreparedJob]) -> None:
    """Once the new jobs are committed, wake the dispatcher and tell the world of them."""
    jobs = [request.job for request in written]
    queued = [request.queued for request in written if request.queued is not None]
    not_taken: list[str] = []
    _remember_uncommitted(jobs)
    if queued:
        # Committed already; but whatever goes wrong now must not reach the caller.
        database.on_commit(lambda: not_taken.append(tickets.push_new(queued)))
    elif len(jobs) > 1:
        database.once_on_commit(dispatcher.wake)
    elif jobs[0].ready_at and not jobs[0].is_delayed:  # else it waits for parents or its moment, and needs no dispatch
        database.once_on_commit(dispatcher.wake, alone=lambda: dispatcher.dispatch_new(jobs[0]))
    transitions.hooks.announcer.submitted(*jobs, log_ids=[request.log_id for request in written])
    transitions.hooks.announcer.changed(queued)
    if any(not_taken):  # behind the others, so that each change is announced after the one before it
        database.on_commit(lambda: tickets.unqueue_unpushed(queued, not_taken[0]))


def _remember_uncommitted(jobs: Sequence[Job]) -> None:
    """Remember them until the commit, so that waiting for a job that no worker can see yet is refused at once."""
    if database.connection().in_atomic_block:
        waiting = _uncommitted()
        pks = {job.pk for job in jobs}
        waiting |= pks
        database.on_commit(lambda: waiting.difference_update(pks))


def _uncommitted() -> set[int]:
    """Return the keys of the jobs that were submitted in the outermost transaction that is open."""
    return database.notes("uncommitted", set)


def is_uncommitted(pk: int) -> bool:
    """Return whether this connection's open transaction submitted the job."""
    return bool(database.connection().in_atomic_block and pk in _uncommitted())
