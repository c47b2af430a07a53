"""Checks of organizations, of the system organization, and of the addresses that are told of them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import DatabaseError, transaction
from django.utils.module_loading import import_string

from django_jobs.conf import DEFAULT_ORGANIZATION_MODEL, jobs_settings, organization_model_name
from django_jobs.engine import organizations
from django_jobs.engine.access import AccessPolicy
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.organizations import swapped_from
from django_jobs.engine.store import database
from django_jobs.models import get_organization_model
from django_jobs.mounted_views import find_views

# Checks of the organization model, of its id, and of the access policy, which knows who belongs to whom.


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


# Checks of the organization for work of no tenant.


#: Characters of an id that a job's row holds.
MAX_ID: Final = 140


@register("django_jobs")
def check_system_organization(**kwargs: Any) -> list[CheckMessage]:
    """Require an id, or nothing."""
    name = jobs_settings.SYSTEM_ORGANIZATION
    if name is None or _is_id(name):
        return []
    return [
        Error(
            f"DJANGO_JOBS['SYSTEM_ORGANIZATION'] must be the id of an organization, or None, not {name!r}.",
            hint=f"Give a text of up to {MAX_ID} characters, such as 'SYSTEM', that no tenant has as its id and that "
            "the field can hold which DJANGO_JOBS['ORGANIZATION_ID_FIELD'] names.",
            id="django_jobs.E041",
        )
    ]


@register("django_jobs", "database")
def check_system_organization_exists(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Ask for its row where it cannot be made on the first need: in an organization model of the host's.

    This is no error: ``migrate`` runs the checks of the database first, and may be what makes the row.
    """
    name = jobs_settings.SYSTEM_ORGANIZATION
    is_asked = database.alias() in (databases or []) and name is not None and _is_id(name)
    if not is_asked or organizations.can_be_made() or not _is_missing():
        return []
    return [
        Warning(
            organizations.missing(),
            hint="Only the built-in model gets its row by itself. Let a data migration of yours make it.",
            id="django_jobs.W042",
        )
    ]


def _is_missing() -> bool:
    """Return whether there is no row of it in the model's table; False where that is yet to be migrated."""
    try:
        with transaction.atomic(using=database.alias()):
            return not organizations.rows().exists()
    except DatabaseError:
        return False


def _is_id(name: object) -> bool:
    if isinstance(name, str):
        return bool(name) and is_storable_text(name) and len(name) <= MAX_ID and _fits(name)
    return isinstance(name, int | uuid.UUID) and not isinstance(name, bool) and _fits(name)


def _fits(name: Any) -> bool:
    """Return whether the field of organizations' ids can hold this: a number and a UUID are no texts."""
    try:
        field: Any = get_organization_model()._meta.get_field(str(jobs_settings.ORGANIZATION_ID_FIELD))
        field.to_python(name)
    except FieldDoesNotExist:  # which another check tells
        return True
    except (ValidationError, TypeError, ValueError):
        return False
    return True


# Checks of what the REST API and the websocket need: their settings, and the apps of the API's pages.


SCOPES = ("submit", "submit_items", "status", "list", "search", "cancel", "metrics")
_RATE = re.compile(r"\d+/[smhd][a-z]*\Z")
#: What may stand in an address as it is, and in Django's routes: no space, and nothing with a meaning there.
_PREFIX = re.compile(r"(?![./])[^\s<>?#%\\\x00-\x1f\x7f]+(?<![./])\Z")


@register("django_jobs")
def check_throttle_rates(**kwargs: Any) -> list[CheckMessage]:
    """Require that each rate has the REST framework's form and a scope that exists."""
    rates = jobs_settings.THROTTLE_RATES
    if not isinstance(rates, dict):
        return [_wrong_rate(f"must be a dict, not {rates!r}")]
    unknown = [_wrong_rate(f"has no scope {scope!r}") for scope in rates if scope not in SCOPES]
    return unknown + [
        _wrong_rate(f"[{scope!r}] is no rate: {rate!r}")
        for scope, rate in rates.items()
        if scope in SCOPES and rate is not None and not (isinstance(rate, str) and _RATE.match(rate))
    ]


def _wrong_rate(problem: str) -> CheckMessage:
    return Error(
        f"DJANGO_JOBS['THROTTLE_RATES'] {problem}.",
        hint=f"Scopes are {', '.join(SCOPES)}; a rate is e.g. '100/min', or None for no limit.",
        id="django_jobs.E016",
    )


@register("django_jobs")
def check_websocket_origins(**kwargs: Any) -> list[CheckMessage]:
    """Require whole origins: a part of one would never match a page."""
    origins = jobs_settings.WEBSOCKET_ORIGINS
    # Iterating over a single text would give its letters.
    is_list = isinstance(origins, Iterable) and not isinstance(origins, str | bytes)
    wrong = [origin for origin in origins if not _is_origin(origin)] if is_list else [origins]
    return [
        Error(
            f"DJANGO_JOBS['WEBSOCKET_ORIGINS'] holds {origin!r}, which is no list of origins or no origin.",
            hint="Write a list such as ['https://app.example.com', 'https://*.example.com'], without a path.",
            id="django_jobs.E017",
        )
        for origin in wrong
    ]


def _is_origin(origin: object) -> bool:
    if not isinstance(origin, str):
        return False
    try:
        parts = urlsplit(origin.replace("://*.", "://", 1))
        return bool(parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not parts.path)
    except ValueError:  # no port
        return False


@register("django_jobs")
def check_method_prefix(**kwargs: Any) -> list[CheckMessage]:
    """Require a text that may stand in an address before the names of the method endpoints."""
    prefix = jobs_settings.METHOD_PREFIX
    if isinstance(prefix, str) and _PREFIX.match(prefix):
        return []
    return [
        Error(
            f"DJANGO_JOBS['METHOD_PREFIX'] must be a text that can stand in an address, not {prefix!r}.",
            hint="Write e.g. 'shop.api.jobs': no spaces, none of < > ? # % \\, and no dot or slash around it.",
            id="django_jobs.E030",
        )
    ]


@register("django_jobs")
def check_page_apps(**kwargs: Any) -> list[CheckMessage]:
    """Warn of apps that are not installed although pages of the REST API, which the host mounts, need their templates.

    The REST framework is not loaded for this: who mounts the API has loaded it.
    """
    missing = sorted({name for name in _apps_of_pages() if not apps.is_installed(name)})
    return [
        Warning(
            f"The REST API's pages need {name!r} in INSTALLED_APPS: a browser gets an error instead of them.",
            hint=(
                "Add it; or, for JSON alone, leave BrowsableAPIRenderer out of "
                "REST_FRAMEWORK['DEFAULT_RENDERER_CLASSES']."
            ),
            id="django_jobs.W031",
        )
        for name in missing
    ]


def _apps_of_pages() -> Iterator[str]:
    """Yield the apps from which the pages of the API's mounted views take templates."""
    for view in find_views():
        cls = getattr(view, "cls", None)
        if cls is None or not cls.__module__.startswith("django_jobs.api."):
            continue
        page = import_module("rest_framework.renderers").BrowsableAPIRenderer
        if any(issubclass(renderer, page) for renderer in cls.renderer_classes):
            yield "rest_framework"
            if getattr(cls, "filterset_class", None) is not None:
                yield "django_filters"
