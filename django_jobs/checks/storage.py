"""The check that nobody can read the files of jobs without a check of permissions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.files.storage import FileSystemStorage

from django_jobs.conf import jobs_settings, output_storage


@register("django_jobs", Tags.security)
def check_output_storage(**kwargs: Any) -> list[CheckMessage]:
    """Warn of a storage that seems to serve its files by URLs of its own: only our views check permissions."""
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
