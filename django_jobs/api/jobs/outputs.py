"""Handing out the files that handlers saved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import SuspiciousFileOperation
from django.http import FileResponse

from django_jobs.api.errors import NoOutput, OrganizationInactive
from django_jobs.conf import output_storage
from django_jobs.engine.access import get_policy
from django_jobs.engine.execution.outputs import belongs_to
from django_jobs.engine.store import database
from django_jobs.exceptions import PermissionDenied
from django_jobs.models import Job, get_organization_model


class Download(FileResponse):
    """Sent piece by piece under ASGI too, where Django would read the whole file first."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.file_to_stream is None:  # a middleware has put something else in its place
            async for part in super().__aiter__():
                yield part
            return
        read = sync_to_async(self.file_to_stream.read)
        while chunk := await read(self.block_size):
            yield chunk


def read_output(job: Job, user: Any) -> Download:
    """The job's file as a download that no browser runs, guesses about or keeps for others."""
    if not get_policy().can_read_output(user, job):
        raise PermissionDenied(f"You may not read the output of {job.name}.")
    if _is_withheld(job):
        raise OrganizationInactive
    reference = job.output_reference
    if not belongs_to(reference, job.organization_id, job.name):
        raise NoOutput
    return Download(
        _open(reference),
        as_attachment=True,
        filename=PurePosixPath(reference).name,
        headers={
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )


def _is_withheld(job: Job) -> bool:
    organization = database.rows(get_organization_model()).filter(pk=job.organization_id).first()
    return organization is not None and not get_policy().is_active(organization)


def _open(reference: str) -> Any:
    try:
        return output_storage().open(reference, "rb")
    except (FileNotFoundError, SuspiciousFileOperation) as error:
        raise NoOutput from error
