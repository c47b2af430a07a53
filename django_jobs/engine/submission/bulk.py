"""Submitting many jobs: each takes the way of a single one, and they are written all or none."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django_jobs.engine import observers
from django_jobs.engine.json_storage import clean_text
from django_jobs.engine.submission import building, checks, duplicates, limits, targets, writing
from django_jobs.engine.submission.building import Request
from django_jobs.engine.submission.errors import Errors, cause_of, shown
from django_jobs.engine.submission.fields import FIELDS, Fields, check_fields, max_parameters_bytes
from django_jobs.engine.submission.membership import BatchTakesNoJobs
from django_jobs.engine.submission.rights import Authorizer
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, JobsError, RetryableRefusal
from django_jobs.models import Job
from django_jobs.texts import say

_KNOWN: Final = frozenset(FIELDS)


@dataclass(slots=True)
class _Batch:
    """The submissions of one call; what became of each is known by its place in the list.

    There are errors of those alone that have any: each object that lives as long as the call costs Python's garbage
    collector time, and most submissions are good.
    """

    items: list[Any]
    errors: dict[int, Errors] = field(default_factory=dict)
    requests: dict[int, Request] = field(default_factory=dict)
    #: The place of the same work that stands earlier in the list, where one job will do for both.
    twins: dict[int, int] = field(default_factory=dict)

    def new(self) -> dict[int, Request]:
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
    batch = _Batch(as_list(submissions))
    if not batch.items:
        return []
    with _naming(batch), observers.submission("", len(batch.items)) as submission:
        _build(batch, user)
        written = _write(batch, user)
        jobs = submission.jobs = [batch.job(place) for place in range(len(batch.items))]
    if written:
        writing.follow_commit(written)
    return jobs


def as_list(submissions: object) -> list[Any]:
    if isinstance(submissions, str | bytes | Mapping) or not isinstance(submissions, Iterable):
        text = say("Give a list of submissions, each an object (a dict).", code="not_a_list")
        raise InvalidSubmission({"non_field_errors": [text]})
    return list(submissions)


@contextlib.contextmanager
def _naming(batch: _Batch) -> Iterator[None]:
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


def _build(batch: _Batch, user: Any) -> None:
    """Make the requests. What an earlier attempt submitted is not judged again."""
    fields = _check_fields(batch)
    objects = [batch.items[place] for place in fields]
    read = targets.read_all([(item.get("job_type"), item.get("organization")) for item in objects], Authorizer(user))
    builder = building.Builder(user)
    for place, found in zip(fields, read, strict=True):
        if isinstance(found, Errors):
            batch.errors.setdefault(place, Errors()).add(found)
        else:
            batch.requests[place] = builder.build(fields[place], found)
    building.give_back([request for place, request in batch.requests.items() if place not in batch.errors])
    checks.check_all(batch.new(), batch.errors, user)
    _raise_errors(batch)
    _find_twins(batch)


def _check_fields(batch: _Batch) -> dict[int, Fields]:
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


def _find_twins(batch: _Batch) -> None:
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


def _raise_errors(batch: _Batch) -> None:
    if batch.errors:
        bad = dict(sorted(batch.errors.items()))
        flat = {f"{index}.{name}": texts for index, errors in bad.items() for name, texts in errors.items()}
        causes = {errors.cause for errors in bad.values()}
        # The special class only where it says what is wrong with each of them.
        cause = cause_of(causes) if len(causes) == 1 else InvalidSubmission
        raise cause(flat, {index: dict(errors) for index, errors in bad.items()})


def _write(batch: _Batch, user: Any) -> list[Request]:
    """Insert the jobs; return the requests of those whose work was not there already."""
    places = batch.new()
    asked = list(places.values())
    with _at(list(places)):
        _find_existing(asked, user)
        with _at([index for index, request in enumerate(asked) if request.existing is None]):
            limits.check([request.targets for request in asked if request.existing is None])
        try:
            return writing.write_all(asked)
        except DuplicateJob as duplicate:
            duplicates.hide_unseen(duplicate, user)
            raise
        except BatchTakesNoJobs as refusal:
            _note_batches(batch, refusal)
            _raise_errors(batch)
            raise


def _note_batches(batch: _Batch, refusal: BatchTakesNoJobs) -> None:
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


def _find_existing(asked: Sequence[Request], user: Any) -> None:
    """Find the work that is there already, which needs no room; the insertion asks again whether it still is there.

    A job that the user may not see is not given back: its work is refused like any duplicate.
    """
    seen: set[int] = set()
    optional = [request for request in asked if request.on_duplicate != "raise" and request.window > 0]
    found = duplicates.find({request.job.job_hash for request in optional}) if optional else {}
    for request in optional:
        request.is_shown = functools.partial(_is_shown, user=user, seen=seen)
        request.existing = found.get(request.job.job_hash)
        if request.existing is not None and not request.is_shown(request.existing):
            request.existing, request.on_duplicate = None, "raise"


def _is_shown(existing: Job, *, user: Any, seen: set[int]) -> bool:
    """Return whether the user may know of the job. Each visible job is asked for once."""
    if existing.pk not in seen and not duplicates.is_visible(existing, user):
        return False
    seen.add(existing.pk)
    return True
