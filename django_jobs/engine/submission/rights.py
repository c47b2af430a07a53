"""Who may submit which job type, and who may close, cancel and retry a batch.

To a user, a type that they may not submit looks like one that does not exist.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from django_jobs.engine.access import AccessPolicy, get_policy, holds, organizations_seen_by
from django_jobs.engine.store.organization_ids import read_tenants
from django_jobs.exceptions import PermissionDenied
from django_jobs.statuses import SubmitBy
from django_jobs.texts import marked as _
from django_jobs.texts import say

if TYPE_CHECKING:
    from django_jobs.models import Batch, JobType

#: A host's own rule is asked for at most so many of the user's organizations.
ASKED: Final = 100


def may_submit(user: Any, organization: Any, kind: JobType) -> bool:
    """Return whether this user may submit the type for the organization; server code (None) may.

    The policy decides, but cannot open a type that is for code alone.
    """
    if user is None:
        return True
    return kind.submit_by != SubmitBy.CODE and bool(get_policy().can_submit(user, organization, kind))


def may_own(owner: Any, organization: Any, kind: JobType) -> bool:
    """Return whether code may submit the type in this owner's name.

    The type's ``submit_by`` does not matter then, since code submits it. The owner's other rights do.
    """
    if kind.submit_by != SubmitBy.MEMBERS:
        kind = copy.copy(kind)
        kind.submit_by = SubmitBy.MEMBERS
    return bool(get_policy().can_submit(owner, organization, kind))


def ask_ahead(organization: Any, owner: Any, kind: JobType | None) -> None:
    """Ask the policy what a submission will ask. Raises PolicyFailed.

    For duties that submit for one tenant after the other. In their transaction, a policy that hangs would keep others
    waiting. Once it was found to hang here, it fails there at once.
    """
    if get_policy().is_active(organization) and kind is not None:
        may_submit(owner, organization, kind)


class Authorizer:
    """Decides which of the named types one submitter may know of. Each question is asked once for what was read."""

    def __init__(self, user: Any, *, is_code: bool = False) -> None:
        """Decide for this user; ``is_code`` tells that handler code submits in the user's name."""
        self._user = user
        self._may = may_own if is_code else may_submit
        self._answers: dict[tuple[Any, Any], bool] = {}

    def forget(self) -> None:
        """Forget the answers, since types and organizations are read anew."""
        self._answers.clear()

    def admit(self, kind: JobType | None, organization: Any, named: str) -> JobType | None:
        """Return the type if the user may submit it for the organization, or may know of it without one.

        Return None for a type that is to look unknown. Raise PermissionDenied when the user has no part in the
        organization, whether or not there is such a type. ``named`` is the type's name in the error's text.
        """
        if self._user is None:
            return kind
        key = (kind and kind.pk, organization and organization.pk)
        if key not in self._answers:
            self._answers[key] = self._ask(kind, organization)
        if self._answers[key]:
            return kind
        if organization is not None and not belongs(self._user, organization):
            text = say(_("You may not submit %(job_type)s for this organization."), code="no_part", job_type=named)
            raise PermissionDenied(text)
        return None

    def may_know_the_code(self) -> bool:
        """Return whether the submitter may be told what a deployment lacks: server code and system admins may."""
        return self._user is None or bool(get_policy().is_system_admin(self._user))

    def _ask(self, kind: JobType | None, organization: Any) -> bool:
        if kind is None:
            return False
        if organization is None:
            return bool(submittable(self._user, [kind]))
        return bool(self._user is None or self._may(self._user, organization, kind))


def belongs(user: Any, organization: Any) -> bool:
    """Return whether the user has any part in the organization: as a member, as its admin or as a system admin."""
    policy = get_policy()
    return policy._is_live(user) and (  # noqa: SLF001
        policy.is_system_admin(user)
        or policy.is_member(user, organization)
        or policy.is_organization_admin(user, organization)
    )


def may_cancel_batch(user: Any, batch: Batch) -> bool:
    """Return whether the user may close or cancel this batch: its owner, and whoever manages it."""
    is_owner = batch.owner_id is not None and batch.owner_id == getattr(user, "pk", None)
    return is_owner or may_manage_batch(user, batch)


def may_manage_batch(user: Any, batch: Batch) -> bool:
    """Return whether the user manages the jobs of the batch's organization, and so may retry those that failed."""
    policy = get_policy()
    if policy.is_system_admin(user):
        return True
    tenant = read_tenants([batch.organization_id]).get(batch.organization_id)
    return tenant is not None and bool(policy.is_organization_admin(user, tenant))


def submittable(user: Any, kinds: Iterable[JobType]) -> list[JobType]:
    """Return those of the types that the user may submit for some organization."""
    policy = get_policy()
    wanted = [kind for kind in kinds if kind.submit_by != SubmitBy.CODE]
    seen = organizations_seen_by(user)
    has_own_rule = type(policy).can_submit is not AccessPolicy.can_submit
    if seen is None and not has_own_rule:
        return wanted
    organizations = list((policy.organizations_of(user) if seen is None else seen)[:ASKED])
    if has_own_rule:
        return [kind for kind in wanted if any(policy.can_submit(user, tenant, kind) for tenant in organizations)]
    return _by_default_rule(policy, user, wanted, organizations)


def _by_default_rule(policy: AccessPolicy, user: Any, kinds: list[JobType], organizations: list[Any]) -> list[JobType]:
    """Apply the default rule to all types at once, instead of asking it for each."""
    roles: dict[str, bool] = {}
    asked = {SubmitBy.MEMBERS: policy.is_member, SubmitBy.ADMINS: policy.is_organization_admin}
    for role in {kind.submit_by for kind in kinds}:
        roles[role] = any(asked[SubmitBy(role)](user, tenant) for tenant in organizations)
    return [kind for kind in kinds if roles[kind.submit_by] and holds(user, kind.requires_permission)]
