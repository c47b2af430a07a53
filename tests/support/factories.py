"""Rows that could exist: they pass the models' own validation, and what belongs together is made together.

Jobs are not made here: a test submits them, so that their rows are always the engine's work.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, Final

from django.contrib.auth.models import Permission, User

from django_jobs.models import JobType, Membership, Organization
from tests.support.slots import handler_path

PASSWORD: Final = "correct horse battery staple"
_numbers = itertools.count(1)


def make_organization(**fields: Any) -> Organization:
    """An active organization; without a ``name`` it gets the next ``ORG-…``."""
    organization = Organization(**fields)
    organization.full_clean()
    organization.save()
    return organization


def make_job_type(handler: str = "do_nothing", **fields: Any) -> JobType:
    """A job type that runs the function of ``tests.support.handlers`` that ``handler`` names.

    It refuses no duplicates unless asked to, so that tests may submit the same thing twice. In an address of the admin
    its name means another one, unless that is quoted there: ``_23`` is ``#``.
    """
    values = {
        "type_name": f"{handler}_23_{next(_numbers)}",
        "handler_method": handler_path(handler),
        "deduplication_window": 0,
        **fields,
    }
    job_type = JobType(**values)
    job_type.full_clean()
    job_type.save()
    return job_type


def make_user(
    username: str | None = None,
    *,
    member_of: Iterable[Organization] = (),
    admin_of: Iterable[Organization] = (),
    permissions: Iterable[str] = (),
    **fields: Any,
) -> User:
    """A user, with a role in organizations and ``permissions`` named ``app_label.codename``."""
    name = username or f"user-{next(_numbers)}"
    user = User.objects.create_user(name, f"{name}@example.com", PASSWORD, **fields)
    for role, organizations in ((Membership.Role.MEMBER, member_of), (Membership.Role.ADMIN, admin_of)):
        for organization in organizations:
            Membership.objects.create(user=user, organization=organization, role=role)
    for permission in permissions:
        app_label, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app_label, codename=codename))
    return user


def make_system_admin(username: str | None = None) -> User:
    """Somebody who may do everything with every organization's jobs, without being a superuser."""
    return make_user(username, permissions=["django_jobs.manage_all_jobs"])
