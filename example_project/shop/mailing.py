"""Mails that jobs send, through Django's mail API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.core.mail import EmailMessage

from django_jobs.exceptions import PermanentError
from django_jobs.models import Job, Membership

if TYPE_CHECKING:
    from django_jobs import JobContext

DOMAIN: Final = "shop.example"


class Attachment(NamedTuple):
    filename: str
    content: bytes
    mimetype: str


def send(
    context: JobContext, to: Sequence[str], subject: str, text: str, attachments: Sequence[Attachment] = ()
) -> dict[str, Any]:
    """Send one mail for the job and return what became of it.

    A worker may die between the sending and the end of the job, and then the mail goes out again. Its Message-ID is the
    same in every attempt, so that mail servers recognize the second one.
    """
    message_id = f"<{context.job_id}@{DOMAIN}>"
    message = EmailMessage(subject, text, to=to, headers={"Message-ID": message_id})
    for attachment in attachments:
        message.attach(*attachment)
    with context.shielded():
        message.send()
    return {"to": list(to), "message_id": message_id, "attachments": [item.filename for item in attachments]}


def recipients(context: JobContext) -> list[str]:
    """Return the addresses in the parameters, else the job owner's, else those of the organization's admins."""
    named: list[str] | None = context.validated_data.get("to")
    if named:
        return named
    job = Job.objects.select_related("owner").by_id(context.job_id)
    if job.owner is not None and job.owner.email:
        return [job.owner.email]
    admins = Membership.objects.filter(
        organization=job.organization_id, role=Membership.Role.ADMIN, user__is_active=True
    )
    found = sorted(admins.exclude(user__email="").values_list("user__email", flat=True))
    if not found:
        raise PermanentError("Nobody to write to: give 'to', or an admin of the organization an address.")
    return found
