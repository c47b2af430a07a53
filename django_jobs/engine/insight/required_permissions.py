"""Whether the permissions that job types require exist, so that somebody beside system admins can have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string

from django_jobs.engine.store import database

#: What a backend may override to grant what has no row.
_WAYS: Final = (
    "has_perm",
    "get_all_permissions",
    "get_user_permissions",
    "get_group_permissions",
    "_get_permissions",
    "_get_user_permissions",
    "_get_group_permissions",
)


def unknown_permissions(names: Iterable[str]) -> list[str]:
    """Return those of these permissions, such as ``app_label.codename``, that have no row; the blank one needs none.

    None is unknown where the host has a backend, or a user model, that decides in its own way: it may grant what has no
    row.
    """
    asked = sorted({name for name in names if name})
    if not asked or not apps.is_installed("django.contrib.auth") or _decides_otherwise():
        return []
    from django.contrib.auth.models import Permission

    rows = database.rows(Permission).filter(codename__in={name.partition(".")[2] for name in asked})
    known = {f"{label}.{codename}" for label, codename in rows.values_list("content_type__app_label", "codename")}
    return [name for name in asked if name not in known]


def _decides_otherwise() -> bool:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.backends import BaseBackend, ModelBackend
    from django.contrib.auth.models import PermissionsMixin

    backends = [import_string(path) for path in settings.AUTHENTICATION_BACKENDS]
    return _has_own(get_user_model(), "has_perm", PermissionsMixin) or any(
        _has_own(backend, way, BaseBackend, ModelBackend) for backend in backends for way in _WAYS
    )


def _has_own(kind: Any, name: str, *known: Any) -> bool:
    """Return whether a class has this method, and from none of the ``known`` classes."""
    return getattr(kind, name, None) not in (None, *(getattr(item, name, None) for item in known))
