"""What one user may see: organizations, and the rows that belong to them. Every door asks here."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.db.models import OuterRef, Q, QuerySet, Subquery

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import (
    AccessPolicy,
    get_policy,
    holds,
    id_value,
    may_hide_jobs,
    may_submit,
    unknown_organization,
)
from django_jobs.engine.json_storage import clean_text
from django_jobs.engine.store import database
from django_jobs.exceptions import BatchNotFound, JobNotFound
from django_jobs.models import Batch, Job, JobType, Operation, Schedule, get_organization_model
from django_jobs.models.batch import BatchQuerySet
from django_jobs.models.job import JobQuerySet
from django_jobs.statuses import SubmitBy
from django_jobs.texts import say

Rows = TypeVar("Rows", bound=QuerySet[Any])
#: Up to so many keys are written into a statement, so that the database sees how few they are. More are a subquery.
FEW: Final = 1_000
#: A host's own rule about types is asked for at most so many of the user's organizations.
ASKED: Final = 100


class Scope:
    """What a user may see, by the access policy; of server code (None), everything.

    It asks the policy once for each answer and remembers it. So it is made for one request, command or message.
    """

    def __init__(self, user: Any = None) -> None:
        self.user = user

    @cached_property
    def _policy(self) -> AccessPolicy:
        return get_policy()

    @cached_property
    def _is_live(self) -> bool:
        """Whether the policy may be asked: ``filter(members=None)`` would find whatever has no members."""
        return self.user is not None and self._policy._is_live(self.user)  # noqa: SLF001

    @cached_property
    def is_system_admin(self) -> bool:
        """Return whether the user manages the jobs of every organization; server code does."""
        return self.user is None or (self._is_live and self._policy.is_system_admin(self.user))

    # -- organizations -------------------------------------------------------------------------------------------------

    @cached_property
    def tenants(self) -> QuerySet[Any]:
        """Return the organizations whose jobs the user may see, read where jobs are written."""
        if self.is_system_admin:
            return database.rows(get_organization_model())
        if not self._is_live:
            return database.rows(get_organization_model()).none()
        return self._policy.organizations_of(self.user).using(database.alias())

    @cached_property
    def _few(self) -> list[Any]:
        return list(self.tenants.values_list("pk", flat=True)[: FEW + 1])

    @cached_property
    def organizations(self) -> list[Any] | None:
        """Return the primary keys of these organizations; None for all organizations.

        They are read before the jobs, so that the database sees how few they are when it chooses an index.
        """
        if self.is_system_admin:
            return None
        return self._few if len(self._few) <= FEW else list(self.tenants.values_list("pk", flat=True))

    def within(self, rows: Rows, field: str = "organization_id") -> Rows:
        """Return those of the rows whose ``field`` names one of these organizations."""
        if self.is_system_admin:
            return rows
        return rows.filter(**{f"{field}__in": self._few if len(self._few) <= FEW else self.tenants.values("pk")})

    def includes(self, organization_pk: Any) -> bool:
        """Return whether the user may see the jobs of the organization with this primary key."""
        return self.is_system_admin or self.tenants.filter(pk=organization_pk).exists()

    def organization(self, named: Any) -> Any:
        """Return the primary key of the organization with this id, or of this instance.

        Raises JobNotFound when there is none, or when the user may know of none of its jobs.
        """
        model = get_organization_model()
        field = "pk" if isinstance(named, model) else str(jobs_settings.ORGANIZATION_ID_FIELD)
        key = named.pk if isinstance(named, model) else named
        value = id_value(field, key)
        pk = None if value is None else self.tenants.filter(**{field: value}).values_list("pk", flat=True).first()
        if pk is None:
            raise JobNotFound(unknown_organization(key))
        return pk

    def organizations_named(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the primary keys of those of these organizations that there are, by the id as it was given."""
        field = str(jobs_settings.ORGANIZATION_ID_FIELD)
        keys = {name: key for name in names if (key := id_value(field, name)) is not None}
        if not keys:
            return {}
        keys_by_id = dict(self.tenants.filter(**{f"{field}__in": set(keys.values())}).values_list(field, "pk"))
        return {name: keys_by_id[key] for name, key in keys.items() if key in keys_by_id}

    # -- rows ----------------------------------------------------------------------------------------------------------

    def jobs(self) -> JobQuerySet:
        """Return the jobs of these organizations. Of a job that is shown by itself, :meth:`shows` is asked as well."""
        return self.within(Job.primary.all())

    def batches(self) -> BatchQuerySet:
        """Return the batches of these organizations."""
        return self.within(Batch.primary.all())

    def operations(self) -> QuerySet[Operation]:
        """Return the operations that the user started, the newest first; of system admins all, of any organization."""
        rows = Operation.primary.order_by("-pk")
        if self.is_system_admin:
            return rows
        return rows.filter(user_id=self.user.pk) if self._is_live else rows.none()  # nobody's key would be that of code

    def schedules(self) -> QuerySet[Schedule]:
        """Return the schedules that the user owns or manages."""
        rows = Schedule.primary.all()
        if self.is_system_admin:
            return rows
        if not self._is_live:  # nobody's key would be that of code
            return rows.none()
        which = Q(owner_id=self.user.pk, organization__isnull=True)
        with_schedules = rows.filter(organization__isnull=False).values("organization_id")
        for organization in self.tenants.filter(pk__in=with_schedules):
            which |= Q(owner_id=self.user.pk, organization_id=organization.pk)
            if not self._policy.is_organization_admin(self.user, organization):
                continue
            of_organization = rows.filter(organization_id=organization.pk)
            kinds = JobType.primary.filter(pk__in=of_organization.values("job_type_id"))
            names = [kind.pk for kind in kinds if may_submit(self.user, organization, kind)]
            which |= Q(organization_id=organization.pk, job_type_id__in=names)
        return rows.filter(which)

    @cached_property
    def types(self) -> QuerySet[JobType]:
        """Return the types of these organizations' jobs, and those that the user may submit; all for system admins."""
        rows = JobType.primary.all()
        if self.organizations is None:
            return rows
        # A scalar, which PostgreSQL asks for each type by an index. Of EXISTS it makes a hash of all their jobs.
        own_jobs = self.jobs().filter(job_type=OuterRef("pk"))
        names = [kind.pk for kind in self.submittable(rows.filter(is_enabled=True))]
        return rows.alias(own_job=Subquery(own_jobs.order_by().values("pk")[:1])).filter(
            Q(pk__in=names) | Q(own_job__isnull=False)
        )

    def submittable(self, kinds: Iterable[JobType]) -> list[JobType]:
        """Return those of the types that the user may submit for some organization."""
        wanted = [kind for kind in kinds if kind.submit_by != SubmitBy.CODE]
        has_own_rule = type(self._policy).can_submit is not AccessPolicy.can_submit
        if self.user is None or (self.is_system_admin and not has_own_rule):
            return wanted
        tenants = self._policy.organizations_of(self.user) if self.is_system_admin else self.tenants
        organizations = list(tenants[:ASKED])
        if has_own_rule:
            may = self._policy.can_submit
            return [kind for kind in wanted if any(may(self.user, tenant, kind) for tenant in organizations)]
        # The default rule is asked once for each role, and not for each type.
        asked = {SubmitBy.MEMBERS: self._policy.is_member, SubmitBy.ADMINS: self._policy.is_organization_admin}
        roles = {
            role: any(asked[SubmitBy(role)](self.user, tenant) for tenant in organizations)
            for role in {kind.submit_by for kind in wanted}
        }
        return [kind for kind in wanted if roles[kind.submit_by] and holds(self.user, kind.requires_permission)]

    # -- single jobs and batches ---------------------------------------------------------------------------------------

    def job(self, job_id: str | Job) -> Job:
        """Return the job with this id, read anew. Raises JobNotFound when there is none that the user may know of."""
        name = job_id.name if isinstance(job_id, Job) else job_id
        not_found = JobNotFound(say("There is no job %(job)r.", code="unknown_job", job=name))
        try:
            job: Job = self._own(Job.primary.all()).by_id(name)
        except Job.DoesNotExist as error:
            raise not_found from error
        if not self.shows(job):
            raise not_found
        return job

    def batch(self, batch_id: str | Batch) -> Batch:
        """Return the batch with this id, read anew. Raises BatchNotFound when there is none the user may know of."""
        name = batch_id.batch_id if isinstance(batch_id, Batch) else batch_id
        try:
            batch: Batch = self._own(Batch.primary.all()).by_id(name)
        except Batch.DoesNotExist as error:
            text = say("There is no batch %(batch)r.", code="unknown_batch", batch=clean_text(name, 140))
            raise BatchNotFound(text) from error
        return batch

    def _own(self, rows: Any) -> Any:
        """Return those of the rows that are of these organizations, for one look-up by a key: in one statement."""
        return rows if self.is_system_admin else rows.filter(organization__in=self.tenants.values("pk"))

    @cached_property
    def hides_jobs(self) -> bool:
        """Return whether the host's policy may hide single jobs of these organizations."""
        return may_hide_jobs(self._policy)

    def shows(self, job: Job) -> bool:
        """Return whether the policy shows the user a job of these organizations.

        The built-in rule adds nothing to that, so only a host's own rule is asked.
        """
        return self.user is None or not self.hides_jobs or self._policy.can_view(self.user, job)

    def may(self, question: str, job: Job) -> bool:
        """Return the policy's answer to a question about a job, such as ``can_cancel``; server code may do all."""
        return self.user is None or bool(getattr(self._policy, question)(self.user, job))


def scope_of(request: Any) -> Scope:
    """Return the scope of the request's user, made once for the request. Without a user it is that of nobody."""
    user = getattr(request, "user", None)
    found: Scope | None = vars(request).get("djobs_scope")
    if found is None or found.user is not user:
        found = request.djobs_scope = Scope(AnonymousUser() if user is None else user)
    return found


def organizations_seen_by(user: Any) -> QuerySet[Any] | None:
    """Return the organizations whose jobs a user may see; None means all of them. Nobody, None, sees none."""
    scope = Scope(AnonymousUser() if user is None else user)
    return None if scope.is_system_admin else scope.tenants
