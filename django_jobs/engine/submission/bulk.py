"""Many submissions at once: judged each by itself, written all or none."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django_jobs.engine.json_storage import clean_text
from django_jobs.engine.submission import checks, duplicates, insertion, limits, resubmission
from django_jobs.engine.submission.checks import Request
from django_jobs.engine.submission.errors import Errors, cause_of
from django_jobs.engine.submission.options import FIELDS
from django_jobs.engine.submission.rights import Doorkeeper
from django_jobs.engine.submission.targets import Targets, TargetsChanged, read_all, shown
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, JobsError, RetryableRefusal
from django_jobs.models import Job


@dataclass(slots=True)
class _Draft:
    """One submission on its way to a request, with what is wrong with it so far."""

    fields: Mapping[str, Any]
    errors: Errors = field(default_factory=Errors)
    values: checks.Values | None = None
    found: Targets | None = None
    #: What an earlier attempt of the running job submitted; it is given back as it is.
    earlier: Job | None = None
    #: Of a draft whose work stands earlier in the list, and that job will do: that draft.
    twin: _Draft | None = None
    request: Request | None = None

    def job(self) -> Job:
        if self.twin is not None:
            return self.twin.job()
        if self.earlier is not None:
            return self.earlier
        assert self.request is not None  # noqa: S101  (all drafts were found good)
        return self.request.existing or self.request.job


def submit(items: Sequence[Any], user: Any) -> tuple[list[Job], list[Request]]:
    """Judge and write them; return the jobs in the items' order, and the requests that were written.

    Raises what ``submit_job`` raises, with the index of the culprit.
    """
    drafts = [_draft(item) for item in items]
    with _named(drafts):
        _examine(drafts, user)
        places = {index: draft.request for index, draft in enumerate(drafts) if draft.request is not None}
        with _at(list(places)):
            written = _write(list(places.values()), user)
    return [draft.job() for draft in drafts], written


def _write(asked: Sequence[Request], user: Any) -> list[Request]:
    """Insert them; return those whose work was not there already."""
    _find_existing(asked, user)
    with _at([index for index, request in enumerate(asked) if request.existing is None]):
        limits.check([request.targets for request in asked if request.existing is None])
    try:
        insertion.insert_all(asked)
    except TargetsChanged as error:
        raise InvalidSubmission({"non_field_errors": ["Others submit the same at this moment; try again."]}) from error
    except DuplicateJob as duplicate:
        duplicates.hide_unseen(duplicate, user)
        raise
    return [request for request in asked if request.existing is None]


def _find_existing(asked: Sequence[Request], user: Any) -> None:
    """What is there already needs no room; whether it still is there is asked again when the others are written.

    What the user may not see is refused like any duplicate, not given back; nor is what comes in between.
    """
    seen: set[int] = set()
    optional = [request for request in asked if _may_exist(request)]
    found = duplicates.find({request.job.job_hash for request in optional}) if optional else {}
    for request in optional:
        request.is_shown = functools.partial(_is_shown, user=user, seen=seen)
        request.existing = found.get(request.job.job_hash)
        if request.existing is not None and not request.is_shown(request.existing):
            request.existing, request.on_duplicate = None, "raise"


def _is_shown(existing: Job, *, user: Any, seen: set[int]) -> bool:
    """Whether the user may know of the job; asked once for each that is shown."""
    if existing.pk not in seen and not duplicates.is_visible(existing, user):
        return False
    seen.add(existing.pk)
    return True


def _may_exist(request: Request) -> bool:
    return request.on_duplicate != "raise" and request.window > 0


@contextlib.contextmanager
def _at(places: Sequence[int]) -> Iterator[None]:
    """Translate the index of a refusal from the place in a part of the list to the place in the list."""
    try:
        yield
    except (DuplicateJob, RetryableRefusal) as refusal:
        refusal.index = places[refusal.index]
        raise


@contextlib.contextmanager
def _named(drafts: Sequence[_Draft]) -> Iterator[None]:
    """Let a refusal say which submission it refused, for the error text of a handler's job."""
    try:
        yield
    except JobsError as refusal:
        index = getattr(refusal, "index", None)
        first = next((draft for draft in drafts if draft.errors), drafts[0]) if index is None else drafts[index]
        refusal.refused_call = f"submit_jobs([{shown(first.fields.get('job_type'))!r}, …])"
        raise


def _examine(drafts: Sequence[_Draft], user: Any) -> None:
    """Give each draft its request, or what an earlier attempt submitted."""
    objects = [draft for draft in drafts if draft.values is not None]
    targets = [(draft.fields.get("job_type"), draft.fields.get("organization")) for draft in objects]
    read = read_all(targets, [draft.errors for draft in objects], Doorkeeper(user))
    for draft, found in zip(objects, read, strict=True):
        draft.found = found
    _give_back(drafts)
    _check_against_targets(drafts, user)
    _raise_errors(drafts)
    for draft in drafts:
        if draft.found and draft.values and draft.earlier is None:
            draft.request = checks.build(draft.found, draft.values, user)
    _find_twins(drafts)


def _draft(item: object) -> _Draft:
    if not isinstance(item, Mapping):
        text = "Give an object (a dict) with the submission's fields."
        return _Draft({}, Errors({"non_field_errors": [text]}))
    draft = _Draft(item)
    for name in item:
        if name not in FIELDS:
            shown_name = clean_text(name, 100)
            draft.errors[shown_name] = [f"There is no such field; known are {', '.join(FIELDS)}."]
    draft.values = checks.check_values(item, draft.errors)
    if draft.values.options.on_duplicate == "replace":
        draft.errors["on_duplicate"] = ["Use 'raise' or 'return'; only submit_job replaces."]
    return draft


def _give_back(drafts: Sequence[_Draft]) -> None:
    if not resubmission.is_later_attempt():
        return
    good = [draft for draft in drafts if draft.found and draft.values and not draft.errors]
    work = [(d.values.hash_of(d.found), d.values.window_of(d.found)) for d in good if d.values and d.found]
    for draft, earlier in zip(good, resubmission.given_back(work), strict=True):
        draft.earlier = earlier


def _key(found: Targets) -> tuple[Any, Any]:
    return found.kind.pk, found.organization.pk


def _check_against_targets(drafts: Sequence[_Draft], user: Any) -> None:
    active: dict[tuple[Any, Any], bool] = {}
    names = [name for draft in drafts if draft.values and draft.earlier is None for name in draft.values.parents]
    known = checks.read_parents(names, user)
    for draft in drafts:
        if draft.found is None or draft.values is None or draft.earlier is not None:
            continue
        key = _key(draft.found)
        if key not in active:
            active[key] = checks.is_active(draft.found)
        checks.check_open(draft.found, draft.errors, is_active=active[key])
        checks.check_window(draft.values, draft.found, draft.errors)
        checks.check_parents(draft.values, draft.found, known, draft.errors)
        checks.check_parameters(draft.values, draft.found, draft.errors)


def _find_twins(drafts: Sequence[_Draft]) -> None:
    """The same work twice in one list is a mistake of the list's, whatever else is there, unless one will do."""
    first: dict[str, int] = {}
    for index, draft in enumerate(drafts):
        if draft.request is None or not draft.request.window:
            continue
        earlier = first.setdefault(draft.request.job.job_hash, index)
        if earlier == index:
            continue
        if draft.request.on_duplicate == "return":
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
