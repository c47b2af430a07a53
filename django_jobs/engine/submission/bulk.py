"""Submitting many jobs, or one for each of many organizations."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Unpack

from django.db.models import Model

from django_jobs.engine import observers
from django_jobs.engine.json_storage import clean_text
from django_jobs.engine.store import database
from django_jobs.engine.store.organization_ids import id_of
from django_jobs.engine.submission import building, same_work, submit, targets
from django_jobs.engine.submission.building import BatchTakesNoJobs, PreparedJob
from django_jobs.engine.submission.targets import Authorizer, Targets, read_all_targets
from django_jobs.engine.submission.values import (
    FIELDS,
    Errors,
    Fields,
    SubmissionFields,
    cause_of,
    check_fields,
    max_parameters_bytes,
    naming,
    refuse_unknown,
    shown,
)
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, JobsError, OrganizationNotFound, RetryableRefusal
from django_jobs.models import Job, JobType
from django_jobs.texts import say

# Submitting many jobs: each takes the way of a single one, and they are written all or none.


_KNOWN: Final = frozenset(FIELDS)


@dataclass(slots=True)
class _SubmissionList:
    """The submissions of one call; what became of each is known by its place in the list.

    There are errors of those alone that have any: each object that lives as long as the call costs Python's garbage
    collector time, and most submissions are good.
    """

    items: list[Any]
    errors: dict[int, Errors] = field(default_factory=dict)
    requests: dict[int, PreparedJob] = field(default_factory=dict)
    #: The place of the same work that stands earlier in the list, where one job will do for both.
    twins: dict[int, int] = field(default_factory=dict)

    def new(self) -> dict[int, PreparedJob]:
        """Return the requests of jobs that are not there yet, as far as is known."""
        return {place: request for place, request in self.requests.items() if request.existing is None}

    def job(self, place: int) -> Job:
        request = self.requests[self.twins.get(place, place)]
        return request.existing or request.job


def submit_jobs(submissions: Iterable[Mapping[str, Any]], *, user: Any = None) -> list[Job]:
    """Submit many jobs, all or nothing, in a few statements; they come back in the given order.

    Each item takes :func:`submit_job`'s arguments by name, without ``user``; ``on_duplicate`` may be ``"raise"`` or
    ``"return"``. InvalidSubmission has every item's errors in ``by_index``; DuplicateJob, RateLimited and QueueFull
    tell the ``index`` of the first culprit.
    """
    batch = _SubmissionList(as_list(submissions))
    if not batch.items:
        return []
    with _naming(batch), observers.submission("", len(batch.items)) as submission:
        _build(batch, user)
        written = _write(batch, user)
        jobs = submission.jobs = [batch.job(place) for place in range(len(batch.items))]
    if written:
        submit.follow_commit(written)
    return jobs


def as_list(submissions: object) -> list[Any]:
    if isinstance(submissions, str | bytes | Mapping) or not isinstance(submissions, Iterable):
        text = say("Give a list of submissions, each an object (a dict).", code="not_a_list")
        raise InvalidSubmission({"non_field_errors": [text]})
    return list(submissions)


@contextlib.contextmanager
def _naming(batch: _SubmissionList) -> Iterator[None]:
    """Let a refusal say which submission it refused; the error text of a handler's job quotes that."""
    try:
        yield
    except JobsError as refusal:
        building.take_back(batch.requests.values())
        index = getattr(refusal, "index", None)
        first = batch.items[min(batch.errors, default=0) if index is None else index]
        named = first.get("job_type") if isinstance(first, Mapping) else None
        refusal.refused_call = f"submit_jobs([{shown(named)!r}, …])"
        raise


def _build(batch: _SubmissionList, user: Any) -> None:
    """Make the requests. What an earlier attempt submitted is not judged again."""
    fields = _check_fields(batch)
    objects = [batch.items[place] for place in fields]
    read = targets.read_all_targets(
        [(item.get("job_type"), item.get("organization")) for item in objects], Authorizer(user)
    )
    builder = building.Builder(user)
    for place, found in zip(fields, read, strict=True):
        if isinstance(found, Errors):
            batch.errors.setdefault(place, Errors()).add(found)
        else:
            batch.requests[place] = builder.build(fields[place], found)
    building.give_back([request for place, request in batch.requests.items() if place not in batch.errors])
    building.check_submissions(batch.new(), batch.errors, user)
    _raise_errors(batch)
    _find_twins(batch)


def _check_fields(batch: _SubmissionList) -> dict[int, Fields]:
    """Return the values of all that are objects."""
    fields: dict[int, Fields] = {}
    max_bytes = max_parameters_bytes()
    for place, item in enumerate(batch.items):
        errors = Errors()
        if isinstance(item, Mapping):
            fields[place] = _check_item(item, errors, max_bytes)
        else:
            text = say("Give an object (a dict) with the submission's fields.", code="not_an_object")
            errors["non_field_errors"] = [text]
        if errors:
            batch.errors[place] = errors
    return fields


def _check_item(item: Mapping[Any, Any], errors: Errors, max_bytes: int) -> Fields:
    if not item.keys() <= _KNOWN:
        text = say(f"There is no such field; known are {', '.join(FIELDS)}.", code="unknown_field")
        errors.update({clean_text(name, 100): [text] for name in item if name not in _KNOWN})
    fields = check_fields(item, errors, max_bytes)
    if fields.on_duplicate == "replace":
        errors["on_duplicate"] = [say("Use 'raise' or 'return'; only submit_job replaces.", code="invalid_choice")]
    return fields


def _find_twins(batch: _SubmissionList) -> None:
    """Refuse a list that holds the same work twice, unless one job is enough for both."""
    first: dict[str, int] = {}
    for place, request in batch.new().items():
        earlier = first.setdefault(request.job.job_hash, place) if request.window else place
        if earlier == place:
            continue
        if request.on_duplicate == "return":
            batch.twins[place] = earlier
            del batch.requests[place]
        else:
            text = say("The same work stands at position %(index)d of this list.", code="duplicate_job", index=earlier)
            batch.errors[place] = Errors({"non_field_errors": [text]})
    _raise_errors(batch)


def _raise_errors(batch: _SubmissionList) -> None:
    if batch.errors:
        bad = dict(sorted(batch.errors.items()))
        flat = {f"{index}.{name}": texts for index, errors in bad.items() for name, texts in errors.items()}
        causes = {errors.cause for errors in bad.values()}
        # The special class only where it says what is wrong with each of them.
        cause = cause_of(causes) if len(causes) == 1 else InvalidSubmission
        raise cause(flat, {index: dict(errors) for index, errors in bad.items()})


def _write(batch: _SubmissionList, user: Any) -> list[PreparedJob]:
    """Insert the jobs; return the requests of those whose work was not there already."""
    places = batch.new()
    asked = list(places.values())
    with _at(list(places)):
        _find_existing(asked, user)
        with _at([index for index, request in enumerate(asked) if request.existing is None]):
            same_work.check_limits([request.targets for request in asked if request.existing is None])
        try:
            return submit.write_all(asked)
        except DuplicateJob as duplicate:
            same_work.hide_unseen(duplicate, user)
            raise
        except BatchTakesNoJobs as refusal:
            _note_batches(batch, refusal)
            _raise_errors(batch)
            raise


def _note_batches(batch: _SubmissionList, refusal: BatchTakesNoJobs) -> None:
    """Say of each submission whose batch takes no jobs why that is so."""
    for place, request in batch.new().items():
        name = request.fields.batch
        if name is not None and name.pk in refusal.by_batch:
            batch.errors[place] = Errors({"batch": [refusal.by_batch[name.pk]]})


@contextlib.contextmanager
def _at(places: Sequence[int]) -> Iterator[None]:
    """Translate the index of a refusal from the place in a part of the list to the place in the list."""
    try:
        yield
    except (DuplicateJob, RetryableRefusal) as refusal:
        refusal.index = places[refusal.index]
        raise


def _find_existing(asked: Sequence[PreparedJob], user: Any) -> None:
    """Find the work that is there already, which needs no room; the insertion asks again whether it still is there.

    A job that the user may not see is not given back: its work is refused like any duplicate.
    """
    seen: set[int] = set()
    optional = [request for request in asked if request.on_duplicate != "raise" and request.window > 0]
    found = same_work.find_duplicates({request.job.job_hash for request in optional}) if optional else {}
    for request in optional:
        request.is_shown = functools.partial(_is_shown, user=user, seen=seen)
        request.existing = found.get(request.job.job_hash)
        if request.existing is not None and not request.is_shown(request.existing):
            request.existing, request.on_duplicate = None, "raise"


def _is_shown(existing: Job, *, user: Any, seen: set[int]) -> bool:
    """Return whether the user may know of the job. Each visible job is asked for once."""
    if existing.pk not in seen and not same_work.is_duplicate_visible(existing, user):
        return False
    seen.add(existing.pk)
    return True


# Submitting one job for each of many organizations, in a few statements; those that cannot have it are skipped.


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
    return submit_each(job_type, _as_list(organizations), {**keywords, "parameters": parameters}, user)


def submit_each(
    job_type: str | JobType,
    wanted: Sequence[Any],
    given: Mapping[str, Any],
    user: Any,
    run_at: Callable[[Any], dt.datetime] | None = None,
) -> ForEach:
    """Do what :func:`submit_for_each` does with these values; ``run_at`` tells each organization's moment."""
    with naming("submit_for_each", job_type), observers.submission(job_type, len(wanted)) as submission:
        errors = Errors()
        fields = check_fields(given, errors)
        found = _read(job_type, wanted, errors, Authorizer(user)) if wanted else []
        if errors:
            raise errors.refusal()
        builder = building.Builder(user)
        asked = [builder.build(_own_fields(fields, item, run_at), item) for item in found]
        _check(asked, user)
        made = _Round(fields.on_duplicate, user).go(asked)
        submission.jobs = made.submitted
        return made


def _own_fields(fields: Fields, found: Targets, run_at: Callable[[Any], dt.datetime] | None) -> Fields:
    return (
        fields
        if run_at is None
        else dataclasses.replace(fields, columns={**fields.columns, "run_at": run_at(found.organization)})
    )


def _as_list(organizations: object) -> list[Any]:
    if isinstance(organizations, str | bytes | Mapping | Model) or not isinstance(organizations, Iterable):
        text = say("Give a list of organizations: ids, instances, or a queryset.", code="not_a_list")
        raise InvalidSubmission({"organizations": [text]})
    return list(organizations)


def _read(job_type: object, wanted: Sequence[Any], errors: Errors, authorizer: Authorizer) -> list[Targets]:
    """Return each organization once, with the type; what is wrong for all of them goes into ``errors``."""
    read = read_all_targets([(job_type, item) for item in wanted], authorizer)
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


def _check(asked: Sequence[PreparedJob], user: Any) -> None:
    """Refuse what is wrong for all of them: the requests differ only in their organizations."""
    if not asked:
        return
    errors = Errors()
    known = building.read_known(asked[:1], user)
    building.check_submission(asked[0], known, errors, is_active=True)
    for request in asked[1:]:
        building.check_named(request, known, errors)
    if errors:
        raise errors.refusal()


class _Round:
    """One call: the jobs that the organizations got, and the reasons of those that are skipped."""

    def __init__(self, on_duplicate: str, user: Any) -> None:
        self._on_duplicate = on_duplicate
        self._user = user
        self._jobs: dict[Any, Job] = {}
        self._skipped: dict[Any, str] = {}

    def go(self, asked: Sequence[PreparedJob]) -> ForEach:
        active = [request for request in database.heard(asked) if self._is_active(request)]
        building.give_back(active)
        self._find_existing(active)
        fresh = [request for request in active if request.existing is None]
        full = same_work.full_limits([request.targets for request in fresh])
        self._skipped |= full
        self._insert([request for request in fresh if _pk(request) not in full])
        names = {_pk(request): id_of(request.targets.organization) for request in asked}
        jobs = [self._jobs[pk] for pk in names if pk in self._jobs]
        return ForEach(jobs, {names[pk]: self._skipped[pk] for pk in names if pk in self._skipped})

    def _is_active(self, request: PreparedJob) -> bool:
        if building.is_active(request.targets):
            return True
        self._skipped[_pk(request)] = INACTIVE
        return False

    def _find_existing(self, asked: Sequence[PreparedJob]) -> None:
        """Find the work that is there already, which needs no room."""
        replaces = self._on_duplicate == "replace"  # others may have submitted since what an earlier attempt did
        unknown = [request for request in asked if request.window and (replaces or request.existing is None)]
        there = same_work.find_duplicates({request.job.job_hash for request in unknown}) if unknown else {}
        for request in unknown:
            request.existing = there.get(request.job.job_hash, request.existing)
        self._settle(asked)

    def _settle(self, asked: Sequence[PreparedJob]) -> None:
        """Decide about those whose work is there already."""
        given: dict[int, PreparedJob] = {}
        for request in asked:
            if request.existing is not None and self._is_given(request, request.existing):
                given[request.existing.pk] = request
            elif request.existing is not None:
                self._skipped[_pk(request)] = DUPLICATE
        replaces = self._on_duplicate == "replace"
        jobs = same_work.replace_jobs(given, next(iter(given.values()))) if replaces and given else {}
        for pk, request in given.items():
            job = jobs.get(pk) if replaces else request.existing
            if job is not None:
                self._jobs[_pk(request)] = job
            else:
                request.supersedes, request.existing = request.existing, None

    def _is_given(self, request: PreparedJob, existing: Job) -> bool:
        if building.is_own(existing):
            return True
        if self._on_duplicate == "raise" or not same_work.is_duplicate_visible(existing, self._user):
            return False
        organization = request.targets.organization
        return self._on_duplicate == "return" or building.may_replace(existing, self._user, organization)

    def _insert(self, asked: Sequence[PreparedJob]) -> None:
        for request in asked:
            request.on_duplicate = "return"  # equal work that was submitted meanwhile is no error for the others
        written = submit.write_all(asked)
        self._jobs |= {_pk(request): request.job for request in written}
        if written:
            submit.follow_commit(written)
        late = [request for request in asked if request.existing is not None]
        self._settle(late)
        again = [request for request in late if request.existing is None]
        if again:
            self._insert(again)


def _pk(request: PreparedJob) -> Any:
    return request.targets.organization.pk
