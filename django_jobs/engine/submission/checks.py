"""What is wrong with a submission for its job type and its organization, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from django.utils.translation import gettext_noop as _

from django_jobs.engine.access import get_policy, may_hide_jobs, may_view
from django_jobs.engine.job_types import parameters
from django_jobs.engine.submission import membership
from django_jobs.engine.submission.building import Request
from django_jobs.engine.submission.errors import Errors
from django_jobs.engine.submission.targets import Targets
from django_jobs.exceptions import JobTypeDisabled, OrganizationInactive, PermissionDenied
from django_jobs.models import Batch, Job
from django_jobs.statuses import RETRYABLE_BY_HAND, UNSUCCESSFUL, RunAfter
from django_jobs.texts import say

#: Jobs to wait for that are read in one statement: so many values every database takes.
READ_AT_ONCE: Final = 2_000


class Known(NamedTuple):
    """What exists of what submissions name: the jobs to wait for and the batches, by their ids."""

    parents: Mapping[str, Job]
    batches: Mapping[str, Batch]


def check_all(asked: Mapping[int, Request], errors: dict[int, Errors], user: Any) -> None:
    """Judge requests by their places; what is wrong with one goes into its errors. What they name is read together."""
    known = read_known(asked.values(), user)
    active: dict[Any, bool] = {}
    for place, request in asked.items():
        pk = request.targets.organization.pk
        if pk not in active:
            active[pk] = is_active(request.targets)
        own = errors.get(place) or Errors()
        check(request, known, own, is_active=active[pk])
        if own:
            errors[place] = own


def check(request: Request, known: Known, errors: Errors, *, is_active: bool) -> None:
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
        errors.update(parameters.validate(kind.type_name, fields.parameters))


def is_active(found: Targets) -> bool:
    """Return whether the policy lets the organization's jobs start."""
    return bool(get_policy().is_active(found.organization))


def read_known(requests: Iterable[Request], user: Any) -> Known:
    """Return what exists of what these name. Raises PermissionDenied for a batch to which the user may not add jobs."""
    asked = list(requests)
    batches = _read_batches(asked)
    named = {request.fields.batch.batch_id: request.targets.organization for request in asked if request.fields.batch}
    for name, organization in named.items():
        batch = batches.get(name)
        if batch is not None and batch.organization_id == organization.pk:  # else it is not told that there is one
            _check_member(batch, organization, user)
    return Known(_read_parents(asked, user), batches)


def _check_member(batch: Batch, organization: Any, user: Any) -> None:
    if not membership.may_add(user, batch, organization):
        raise PermissionDenied(say(_("You may not add jobs to %(batch)s."), code="not_owner", batch=batch.batch_id))


def check_named(request: Request, known: Known, errors: Errors) -> None:
    """Note what is wrong with the jobs and the batch that a request names."""
    if request.fields.parents:
        _check_parents(request, known.parents, errors)
    if request.fields.batch is not None:
        _check_batch(request, known.batches, errors)


def _read_batches(requests: Iterable[Request]) -> dict[str, Batch]:
    wanted = {request.fields.batch.pk for request in requests if request.fields.batch is not None}
    rows = Batch.primary.filter(pk__in=wanted).defer("then", "on_failure", "fault") if wanted else ()
    return {batch.batch_id: batch for batch in rows}


def _check_batch(request: Request, known: Mapping[str, Batch], errors: Errors) -> None:
    """Whether the batch still takes jobs is asked under its lock, when the job is stored."""
    name = request.fields.batch.batch_id if request.fields.batch is not None else ""
    batch = known.get(name)
    if (
        batch is None or batch.organization_id != request.targets.organization.pk
    ):  # not told apart: it is none of theirs
        errors["batch"] = [say("There is no batch %(batch)s in this organization.", code="unknown_batch", batch=name)]


def _read_parents(requests: Iterable[Request], user: Any) -> dict[str, Job]:
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


def _check_parents(request: Request, known: Mapping[str, Job], errors: Errors) -> None:
    """Note which of the jobs to wait for cannot be waited for; ``known`` are those that exist, by id."""
    must_complete = request.fields.run_after != RunAfter.ENDED
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
