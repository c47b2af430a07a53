"""Submitting many jobs: each takes the way of a single one, and they are written all or none."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django_jobs.engine.json_storage import clean_text
from django_jobs.engine.submission import building, checks, duplicates, limits, targets, writing
from django_jobs.engine.submission.building import Request
from django_jobs.engine.submission.errors import Errors, cause_of, shown
from django_jobs.engine.submission.fields import FIELDS, Fields, check_fields, max_parameters_bytes
from django_jobs.engine.submission.rights import Authorizer
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, JobsError, RetryableRefusal
from django_jobs.models import Job

_KNOWN: Final = frozenset(FIELDS)


@dataclass(slots=True)
class _Draft:
    """One submission on its way to a request, with what is wrong with it so far."""

    given: Mapping[str, Any]
    errors: Errors = field(default_factory=Errors)
    fields: Fields | None = None
    request: Request | None = None
    #: The draft of the same work that stands earlier in the list, where one job will do for both.
    twin: _Draft | None = None

    def job(self) -> Job:
        if self.twin is not None:
            return self.twin.job()
        assert self.request is not None  # noqa: S101  (all drafts were found good)
        return self.request.existing or self.request.job


def submit_jobs(submissions: Iterable[Mapping[str, Any]], *, user: Any = None) -> list[Job]:
    """Submit many jobs, all or nothing, in a few statements; they come back in the given order.

    Each item takes :func:`submit_job`'s arguments by name, without ``user``; ``on_duplicate`` may be ``"raise"`` or
    ``"return"``. InvalidSubmission has every item's errors in ``by_index``; DuplicateJob, RateLimited and QueueFull
    tell the ``index`` of the first culprit.
    """
    max_bytes = max_parameters_bytes()
    drafts = [_draft(item, max_bytes) for item in _as_list(submissions)]
    if not drafts:
        return []
    with _naming(drafts):
        _build(drafts, user)
        written = _write(drafts, user)
    if written:
        writing.follow_commit(written)
    return [draft.job() for draft in drafts]


def _as_list(submissions: object) -> list[Any]:
    if isinstance(submissions, str | bytes | Mapping) or not isinstance(submissions, Iterable):
        raise InvalidSubmission({"non_field_errors": ["Give a list of submissions, each an object (a dict)."]})
    return list(submissions)


def _draft(item: object, max_bytes: int) -> _Draft:
    if not isinstance(item, Mapping):
        text = "Give an object (a dict) with the submission's fields."
        return _Draft({}, Errors({"non_field_errors": [text]}))
    draft = _Draft(item)
    if not item.keys() <= _KNOWN:
        text = f"There is no such field; known are {', '.join(FIELDS)}."
        draft.errors.update({clean_text(name, 100): [text] for name in item if name not in _KNOWN})
    draft.fields = check_fields(item, draft.errors, max_bytes)
    if draft.fields.on_duplicate == "replace":
        draft.errors["on_duplicate"] = ["Use 'raise' or 'return'; only submit_job replaces."]
    return draft


@contextlib.contextmanager
def _naming(drafts: Sequence[_Draft]) -> Iterator[None]:
    """Let a refusal say which submission it refused; the error text of a handler's job quotes that."""
    try:
        yield
    except JobsError as refusal:
        index = getattr(refusal, "index", None)
        first = next((draft for draft in drafts if draft.errors), drafts[0]) if index is None else drafts[index]
        refusal.refused_call = f"submit_jobs([{shown(first.given.get('job_type'))!r}, …])"
        raise


def _build(drafts: Sequence[_Draft], user: Any) -> None:
    """Give each draft its request. What an earlier attempt submitted is not judged again."""
    objects = [draft for draft in drafts if draft.fields is not None]
    wanted = [(draft.given.get("job_type"), draft.given.get("organization")) for draft in objects]
    read = targets.read_all(wanted, [draft.errors for draft in objects], Authorizer(user))
    builder = building.Builder(user)
    for draft, found in zip(objects, read, strict=True):
        if draft.fields is not None and found is not None:
            draft.request = builder.build(draft.fields, found)
    building.give_back([draft.request for draft in objects if draft.request is not None and not draft.errors])
    checks.check_all([(request, draft.errors) for draft in objects if (request := _new(draft)) is not None], user)
    _raise_errors(drafts)
    _find_twins(drafts)


def _new(draft: _Draft) -> Request | None:
    """Return the request of a job that is not there yet, as far as is known."""
    return draft.request if draft.request is not None and draft.request.existing is None else None


def _find_twins(drafts: Sequence[_Draft]) -> None:
    """Refuse a list that holds the same work twice, unless one job is enough for both."""
    first: dict[str, int] = {}
    for index, draft in enumerate(drafts):
        request = _new(draft)
        if request is None or not request.window:
            continue
        earlier = first.setdefault(request.job.job_hash, index)
        if earlier == index:
            continue
        if request.on_duplicate == "return":
            draft.twin, draft.request = drafts[earlier], None
        else:
            draft.errors["non_field_errors"] = [f"The same work stands at position {earlier} of this list."]
    _raise_errors(drafts)


def _raise_errors(drafts: Sequence[_Draft]) -> None:
    bad = {index: draft.errors for index, draft in enumerate(drafts) if draft.errors}
    if bad:
        flat = {f"{index}.{name}": texts for index, errors in bad.items() for name, texts in errors.items()}
        causes = {errors.cause for errors in bad.values()}
        # The special class only where it says what is wrong with each of them.
        cause = cause_of(causes) if len(causes) == 1 else InvalidSubmission
        raise cause(flat, {index: dict(errors) for index, errors in bad.items()})


def _write(drafts: Sequence[_Draft], user: Any) -> list[Request]:
    """Insert the jobs; return the requests of those whose work was not there already."""
    places = {index: request for index, draft in enumerate(drafts) if (request := _new(draft)) is not None}
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
