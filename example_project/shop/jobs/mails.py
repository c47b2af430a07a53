from __future__ import annotations

from typing import Any

from django_jobs import JobContext, job_handler
from django_jobs.exceptions import PermanentError
from example_project.shop.notices import NOTICES, WELCOME_SUBJECT, WELCOME_TEXT
from example_project.shop.parameters import EmailReportParameters, NotificationParameters, WelcomeParameters


@job_handler(
    "email_report",
    display_name="Mail a report",
    description="Mails the PDF of the report that it depends on, or that report_job names.",
    submit_by="members",
    parameters=EmailReportParameters,
    default_timeout=60,
    retry_delay=10,
)
def email_report(context: JobContext) -> dict[str, Any]:
    from example_project.shop.finished_jobs import attachment_of, reports_for
    from example_project.shop.mailing import recipients, send

    wanted = context.validated_data
    reports = reports_for(context, wanted.get("report_job"))
    files = [attachment_of(report) for report in reports]
    context.update_progress(50, "Sending")
    subject = wanted.get("subject") or f"Sales report {', '.join(report.job_id for report in reports)}"
    return send(context, recipients(context), subject, wanted["message"], files)


@job_handler(
    "email_notification",
    display_name="Mail a short notice",
    description="Tells of the end of the job that it depends on.",
    submit_by="members",
    parameters=NotificationParameters,
    default_timeout=60,
    retry_delay=10,
)
def email_notification(context: JobContext) -> dict[str, Any]:
    from example_project.shop.finished_jobs import parents_of
    from example_project.shop.mailing import recipients, send

    notice = NOTICES[context.validated_data["template"]]
    parents = parents_of(context, notice.about)
    if not parents:
        raise PermanentError(f"Nothing to tell of: make the job depend on one of the type {notice.about}.")
    facts = parents[0].result
    return send(context, recipients(context), notice.subject.format(**facts), notice.text.format(**facts))


@job_handler(
    "send_welcome_email",
    display_name="Welcome a customer",
    submit_by="members",
    parameters=WelcomeParameters,
    default_timeout=60,
    retry_delay=10,
)
def send_welcome_email(context: JobContext) -> dict[str, Any]:
    from example_project.shop.mailing import send
    from example_project.shop.models import Customer

    wanted = {"pk": context.validated_data["customer"], "organization_id": context.organization_pk}
    # DoesNotExist is a permanent error: no retry finds a customer who is not there.
    customer = Customer.objects.select_related("organization").get(**wanted)
    words = {"name": customer.name, "shop": str(customer.organization)}
    return send(context, [customer.email], WELCOME_SUBJECT.format(**words), WELCOME_TEXT.format(**words))
