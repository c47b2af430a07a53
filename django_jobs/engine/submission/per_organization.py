"""Submitting one job for each of many organizations, in a few statements; those that cannot have it are skipped."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Unpack

from django.db.models import Model

from django_jobs.engine import observers
from django_jobs.engine.store import database
from django_jobs.engine.store.organization_ids import id_of
from django_jobs.engine.submission import (
    building,
    checks,
    duplicates,
    limits,
    membership,
    replacement,
    resubmission,
    writing,
)
from django_jobs.engine.submission.building import Request
from django_jobs.engine.submission.errors import Errors, naming, shown
from django_jobs.engine.submission.fields import Fields, SubmissionFields, check_fields, refuse_unknown
from django_jobs.engine.submission.rights import Authorizer
from django_jobs.engine.submission.targets import Targets, read_all
from django_jobs.exceptions import InvalidSubmission, OrganizationNotFound
from django_jobs.models import Job, JobType
from django_jobs.texts import say

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
    return fields if run_at is None else dataclasses.replace(fields, run_at=run_at(found.organization))


def _as_list(organizations: object) -> list[Any]:
    if isinstance(organizations, str | bytes | Mapping | Model) or not isinstance(organizations, Iterable):
        text = say("Give a list of organizations: ids, instances, or a queryset.", code="not_a_list")
        raise InvalidSubmission({"organizations": [text]})
    return list(organizations)


def _read(job_type: object, wanted: Sequence[Any], errors: Errors, authorizer: Authorizer) -> list[Targets]:
    """Return each organization once, with the type; what is wrong for all of them goes into ``errors``."""
    read = read_all([(job_type, item) for item in wanted], authorizer)
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


def _check(asked: Sequence[Request], user: Any) -> None:
    """Refuse what is wrong for all of them: the requests differ only in their organizations."""
    if not asked:
        return
    errors = Errors()
    known = checks.read_known(asked[:1], user)
    checks.check(asked[0], known, errors, is_active=True)
    for request in asked[1:]:
        checks.check_named(request, known, errors)
    if errors:
        raise errors.refusal()


class _Round:
    """One call: the jobs that the organizations got, and the reasons of those that are skipped."""

    def __init__(self, on_duplicate: str, user: Any) -> None:
        self._on_duplicate = on_duplicate
        self._user = user
        self._jobs: dict[Any, Job] = {}
        self._skipped: dict[Any, str] = {}

    def go(self, asked: Sequence[Request]) -> ForEach:
        active = [request for request in database.heard(asked) if self._is_active(request)]
        building.give_back(active)
        self._find_existing(active)
        fresh = [request for request in active if request.existing is None]
        full = limits.full([request.targets for request in fresh])
        self._skipped |= full
        self._insert([request for request in fresh if _pk(request) not in full])
        names = {_pk(request): id_of(request.targets.organization) for request in asked}
        jobs = [self._jobs[pk] for pk in names if pk in self._jobs]
        return ForEach(jobs, {names[pk]: self._skipped[pk] for pk in names if pk in self._skipped})

    def _is_active(self, request: Request) -> bool:
        if checks.is_active(request.targets):
            return True
        self._skipped[_pk(request)] = INACTIVE
        return False

    def _find_existing(self, asked: Sequence[Request]) -> None:
        """Find the work that is there already, which needs no room."""
        replaces = self._on_duplicate == "replace"  # others may have submitted since what an earlier attempt did
        unknown = [request for request in asked if request.window and (replaces or request.existing is None)]
        there = duplicates.find({request.job.job_hash for request in unknown}) if unknown else {}
        for request in unknown:
            request.existing = there.get(request.job.job_hash, request.existing)
        self._settle(asked)

    def _settle(self, asked: Sequence[Request]) -> None:
        """Decide about those whose work is there already."""
        given: dict[int, Request] = {}
        for request in asked:
            if request.existing is not None and self._is_given(request, request.existing):
                given[request.existing.pk] = request
            elif request.existing is not None:
                self._skipped[_pk(request)] = DUPLICATE
        replaces = self._on_duplicate == "replace"
        jobs = replacement.replace_all(given, next(iter(given.values()))) if replaces and given else {}
        for pk, request in given.items():
            job = jobs.get(pk) if replaces else request.existing
            if job is not None:
                self._jobs[_pk(request)] = job
            else:
                request.supersedes, request.existing = request.existing, None

    def _is_given(self, request: Request, existing: Job) -> bool:
        if resubmission.is_own(existing):
            return True
        if self._on_duplicate == "raise" or not duplicates.is_visible(existing, self._user):
            return False
        organization = request.targets.organization
        return self._on_duplicate == "return" or membership.may_replace(existing, self._user, organization)

    def _insert(self, asked: Sequence[Request]) -> None:
        for request in asked:
            request.on_duplicate = "return"  # equal work that was submitted meanwhile is no error for the others
        written = writing.write_all(asked)
        self._jobs |= {_pk(request): request.job for request in written}
        if written:
            writing.follow_commit(written)
        late = [request for request in asked if request.existing is not None]
        self._settle(late)
        again = [request for request in late if request.existing is None]
        if again:
            self._insert(again)


def _pk(request: Request) -> Any:
    return request.targets.organization.pk
