"""Checks of the organization model, of its id, and of the access policy, which knows who belongs to whom."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, Warning, register
from django.utils.module_loading import import_string

from django_jobs.conf import DEFAULT_ORGANIZATION_MODEL, jobs_settings, organization_model_name
from django_jobs.engine.access import AccessPolicy
from django_jobs.engine.organizations import swapped_from
from django_jobs.engine.store import database
from django_jobs.models import get_organization_model


@register("django_jobs")
def check_access_policy(**kwargs: Any) -> list[CheckMessage]:
    """Require an access policy where the organization model is swapped."""
    if organization_model_name() != DEFAULT_ORGANIZATION_MODEL and not jobs_settings.ACCESS_POLICY:
        return [
            Error(
                "DJANGO_JOBS_ORGANIZATION_MODEL is swapped, but DJANGO_JOBS['ACCESS_POLICY'] is not set.",
                hint="Name a subclass of django_jobs.AccessPolicy that knows your organizations and their members.",
                id="django_jobs.E003",
            )
        ]
    return []


@register("django_jobs")
def check_policy_class(**kwargs: Any) -> list[CheckMessage]:
    """Require that the access policy can be imported and is one."""
    path = jobs_settings.ACCESS_POLICY
    if not path:
        return []
    hint = "Give the dotted path of a subclass of django_jobs.AccessPolicy, e.g. 'shop.access.ShopPolicy'."
    try:
        policy = import_string(path)
    except Exception as error:  # noqa: BLE001  (the host's module may raise anything while it loads)
        text = f"DJANGO_JOBS['ACCESS_POLICY'] names {path!r}, which cannot be imported: {error}"
        return [Error(text, hint=hint, id="django_jobs.E010")]
    if isinstance(policy, type) and issubclass(policy, AccessPolicy):
        return _unanswered(path, policy)
    return [
        Error(
            f"DJANGO_JOBS['ACCESS_POLICY'] names {path!r}, which is no AccessPolicy.", hint=hint, id="django_jobs.E011"
        )
    ]


def _unanswered(path: str, policy: type[AccessPolicy]) -> list[CheckMessage]:
    """Return a warning for each method in which the built-in policy answers for the built-in Membership."""
    if organization_model_name() == DEFAULT_ORGANIZATION_MODEL:
        return []
    inherited = [
        name
        for name in ("organizations_of", "is_member", "is_organization_admin")
        if getattr(policy, name) is getattr(AccessPolicy, name)
    ]
    if policy.is_active is AccessPolicy.is_active and not hasattr(get_organization_model(), "is_active"):
        inherited.append("is_active")
    return [
        Warning(
            f"{path} does not override {name}(), which the built-in policy answers for the built-in Organization.",
            hint="Override it; is_system_admin() alone may be inherited.",
            id="django_jobs.W011",
        )
        for name in inherited
    ]


@register("django_jobs", "database")
def check_swapped_late(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Refuse an organization model that was swapped after the first migrate: jobs would get other tenants."""
    if database.alias() not in (databases or []):
        return []
    before = swapped_from()
    if before is None:
        return []
    return [
        Error(
            f"DJANGO_JOBS_ORGANIZATION_MODEL is {organization_model_name()!r}, but the tables were made for the "
            f"organizations in {before!r}. The jobs there would belong to whoever has the same key now.",
            hint="Set it back. To change it, as with the user model: move jobs and memberships to the new keys and the "
            "foreign key of django_jobs_membership to the new table by a migration of your own, or start with an empty "
            "database.",
            id="django_jobs.E019",
        )
    ]


@register("django_jobs")
def check_organization_id_field(**kwargs: Any) -> list[CheckMessage]:
    """Require that an organization's id names one organization."""
    name, model = str(jobs_settings.ORGANIZATION_ID_FIELD), get_organization_model()
    field: Any = {item.name: item for item in model._meta.fields}.get(name)
    if field is not None and _is_unique(field):
        return []
    problem = "is not unique" if field is not None else "does not exist"
    return [
        Error(
            f"DJANGO_JOBS['ORGANIZATION_ID_FIELD'] is {name!r}, which {problem} on {model._meta.label}.",
            hint="Name a field with unique=True: its value is the organization's id in Python, REST and job rows.",
            id="django_jobs.E012",
        )
    ]


def _is_unique(field: Any) -> bool:
    constraints = field.model._meta.total_unique_constraints
    return bool(field.unique) or any(constraint.fields == (field.name,) for constraint in constraints)
