"""The access policy: who may do what. A host may replace the class."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from django_jobs.conf import jobs_settings
from django_jobs.engine import policy_answers, system_organization
from django_jobs.engine.deadlines import TimeLimit
from django_jobs.engine.store import database, line_watch
from django_jobs.engine.store.fresh_reads import fresh_reads
from django_jobs.exceptions import PolicyFailed
from django_jobs.models import JobType, Membership, get_organization_model
from django_jobs.statuses import SubmitBy

if TYPE_CHECKING:
    from django_jobs.models import Job

logger = logging.getLogger("django_jobs")

COMPLAINT_PAUSE = 60.0
#: For so long whoever works for all tenants waits for what is about one of them.
PATIENCE: Final = 0.5
#: Of so many tenants something may go on beside.
MAX_BESIDE: Final = 8
_beside: Final = TimeLimit(MAX_BESIDE, hangs_up=False)
T = TypeVar("T")


class AccessPolicy:
    """The built-in policy, by :class:`~django_jobs.models.Membership`.

    A host with its own tenants replaces the first five methods. The other methods call these. They refuse whoever is
    not authenticated or not active, whatever the five say.
    """

    def __getattribute__(self, name: str) -> Any:
        """Make each question give an answer of its kind or raise PolicyFailed, however a subclass answers it.

        Otherwise an AttributeError could be swallowed on its way, and a DoesNotExist be taken for a missing job.
        """
        find = super().__getattribute__
        if name not in policy_answers.KINDS:
            return find(name)
        ask = policy_answers.guarded(name, find, may_hang=_is_hosts(type(self), name))
        return system_organization.closed(name, ask, self) if system_organization.closes(name) else ask

    def organizations_of(self, user: Any) -> QuerySet[Any]:
        """Return the organizations whose jobs the user may see."""
        organizations: QuerySet[Any] = get_organization_model()._default_manager.all()
        if not self._is_live(user):
            return organizations.none()
        return organizations.filter(pk__in=Membership.objects.filter(user_id=user.pk).values("organization_id"))

    def is_member(self, user: Any, organization: Any) -> bool:
        """Return whether the user belongs to the organization."""
        memberships = self._memberships(user, organization)
        return self._is_live(user) and memberships.exists()

    def is_organization_admin(self, user: Any, organization: Any) -> bool:
        """Return whether the user manages the organization's jobs."""
        memberships = self._memberships(user, organization).filter(role=Membership.Role.ADMIN)
        return self._is_live(user) and memberships.exists()

    def is_system_admin(self, user: Any) -> bool:
        """Return whether the user manages the jobs of every organization."""
        return self._is_live(user) and bool(user.has_perm("django_jobs.manage_all_jobs"))

    def is_active(self, organization: Any) -> bool:
        """Return whether the organization's jobs may start."""
        return bool(organization.is_active)

    def weight(self, organization: Any) -> float:
        """Return how much of the work the organization gets beside others that have jobs waiting.

        With 2.0 it gets twice as much as one with 1.0. It is a number above 0; what is below 0.01 counts as 0.01, and
        what is above 100 as 100. The answer holds for some seconds.
        """
        return 1.0

    def in_flight_limit(self, organization: Any) -> int:
        """Return how many jobs of the organization may be queued or running at once, 1 or more.

        The answer holds for some seconds.
        """
        return int(jobs_settings.MAX_IN_FLIGHT_PER_ORGANIZATION)

    def can_submit(self, user: Any, organization: Any, job_type: JobType) -> bool:
        """Return whether the user may submit the type: ``submit_by`` names them, and they hold its permission.

        System admins may submit every type except those for code alone, which no user may submit.
        """
        if not self._is_live(user) or job_type.submit_by == SubmitBy.CODE:
            return False
        if getattr(user, "is_superuser", False) and self.is_system_admin(user):  # without a statement
            return True
        is_for_admins = job_type.submit_by == SubmitBy.ADMINS
        has_role = self.is_organization_admin if is_for_admins else self.is_member
        may = has_role(user, organization) and holds(user, job_type.requires_permission)
        return may or self.is_system_admin(user)  # last, since permissions take two statements

    def can_view(self, user: Any, job: Job) -> bool:
        """Return whether the user may see the job: if they see its organization's jobs.

        An override narrows that for single jobs, not for lists.
        """
        if not self._is_live(user) or self.is_system_admin(user):
            return self._is_live(user)
        return self.organizations_of(user).using(database.alias()).filter(pk=job.organization_id).exists()

    def can_cancel(self, user: Any, job: Job) -> bool:
        """Return whether the user may cancel the job.

        Its owner may while they see its organization's jobs, and so may the organization's admins and system admins.
        """
        if self._manages(user, job):
            return True
        return job.owner_id is not None and job.owner_id == getattr(user, "pk", None) and self.can_view(user, job)

    def can_retry(self, user: Any, job: Job) -> bool:
        """Return whether the user may retry the job.

        System admins may, and the organization's admins who hold the permission that the type requires.
        """
        if not self._manages(user, job):
            return False
        return self.is_system_admin(user) or holds(user, _required_permission(job))

    def can_delete(self, user: Any, job: Job) -> bool:
        """Return whether the user may delete the job once it has ended: system admins may."""
        return self._is_live(user) and self.is_system_admin(user)

    def can_read_output(self, user: Any, job: Job) -> bool:
        """Return whether the user may download the job's output: whoever may see the job may."""
        return self.can_view(user, job)

    def can_read_logs(self, user: Any, job: Job) -> bool:
        """Return whether the user may read what the job's handler wrote to the log: system admins may.

        It is asked for jobs that the user may see, where the setting ``HANDLER_LOGS`` has lines kept.
        """
        return self._is_live(user) and self.is_system_admin(user)

    def _manages(self, user: Any, job: Job) -> bool:
        """Return whether the user is a system admin, or an admin of the job's organization."""
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


#: The built-in answers that ask nothing but the database.
_PLAIN: Final = ("is_active", "weight", "in_flight_limit", "is_member", "is_organization_admin", "organizations_of")
_BACKENDS: Final = ["django.contrib.auth.backends.ModelBackend"]


def _is_hosts(policy: type[AccessPolicy], question: str) -> bool:
    """Return whether the host's code has a part in the answer: its policy, or its backends of permissions."""
    if question in _PLAIN:
        return getattr(policy, question) is not getattr(AccessPolicy, question)
    return policy is not AccessPolicy or list(settings.AUTHENTICATION_BACKENDS) != _BACKENDS


def beside(organization_pk: Any, function: Callable[[], T]) -> T:
    """Do what is about one tenant and may wait for long, for a caller who works for all of them.

    Raises Late if it takes longer than PATIENCE. It goes on then in a thread of its own, and nothing else about the
    tenant begins meanwhile. In a caller's transaction, which would be lost, it is waited for. Where it lost its own
    transaction to a policy that hangs it is done once more: nothing waits for that policy then.
    """

    def again() -> T:
        with line_watch.waiting(line_watch.DUTY_SECONDS):
            try:
                return function()
            except policy_answers.PolicyLate:
                return function()

    if any(item.in_atomic_block for item in connections.all(initialized_only=True)):
        return function()
    return _beside.call(organization_pk, PATIENCE, again)


def ask_beside(organization_pk: Any, question: Callable[[], T]) -> T:
    """Do the same for what only asks the policy, where the host's code answers."""
    return beside(organization_pk, question) if may_hang() else question()


def may_hang() -> bool:
    """Return whether the host's code has a part in what the policy answers."""
    return bool(jobs_settings.ACCESS_POLICY) or list(settings.AUTHENTICATION_BACKENDS) != _BACKENDS


def holds(user: Any, permission: str) -> bool:
    """Return whether the user has a permission such as ``app_label.codename``. Everybody has the blank one."""
    return not permission or bool(user.has_perm(permission))


def _required_permission(job: Job) -> str:
    """Return the permission that the job's type requires; blank when the type is gone."""
    rows = JobType.primary.filter(pk=job.job_type_id)
    return rows.values_list("requires_permission", flat=True).first() or ""


def get_policy() -> AccessPolicy:
    """Return the host's policy, or the built-in one."""
    path = jobs_settings.ACCESS_POLICY
    if not path:
        return AccessPolicy()
    try:
        policy: AccessPolicy = policy_answers.made(import_string(path))
    except (ImportError, TypeError) as error:
        raise ImproperlyConfigured(f"DJANGO_JOBS['ACCESS_POLICY'] names {path!r}: {error}") from error
    except PolicyFailed:
        raise
    except (Exception, SystemExit) as error:
        raise PolicyFailed(error) from error
    return policy


def organizations_seen_by(user: Any) -> QuerySet[Any] | None:
    """Return the organizations whose jobs the user may see, read where jobs are written; None means all of them.

    A policy is never asked about a missing user: ``filter(members=None)`` would find whatever has no members.
    """
    policy = get_policy()
    if not policy._is_live(user):  # noqa: SLF001
        return database.rows(get_organization_model()).none()
    if policy.is_system_admin(user):
        return None
    return policy.organizations_of(user).using(database.alias())


def may_view(user: Any, job: Job) -> bool:
    """Return whether the policy shows the user a job of an organization that ``organizations_seen_by`` returned.

    The built-in rule adds nothing to that, so only a host's own rule is asked.
    """
    return not may_hide_jobs() or bool(get_policy().can_view(user, job))


def may_hide_jobs() -> bool:
    """Return whether the host's policy may hide single jobs from people who see the organization."""
    return type(get_policy()).can_view is not AccessPolicy.can_view


def may_start(organization: Any) -> bool:
    """Return whether the policy lets the organization's jobs start. If the policy fails, only these jobs wait."""
    try:
        with fresh_reads():
            return bool(get_policy().is_active(organization))
    except Error:
        raise
    except Exception as error:  # noqa: BLE001  (the host's code)
        complain(error)
        return False


_last_complaint: float = -math.inf


def complain(error: Exception) -> None:
    """Log that the policy fails, at most once a minute, because it is asked for every job."""
    global _last_complaint  # noqa: PLW0603  (a process-wide note)
    if time.monotonic() - _last_complaint >= COMPLAINT_PAUSE:
        _last_complaint = time.monotonic()
        report(error)


def report(error: Exception) -> None:
    """Log that the policy failed, with the traceback of what it raised."""
    cause = cause_of(error)
    logger.error("event=access_policy_failed error=%r", cause, exc_info=cause)


def cause_of(error: BaseException) -> BaseException:
    """Return what the policy itself raised."""
    return error.__cause__ if isinstance(error, PolicyFailed) and error.__cause__ is not None else error
