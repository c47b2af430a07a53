"""System checks: what is wrong with the host's settings, before it costs a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.files.storage import FileSystemStorage
from django.utils.module_loading import import_string

from django_jobs.conf import (
    DEFAULT_ORGANIZATION_MODEL,
    DEFAULTS,
    jobs_settings,
    organization_model_name,
    output_storage,
)
from django_jobs.engine.access import AccessPolicy
from django_jobs.models import get_organization_model
from django_jobs.statuses import Priority


@register("django_jobs")
def check_setting_names(**kwargs: Any) -> list[CheckMessage]:
    """Every key of DJANGO_JOBS is one that we read."""
    unknown = sorted(set(getattr(settings, "DJANGO_JOBS", {})) - set(DEFAULTS))
    return [
        Warning(
            f"DJANGO_JOBS has an unknown setting {name!r}.",
            hint=f"Known are: {', '.join(sorted(DEFAULTS))}.",
            id="django_jobs.W001",
        )
        for name in unknown
    ]


@register("django_jobs")
def check_queues(**kwargs: Any) -> list[CheckMessage]:
    """Each priority has its queue, and each queue its connection in RQ_QUEUES."""
    queues = jobs_settings.QUEUES
    missing = [label for label in Priority.labels if label not in queues]
    if missing:
        return [
            Error(
                f"DJANGO_JOBS['QUEUES'] names no queue for {', '.join(missing)}.",
                hint="Map each of Critical, High, Normal and Low to an RQ queue.",
                id="django_jobs.E001",
            )
        ]
    configured = getattr(settings, "RQ_QUEUES", {})
    return [
        Error(
            f"RQ_QUEUES does not define the queue {name!r} of priority {label}.",
            hint="Add it to RQ_QUEUES; all four queues use the same connection.",
            id="django_jobs.E002",
        )
        for label, name in queues.items()
        if name not in configured
    ]


@register("django_jobs")
def check_access_policy(**kwargs: Any) -> list[CheckMessage]:
    """A swapped organization model needs a policy that knows it."""
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
def check_handler_modules(**kwargs: Any) -> list[CheckMessage]:
    """The modules are a list: of one text each letter would count."""
    modules = jobs_settings.HANDLER_MODULES
    if isinstance(modules, list | tuple | set | frozenset) and all(isinstance(name, str) for name in modules):
        return []
    return [
        Error(
            f"DJANGO_JOBS['HANDLER_MODULES'] must be a list of module names, not {modules!r}.",
            hint='For a single one write ("billing.tasks",).',
            id="django_jobs.E005",
        )
    ]


@register("django_jobs")
def check_declared_twice(**kwargs: Any) -> list[CheckMessage]:
    """Each job type is declared by one function."""
    from django_jobs.engine import declarations

    return [
        Error(
            f"The job type {name!r} is declared more than once: by {' and by '.join(places)}.",
            hint="Give one of them another name.",
            id="django_jobs.E006",
        )
        for name, places in declarations.duplicates().items()
    ]


@register("django_jobs")
def check_declarations(**kwargs: Any) -> list[CheckMessage]:
    """What @job_handler says can be stored, and its function can be found by its path."""
    from django_jobs.engine import declarations, declared_types

    return [
        Error(
            f"@job_handler({declaration.type_name!r}) of {declaration.place}: {problem}",
            hint="A handler is a function of a module's top level; its keywords are the fields of a Job Type.",
            obj=declaration.path,
            id="django_jobs.E007",
        )
        for declaration in declarations.declared()
        for problem in declared_types.problems(declaration)
    ]


@register("django_jobs", "database")
def check_database(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """MySQL is refused: it lacks what the engine builds on."""
    from django.db import connections, router

    from django_jobs.models import Job

    alias = router.db_for_write(Job)
    if alias not in (databases or []):
        return []
    connection: Any = connections[alias]
    if connection.vendor == "mysql" and not connection.mysql_is_mariadb:
        return [
            Error(
                "django_jobs does not run on MySQL.",
                hint="Use PostgreSQL 14 or later, MariaDB 10.6 or later, or SQLite.",
                id="django_jobs.E004",
            )
        ]
    return []


@register("django_jobs")
def check_policy_class(**kwargs: Any) -> list[CheckMessage]:
    """The access policy can be imported, and is one."""
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
    """With a host's own tenants, what the built-in policy says of Membership is no answer."""
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


@register("django_jobs")
def check_organization_id_field(**kwargs: Any) -> list[CheckMessage]:
    """An organization's id names one organization."""
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


@register("django_jobs", Tags.security)
def check_output_storage(**kwargs: Any) -> list[CheckMessage]:
    """What handlers save is read through us, where permission is checked, and not by a URL of the storage's own."""
    name = jobs_settings.OUTPUT_STORAGE
    try:
        storage = output_storage()
    except Exception as error:  # noqa: BLE001  (the host's storage may raise anything while it is made)
        text = f"DJANGO_JOBS['OUTPUT_STORAGE'] names {name!r}, which cannot be used: {error}"
        return [Error(text, hint="Name an alias of STORAGES.", id="django_jobs.E013")]
    reason = _public_because(storage)
    if reason is None:
        return []
    return [
        Warning(
            f"The files of jobs are kept in the storage {name!r}, which seems to be served publicly: {reason}.",
            hint="Name a private storage of its own in STORAGES, and that alias in DJANGO_JOBS['OUTPUT_STORAGE'].",
            id="django_jobs.W010",
        )
    ]


def _public_because(storage: Any) -> str | None:
    """What speaks for it, as far as settings tell; None when nothing does."""
    if isinstance(storage, FileSystemStorage):
        place = Path(storage.location).resolve()
        if _lies_in(place, "STATIC_ROOT"):
            return "it lies in STATIC_ROOT"
        # Django gives an unset MEDIA_URL as "/".
        if str(settings.MEDIA_URL) not in {"", "/"} and _lies_in(place, "MEDIA_ROOT"):
            return "it lies in MEDIA_ROOT, and MEDIA_URL is set"
        return None
    # django-storages' names.
    if str(getattr(storage, "default_acl", None) or "").startswith("public"):
        return "its default_acl is public"
    return "its URLs are not signed" if getattr(storage, "querystring_auth", True) is False else None


def _lies_in(place: Path, setting: str) -> bool:
    root: Any = getattr(settings, setting, None)
    return bool(root) and place.is_relative_to(Path(root).resolve())
