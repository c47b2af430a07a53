"""Handing out the files that handlers saved."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from django.core.exceptions import SuspiciousFileOperation

from django_jobs.api.errors import NoOutput, OrganizationInactive
from django_jobs.conf import output_storage
from django_jobs.downloads import Download
from django_jobs.engine.access import get_policy
from django_jobs.engine.execution.context import output_belongs_to
from django_jobs.engine.store import database
from django_jobs.exceptions import PermissionDenied
from django_jobs.models import Job, get_organization_model


def read_output(job: Job, user: Any) -> Download:
    """Return the job's file as a download.

    PermissionDenied when the access policy keeps it from the user, OrganizationInactive while the organization is not
    active, NoOutput when the job saved no file or the file is gone.
    """
    if not get_policy().can_read_output(user, job):
        raise PermissionDenied(f"You may not read the output of {job.name}.")
    if _is_withheld(job):
        raise OrganizationInactive
    reference = job.output_reference
    if not output_belongs_to(reference, job.organization_id, job.name):
        raise NoOutput
    return Download(_open(reference), PurePosixPath(reference).name)


def _is_withheld(job: Job) -> bool:
    organization = database.rows(get_organization_model()).filter(pk=job.organization_id).first()
    return organization is not None and not get_policy().is_active(organization)


def _open(reference: str) -> Any:
    try:
        return output_storage().open(reference, "rb")
    except (FileNotFoundError, SuspiciousFileOperation) as error:
        raise NoOutput from error
