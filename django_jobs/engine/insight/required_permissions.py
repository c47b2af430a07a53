"""Whether the permissions that job types require exist, so that somebody beside system admins can have them."""

from __future__ import annotations

from collections.abc import Iterable

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string

from django_jobs.engine.store import database


def unknown_permissions(names: Iterable[str]) -> list[str]:
    """Return those of these permissions, such as ``app_label.codename``, that have no row; the blank one needs none.

    None is unknown where the host has a backend that decides in its own way: it may grant what has no row.
    """
    asked = sorted({name for name in names if name})
    if not asked or not apps.is_installed("django.contrib.auth") or _decides_otherwise():
        return []
    from django.contrib.auth.models import Permission

    rows = database.rows(Permission).filter(codename__in={name.partition(".")[2] for name in asked})
    known = {f"{label}.{codename}" for label, codename in rows.values_list("content_type__app_label", "codename")}
    return [name for name in asked if name not in known]


def _decides_otherwise() -> bool:
    from django.contrib.auth.backends import BaseBackend, ModelBackend

    ways = [getattr(import_string(path), "has_perm", None) for path in settings.AUTHENTICATION_BACKENDS]
    return any(way not in (None, BaseBackend.has_perm, ModelBackend.has_perm) for way in ways)
