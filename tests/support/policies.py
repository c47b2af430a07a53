"""Access policies that a host might write."""

from __future__ import annotations

import time
from typing import Any

from django_jobs import AccessPolicy
from django_jobs.models import Membership, Organization


class OnlyTheFirst(AccessPolicy):
    """Whose members may submit one type alone."""

    def can_submit(self, user: Any, organization: Any, job_type: Any) -> bool:
        return super().can_submit(user, organization, job_type) and bool(job_type.pk == "a_first")


class OwnJobsOnly(AccessPolicy):
    """Who shows people of an organization's jobs only their own."""

    def can_view(self, user: Any, job: Any) -> bool:
        return super().can_view(user, job) and job.owner_id == user.pk


class LogsForAll(AccessPolicy):
    """Who shows people what the handlers of their organization's jobs wrote to the log."""

    def can_read_logs(self, user: Any, job: Any) -> bool:
        return self.can_view(user, job)


class NobodyDeletes(AccessPolicy):
    """Keeps every job."""

    def can_delete(self, user: Any, job: Any) -> bool:
        return False


class OutputsForOwners(AccessPolicy):
    """Keeps what a job made from everybody but its owner, whatever else they may."""

    def can_read_output(self, user: Any, job: Any) -> bool:
        return super().can_read_output(user, job) and job.owner_id == user.pk


class Everything(AccessPolicy):
    """Who forgets to look at the organization."""

    def can_view(self, user: Any, job: Any) -> bool:
        return True


class Broken(AccessPolicy):
    """Fails at every question about system admins."""

    def is_system_admin(self, user: Any) -> bool:
        raise AttributeError("no such role")


class StaffAreSystemAdmins(AccessPolicy):
    """Each member of the staff is a system admin."""

    def is_system_admin(self, user: Any) -> bool:
        return bool(user.is_staff)


class Failing(AccessPolicy):
    """Whose answer about a job or a submission is an error; which one, the test says."""

    error: Exception = KeyError("plan")

    @property
    def broken(self) -> Any:
        """Raises inside a property, where an AttributeError is easily swallowed."""
        raise self.error

    def can_view(self, user: Any, job: Any) -> bool:
        return bool(self.broken)

    can_cancel = can_view
    can_retry = can_view
    can_delete = can_view
    can_read_output = can_view

    def can_submit(self, user: Any, organization: Any, job_type: Any) -> bool:
        return bool(self.broken)


class FailingScope(AccessPolicy):
    """Who cannot even say whose jobs somebody sees."""

    def organizations_of(self, user: Any) -> Any:
        raise Failing.error


class ByRelations(AccessPolicy):
    """Asks what hangs on user and organization, and rows of its own, by the managers that a host would use."""

    def is_member(self, user: Any, organization: Any) -> bool:
        mine = user.job_memberships.filter(organization=organization)
        return bool(mine.exists() and organization.job_memberships.exists() and Membership.objects.exists())


class MembersOfAll(AccessPolicy):
    """Who takes everybody for an admin of every organization."""

    def organizations_of(self, user: Any) -> Any:
        return Organization.objects.all()

    def is_member(self, user: Any, organization: Any) -> bool:
        return True

    is_organization_admin = is_member

    def can_submit(self, user: Any, organization: Any, job_type: Any) -> bool:
        return True

    def can_view(self, user: Any, job: Any) -> bool:
        return True

    can_cancel = can_view


class HangingForOne(AccessPolicy):
    """Who never comes back from a question about the tenant ``HANGS``."""

    def is_active(self, organization: Any) -> bool:
        while organization.name == "HANGS":
            time.sleep(60)
        return True

    def can_submit(self, user: Any, organization: Any, job_type: Any) -> bool:
        return self.is_active(organization) and super().can_submit(user, organization, job_type)
