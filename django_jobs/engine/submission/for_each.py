"""The same job once for each of many organizations, in a few statements; one that cannot have it is skipped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Unpack

from django.db.models import Model

from django_jobs.engine.store.organization_ids import id_of
from django_jobs.engine.submission import checks, duplicates, insertion, limits, replacement, resubmission
from django_jobs.engine.submission.checks import Request, Values
from django_jobs.engine.submission.errors import Errors
from django_jobs.engine.submission.options import SubmissionFields, refuse_unknown
from django_jobs.engine.submission.rights import Doorkeeper
from django_jobs.engine.submission.single import named, tell_later
from django_jobs.engine.submission.targets import Targets, TargetsChanged, read_all, shown
from django_jobs.exceptions import InvalidSubmission, OrganizationNotFound
from django_jobs.models import Job, JobType

INACTIVE: Final = "organization_inactive"
DUPLICATE: Final = "duplicate_job"
#: So many of the ids that are not known are named.
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
    wanted = _as_list(organizations)
    with named("submit_for_each", job_type):
        errors = Errors()
        values = checks.check_values({**keywords, "parameters": parameters}, errors)
        found = _read(job_type, wanted, errors, Doorkeeper(user)) if wanted else []
        if found and not errors:
            _check(values, found, user, errors)
        if errors:
            raise errors.refusal()
        return _Round(values, user).go(found)


def _as_list(organizations: object) -> list[Any]:
    if isinstance(organizations, str | bytes | Mapping | Model) or not isinstance(organizations, Iterable):
        raise InvalidSubmission({"organizations": ["Give a list of organizations: ids, instances, or a queryset."]})
    return list(organizations)


def _read(job_type: object, wanted: Sequence[Any], errors: Errors, doorkeeper: Doorkeeper) -> list[Targets]:
    """Each organization once, with the type; what is wrong for all of them goes into ``errors``."""
    own = [Errors() for _ in wanted]
    read = read_all([(job_type, item) for item in wanted], own, doorkeeper)
    unknown = [shown(item) for item, problems in zip(wanted, own, strict=True) if "organization" in problems]
    hidden = next((problems for problems in own if "job_type" in problems), None)
    if hidden is not None:
        errors.note("job_type", hidden["job_type"][0], hidden.cause)
    if unknown:
        more = f" and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
        text = f"There is no organization {', '.join(map(repr, unknown[:MAX_NAMED]))}{more}."
        errors.note("organizations", text, OrganizationNotFound)
    return list({item.organization.pk: item for item in read if item is not None}.values())


def _check(values: Values, found: Sequence[Targets], user: Any, errors: Errors) -> None:
    checks.check_open(found[0], errors, is_active=True)
    checks.check_window(values, found[0], errors)
    checks.check_parameters(values, found[0], errors)
    known = checks.read_parents(values.parents, user)
    for item in found if values.parents else ():
        checks.check_parents(values, item, known, errors)


class _Round:
    """One call on its way: who is left, who is skipped, and what the others got."""

    def __init__(self, values: Values, user: Any) -> None:
        self._values = values
        self._user = user
        self._jobs: dict[Any, Job] = {}
        self._skipped: dict[Any, str] = {}

    def go(self, found: Sequence[Targets]) -> ForEach:
        active = [item for item in found if self._is_active(item)]
        asked = self._ask(active)
        self._sort_out(asked)
        fresh = [request for request in asked if request.existing is None]
        full = limits.full([request.targets for request in fresh])
        self._skipped |= full
        self._insert([request for request in fresh if _pk(request) not in full])
        names = {item.organization.pk: id_of(item.organization) for item in found}
        jobs = [self._jobs[pk] for pk in names if pk in self._jobs]
        return ForEach(jobs, {names[pk]: self._skipped[pk] for pk in names if pk in self._skipped})

    def _is_active(self, item: Targets) -> bool:
        if checks.is_active(item):
            return True
        self._skipped[item.organization.pk] = INACTIVE
        return False

    def _ask(self, found: Sequence[Targets]) -> list[Request]:
        """One request for each, with the job that an earlier attempt of the running job submitted, if any."""
        asked = [checks.build(item, self._values, self._user) for item in found]
        if resubmission.is_later_attempt():
            earlier = resubmission.given_back([(request.job.job_hash, request.window) for request in asked])
            for request, job in zip(asked, earlier, strict=True):
                request.existing = job
        return asked

    def _sort_out(self, asked: Sequence[Request]) -> None:
        """What is there already needs no room."""
        unknown = [request for request in asked if request.window and request.existing is None]
        there = duplicates.find({request.job.job_hash for request in unknown}) if unknown else {}
        for request in unknown:
            request.existing = there.get(request.job.job_hash)
        self._settle(asked)

    def _settle(self, asked: Sequence[Request]) -> None:
        """Decide about those whose work is there already."""
        given: dict[int, Request] = {}
        for request in asked:
            if request.existing is not None and self._is_given(request.existing):
                given[request.existing.pk] = request
            elif request.existing is not None:
                self._skipped[_pk(request)] = DUPLICATE
        replaces = self._values.options.on_duplicate == "replace"
        jobs = replacement.replace_all(given, next(iter(given.values()))) if replaces and given else {}
        for pk, request in given.items():
            job = jobs.get(pk) if replaces else request.existing
            if job is not None:
                self._jobs[_pk(request)] = job
            else:
                request.existing = None  # it has died or gone meanwhile, and keeps nobody out

    def _is_given(self, existing: Job) -> bool:
        if resubmission.is_own(existing):
            return True
        return self._values.options.on_duplicate != "raise" and duplicates.is_visible(existing, self._user)

    def _insert(self, asked: Sequence[Request]) -> None:
        for request in asked:
            request.on_duplicate = "return"  # what came in between is no error for the others
        try:
            insertion.insert_all(asked)
        except TargetsChanged as error:
            text = "Others submit the same at this moment; try again."
            raise InvalidSubmission({"non_field_errors": [text]}) from error
        written = [request for request in asked if request.existing is None]
        self._jobs |= {_pk(request): request.job for request in written}
        if written:
            tell_later(written)
        late = [request for request in asked if request.existing is not None]
        self._settle(late)
        again = [request for request in late if request.existing is None]
        if again:
            self._insert(again)


def _pk(request: Request) -> Any:
    return request.targets.organization.pk
