"""Files that handlers save: in a folder for each tenant and job, under names that nobody can guess."""

from __future__ import annotations

import re
import secrets
from pathlib import PurePosixPath
from typing import IO

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile, File
from django.utils.text import get_valid_filename

from django_jobs.conf import output_storage

ROOT = "django_jobs"
#: Bytes of UTF-8. File systems take 255, of which a storage may need some to make a name unique.
MAX_NAME_BYTES = 200
#: Characters of an ``output_reference``.
MAX_REFERENCE = 1_000


def folder(organization_pk: object, job_id: str) -> str:
    """Return the folder that holds a job's files."""
    return f"{ROOT}/{organization_pk}/{job_id}"


def safe_basename(filename: str) -> str:
    """Return the last part of a file name, in characters that every storage takes; of a long one the end."""
    name = PurePosixPath(str(filename).replace("\\", "/")).name
    end = name.encode(errors="replace")[-MAX_NAME_BYTES:].decode(errors="ignore")
    try:
        return str(get_valid_filename(re.sub(r"^\.+", "", end)))
    except SuspiciousFileOperation:  # nothing is left of it
        return "output"


def save(organization_pk: object, job_id: str, filename: str, content: bytes | str | IO[bytes]) -> str:
    """Store the content and return its reference, a name in the output storage."""
    path = f"{folder(organization_pk, job_id)}/{secrets.token_urlsafe(16)}/{safe_basename(filename)}"
    if isinstance(content, str):
        content = content.encode()
    file = ContentFile(content) if isinstance(content, bytes) else File(content)
    return str(output_storage().save(path, file))


def belongs_to(reference: str, organization_pk: object, job_id: str) -> bool:
    """Return whether ``save`` made this reference for this job; any other reference is only text."""
    prefix = folder(organization_pk, job_id) + "/"
    rest = reference[len(prefix) :]
    return reference.startswith(prefix) and bool(re.fullmatch(r"[A-Za-z0-9_-]{22}/[^/\\]+", rest))


def _files_in(path: str) -> list[str]:
    """Return the names of the files in a folder; none where it was deleted meanwhile."""
    try:
        return list(output_storage().listdir(path)[1])
    except (FileNotFoundError, NotADirectoryError):
        return []


def jobs_with_files(organization_pk: object) -> list[str]:
    """Return the ids of the tenant's jobs that have a folder."""
    try:
        return list(output_storage().listdir(f"{ROOT}/{organization_pk}")[0])
    except (FileNotFoundError, NotADirectoryError):
        return []


def count_files(organization_pk: object, job_id: str) -> int:
    """Return how many files a job has; each lies in a folder of its own."""
    try:
        return len(output_storage().listdir(folder(organization_pk, job_id))[0])
    except (FileNotFoundError, NotADirectoryError):
        return 0


def delete_all(organization_pk: object, job_id: str) -> int:
    """Delete the files of a job and return how many there were."""
    storage = output_storage()
    count = 0
    try:
        tokens, _ = storage.listdir(folder(organization_pk, job_id))
    except (FileNotFoundError, NotADirectoryError):
        return 0
    for token in tokens:
        path = f"{folder(organization_pk, job_id)}/{token}"
        for name in _files_in(path):
            storage.delete(f"{path}/{name}")
            count += 1
        storage.delete(path)
    storage.delete(folder(organization_pk, job_id))
    return count
