"""What is wrong with the project around django_jobs: organizations and their policy, database, files, and apps."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from django import db
from django.apps import apps
from django.conf import settings
from django.core.checks import Tags
from django.core.files.storage import FileSystemStorage
from django.utils.module_loading import import_string

from django_jobs.checks.rows import Facts, Row, failure_of, of_tables
from django_jobs.checks.settings import is_organization_id
from django_jobs.conf import DEFAULT_ORGANIZATION_MODEL, jobs_settings, organization_model_name, output_storage
from django_jobs.engine import organizations
from django_jobs.engine.access import AccessPolicy
from django_jobs.engine.store import database
from django_jobs.models import get_organization_model
from django_jobs.mounted_views import find_views

# The model of organizations, their ids, and the access policy.


def _is_swapped() -> bool:
    return organization_model_name() != DEFAULT_ORGANIZATION_MODEL


def _policy() -> Any:
    """Return the class that the setting names. Raises what the host's module raises while it loads."""
    return import_string(jobs_settings.ACCESS_POLICY) if jobs_settings.ACCESS_POLICY else AccessPolicy


def _unloadable_policy() -> Iterator[Facts]:
    if error := failure_of(_policy):
        yield {"path": jobs_settings.ACCESS_POLICY, "error": str(error)}


def _is_other_class() -> bool:
    return not failure_of(_policy) and not _is_policy(_policy())


def _is_policy(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, AccessPolicy)


def _unanswered() -> Iterator[Facts]:
    """Yield each method in which the built-in policy answers for the built-in Membership, which is not in use."""
    if not _is_swapped() or not jobs_settings.ACCESS_POLICY or failure_of(_policy) or not _is_policy(_policy()):
        return
    names = ["organizations_of", "is_member", "is_organization_admin"]
    if not hasattr(get_organization_model(), "is_active"):
        names.append("is_active")
    for name in names:
        if getattr(_policy(), name) is getattr(AccessPolicy, name):
            yield {"path": jobs_settings.ACCESS_POLICY, "method": name}


def _swapped_late() -> Iterator[Facts]:
    before = organizations.swapped_from()
    if before is not None:
        yield {"model": organization_model_name(), "before": before}


def _ambiguous_id() -> Iterator[Facts]:
    name, model = str(jobs_settings.ORGANIZATION_ID_FIELD), get_organization_model()
    field: Any = {item.name: item for item in model._meta.fields}.get(name)
    if field is None or not _is_unique(field):
        problem = "does not exist" if field is None else "is not unique"
        yield {"field": name, "problem": problem, "model": model._meta.label}


def _is_unique(field: Any) -> bool:
    constraints = field.model._meta.total_unique_constraints
    return bool(field.unique) or any(constraint.fields == (field.name,) for constraint in constraints)


def _missing_system_organization() -> Iterator[Facts]:
    """Ask for its row where it cannot be made on the first need: in an organization model of the host's."""
    name = jobs_settings.SYSTEM_ORGANIZATION
    is_asked = name is not None and is_organization_id(name) and not organizations.can_be_made()
    if is_asked and not organizations.rows().exists():
        yield {"text": organizations.missing()}


# Files of jobs: only our views check permissions.


def _unusable_storage() -> Iterator[Facts]:
    if error := failure_of(output_storage):
        yield {"storage": jobs_settings.OUTPUT_STORAGE, "error": str(error)}


def _public_storage() -> Iterator[Facts]:
    if not failure_of(output_storage) and (reason := _public_because(output_storage())):
        yield {"storage": jobs_settings.OUTPUT_STORAGE, "reason": reason}


def _public_because(storage: Any) -> str | None:
    """Return why the storage seems to be public, as far as settings tell; None if it does not."""
    if isinstance(storage, FileSystemStorage):
        place = Path(storage.location).resolve()
        if _lies_in(place, "STATIC_ROOT"):
            return "it lies in STATIC_ROOT"
        # An unset MEDIA_URL is "/" to Django.
        if str(settings.MEDIA_URL) not in {"", "/"} and _lies_in(place, "MEDIA_ROOT"):
            return "it lies in MEDIA_ROOT, and MEDIA_URL is set"
        return None
    # The attributes are those of the backends of django-storages.
    if str(getattr(storage, "default_acl", None) or "").startswith("public"):
        return "its default_acl is public"
    return "its URLs are not signed" if getattr(storage, "querystring_auth", True) is False else None


def _lies_in(place: Path, setting: str) -> bool:
    root: Any = getattr(settings, setting, None)
    return bool(root) and place.is_relative_to(Path(root).resolve())


# The database, and how it stores moments.


def _is_mysql() -> bool:
    connection: Any = db.connections[database.alias()]
    return connection.vendor == "mysql" and not connection.mysql_is_mariadb


def _lossy_isolation() -> Iterator[Facts]:
    alias = database.alias()
    if not _is_mysql() and database.store_of(alias).hides_changes():
        yield {"alias": alias}


def _local_zone() -> Iterator[Facts]:
    alias = database.alias()
    zone = db.connections[alias].settings_dict.get("TIME_ZONE")
    if zone not in {None, "UTC"}:
        yield {"alias": alias, "zone": zone}


# Apps of the API's pages.


def _apps_of_pages() -> Iterator[str]:
    """Yield the apps from which the pages of the API's mounted views take templates.

    The REST framework is not loaded for this: who mounts the API has loaded it.
    """
    for view in find_views():
        cls = getattr(view, "cls", None)
        if cls is None or not cls.__module__.startswith("django_jobs.api."):
            continue
        page = import_module("rest_framework.renderers").BrowsableAPIRenderer
        if any(issubclass(renderer, page) for renderer in cls.renderer_classes):
            yield "rest_framework"
            if any(hasattr(backend, "to_html") for backend in getattr(cls, "filter_backends", ())):
                yield "django_filters"


_POLICY_HINT: Final = "Give the dotted path of a subclass of django_jobs.AccessPolicy, e.g. 'shop.access.ShopPolicy'."

ROWS: Final = (
    Row(
        "E003",
        "DJANGO_JOBS_ORGANIZATION_MODEL is swapped, but DJANGO_JOBS['ACCESS_POLICY'] is not set.",
        "Name a subclass of django_jobs.AccessPolicy that knows your organizations and their members.",
        lambda: _is_swapped() and not jobs_settings.ACCESS_POLICY,
    ),
    Row(
        "E010",
        "DJANGO_JOBS['ACCESS_POLICY'] names %(path)r, which cannot be imported: %(error)s",
        _POLICY_HINT,
        _unloadable_policy,
    ),
    Row(
        "E011",
        "DJANGO_JOBS['ACCESS_POLICY'] names %(path)r, which is no AccessPolicy.",
        _POLICY_HINT,
        lambda: _is_other_class() and [{"path": jobs_settings.ACCESS_POLICY}],
    ),
    Row(
        "W011",
        "%(path)s does not override %(method)s(), which the built-in policy answers for the built-in Organization.",
        "Override it; is_system_admin() alone may be inherited.",
        _unanswered,
    ),
    Row(
        "E012",
        "DJANGO_JOBS['ORGANIZATION_ID_FIELD'] is %(field)r, which %(problem)s on %(model)s.",
        "Name a field with unique=True: its value is the organization's id in Python, REST and job rows.",
        _ambiguous_id,
    ),
    Row(  # jobs would get other tenants
        "E019",
        "DJANGO_JOBS_ORGANIZATION_MODEL is %(model)r, but the tables were made for the organizations in %(before)r. "
        "The jobs there would belong to whoever has the same key now.",
        "Set it back. To change it, as with the user model: move jobs and memberships to the new keys and the foreign "
        "key of django_jobs_membership to the new table by a migration of your own, or start with an empty database.",
        _swapped_late,
        Tags.database,
    ),
    of_tables(  # no error: ``migrate`` runs the checks of the database first, and may be what makes the row
        "W042",
        "%(text)s",
        "Only the built-in model gets its row by itself. Let a data migration of yours make it.",
        _missing_system_organization,
    ),
    Row(
        "E013",
        "DJANGO_JOBS['OUTPUT_STORAGE'] names %(storage)r, which cannot be used: %(error)s",
        "Name an alias of STORAGES.",
        _unusable_storage,
        Tags.security,
    ),
    Row(
        "W010",
        "The files of jobs are kept in the storage %(storage)r, which seems to be served publicly: %(reason)s.",
        "Name a private storage of its own in STORAGES, and that alias in DJANGO_JOBS['OUTPUT_STORAGE'].",
        _public_storage,
        Tags.security,
    ),
    Row(
        "E004",
        "django_jobs does not run on MySQL.",
        "Use PostgreSQL 14 or later, MariaDB 10.6 or later, or SQLite.",
        _is_mysql,
        Tags.database,
    ),
    Row(
        "E020",
        "DATABASES[%(alias)r] has an isolation level in which equal jobs may be accepted twice.",
        "Leave isolation_level out of its OPTIONS (Django then takes READ COMMITTED), or set "
        "innodb_snapshot_isolation = ON on the server.",
        _lossy_isolation,
        Tags.database,
    ),
    Row(
        "E015",
        "DATABASES[%(alias)r]['TIME_ZONE'] is %(zone)r; django_jobs keeps its times in UTC.",
        "Leave it out. The host's own TIME_ZONE may be anything.",
        _local_zone,
        Tags.database,
    ),
    Row(
        "E008",
        "django_jobs needs aware times.",
        "Set USE_TZ = True, Django's default.",
        lambda: not settings.USE_TZ,
    ),
    Row(
        "W031",
        "The REST API's pages need %(app)r in INSTALLED_APPS: a browser gets an error instead of them.",
        "Add it; or, for JSON alone, leave BrowsableAPIRenderer out of REST_FRAMEWORK['DEFAULT_RENDERER_CLASSES'].",
        lambda: [{"app": name} for name in sorted(set(_apps_of_pages())) if not apps.is_installed(name)],
    ),
)
