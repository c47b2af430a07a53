"""Who may do what: one class that a host may replace."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from django_jobs.conf import jobs_settings
from django_jobs.engine import policy_answers
from django_jobs.engine.store import database
from django_jobs.exceptions import PolicyFailed
from django_jobs.models import JobType, Membership, get_organization_model
from django_jobs.statuses import SubmitBy

if TYPE_CHECKING:
    from django_jobs.models import Job

logger = logging.getLogger("django_jobs")

COMPLAINT_PAUSE = 60.0


class AccessPolicy:
    """The built-in policy, by :class:`~django_jobs.models.Membership`.

    A host with its own tenants replaces the first five methods; the others are made of them, and refuse whoever is
    not authenticated or not active, whatever the five say.
    """

    def __getattribute__(self, name: str) -> Any:
        """Let each question give an answer of its kind, or raise PolicyFailed, whichever way a subclass answers it.

        Else an AttributeError would be swallowed on its way, and a DoesNotExist be taken for a job that is not there.
        """
        find = super().__getattribute__
        return policy_answers.guarded(name, find) if name in policy_answers.KINDS else find(name)

    def organizations_of(self, user: Any) -> QuerySet[Any]:
        """The organizations whose jobs the user may see."""
        organizations: QuerySet[Any] = get_organization_model()._default_manager.all()
        if not self._is_live(user):
            return organizations.none()
        return organizations.filter(pk__in=Membership.objects.filter(user_id=user.pk).values("organization_id"))

    def is_member(self, user: Any, organization: Any) -> bool:
        """Whether the user belongs to the organization."""
        memberships = self._memberships(user, organization)
        return self._is_live(user) and memberships.exists()

    def is_organization_admin(self, user: Any, organization: Any) -> bool:
        """Whether the user manages the organization's jobs."""
        memberships = self._memberships(user, organization).filter(role=Membership.Role.ADMIN)
        return self._is_live(user) and memberships.exists()

    def is_system_admin(self, user: Any) -> bool:
        """Whether the user manages the jobs of every organization."""
        return self._is_live(user) and bool(user.has_perm("django_jobs.manage_all_jobs"))

    def is_active(self, organization: Any) -> bool:
        """Whether the organization's jobs may start."""
        return bool(organization.is_active)

    def can_submit(self, user: Any, organization: Any, job_type: JobType) -> bool:
        """Those whom the type's ``submit_by`` names may, if they hold the permission that it requires.

        System admins may submit all but what is for code alone, which no user may.
        """
        if not self._is_live(user) or job_type.submit_by == SubmitBy.CODE:
            return False
        if self.is_system_admin(user):
            return True
        is_for_admins = job_type.submit_by == SubmitBy.ADMINS
        has_role = self.is_organization_admin if is_for_admins else self.is_member
        return has_role(user, organization) and holds(user, job_type.requires_permission)

    def can_view(self, user: Any, job: Job) -> bool:
        """Those who see the organization's jobs may. An override narrows that for single jobs, not for lists."""
        if not self._is_live(user) or self.is_system_admin(user):
            return self._is_live(user)
        return self.organizations_of(user).using(database.alias()).filter(pk=job.organization_id).exists()

    def can_cancel(self, user: Any, job: Job) -> bool:
        """Owners who still belong to the organization, its admins and system admins may."""
        if self._manages(user, job):
            return True
        return job.owner_id is not None and job.owner_id == getattr(user, "pk", None) and self.can_view(user, job)

    def can_retry(self, user: Any, job: Job) -> bool:
        """System admins may, and the organization's admins who hold the permission that the type requires."""
        if not self._manages(user, job):
            return False
        return self.is_system_admin(user) or holds(user, _required_permission(job))

    def can_delete(self, user: Any, job: Job) -> bool:
        return self._is_live(user) and self.is_system_admin(user)

    def can_read_output(self, user: Any, job: Job) -> bool:
        return self.can_view(user, job)

    def _manages(self, user: Any, job: Job) -> bool:
        """Whether the user is a system admin, or an admin of the job's organization."""
        if not self._is_live(user) or self.is_system_admin(user):
            return self._is_live(user)
        organization = database.rows(get_organization_model()).filter(pk=job.organization_id).first()
        return organization is not None and self.is_organization_admin(user, organization)

    @staticmethod
    def _memberships(user: Any, organization: Any) -> QuerySet[Membership]:
        pk: Any = getattr(user, "pk", None)
        return Membership.primary.filter(user_id=pk, organization_id=organization.pk)

    @staticmethod
    def _is_live(user: Any) -> bool:
        return bool(getattr(user, "is_authenticated", False) and getattr(user, "is_active", False))


def holds(user: Any, permission: str) -> bool:
    """Whether the user has a permission such as ``app_label.codename``; everybody has the blank one."""
    return not permission or bool(user.has_perm(permission))


def _required_permission(job: Job) -> str:
    """What the job's type requires; a job of a type that is gone requires nothing."""
    rows = JobType.primary.filter(pk=job.job_type_id)
    return rows.values_list("requires_permission", flat=True).first() or ""


def get_policy() -> AccessPolicy:
    """The host's policy, or the built-in one."""
    path = jobs_settings.ACCESS_POLICY
    if not path:
        return AccessPolicy()
    try:
        policy: AccessPolicy = import_string(path)()
    except (ImportError, TypeError) as error:
        raise ImproperlyConfigured(f"DJANGO_JOBS['ACCESS_POLICY'] names {path!r}: {error}") from error
    except (Exception, SystemExit) as error:
        raise PolicyFailed(error) from error
    return policy


def organizations_seen_by(user: Any) -> QuerySet[Any] | None:
    """Whose jobs the user may see, read where jobs are written; None: everybody's.

    Nobody asks a policy about a user who is not there: ``filter(members=None)`` finds whatever has no members.
    """
    policy = get_policy()
    if not policy._is_live(user):  # noqa: SLF001
        return database.rows(get_organization_model()).none()
    if policy.is_system_admin(user):
        return None
    return policy.organizations_of(user).using(database.alias())


def may_view(user: Any, job: Job) -> bool:
    """Whether the policy shows the user a job of one of the organizations that ``organizations_seen_by`` gave.

    The built-in rule says no more than they did, so only a host's own is asked.
    """
    return not may_hide_jobs() or bool(get_policy().can_view(user, job))


def may_hide_jobs() -> bool:
    """Return whether the host's policy may hide single jobs from people who see the organization."""
    return type(get_policy()).can_view is not AccessPolicy.can_view


def may_start(organization: Any) -> bool:
    """Whether the policy lets the organization's jobs start. A policy that fails makes them wait, and no others."""
    try:
        return bool(get_policy().is_active(organization))
    except Error:
        raise
    except Exception as error:  # noqa: BLE001  (the host's code)
        complain(error)
        return False


_last_complaint: float = -math.inf


def complain(error: Exception) -> None:
    """Tell of a policy that fails, once a minute: it is asked for every job."""
    global _last_complaint  # noqa: PLW0603  (a process-wide note)
    if time.monotonic() - _last_complaint >= COMPLAINT_PAUSE:
        _last_complaint = time.monotonic()
        report(error)


def report(error: Exception) -> None:
    """Tell of a policy that failed, with the traceback of what it raised."""
    cause = cause_of(error)
    logger.error("event=access_policy_failed error=%r", cause, exc_info=cause)


def cause_of(error: BaseException) -> BaseException:
    """What the policy itself raised."""
    return error.__cause__ if isinstance(error, PolicyFailed) and error.__cause__ is not None else error
