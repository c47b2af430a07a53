from __future__ import annotations

from typing import Any

from django_jobs import JobContext, PermanentError, RetryLater, TransientError, job_handler
from example_project.shop.fax_provider import LineBusyError, NotInServiceError, TooManyFaxesError, send_fax
from example_project.shop.parameters import FaxParameters


@job_handler(
    "fax_send",
    display_name="Send a fax",
    description="By a pretended provider that fails now and then; the end of the number decides how.",
    submit_by="members",
    parameters=FaxParameters,
    default_timeout=60,
    max_retries=3,
    retry_delay=2,
    # A line takes one fax at a time, and the provider two in a second from all of us.
    concurrency_key="fax_number",
    max_starts=120,
    max_starts_window=60,
)
def fax_send(context: JobContext) -> dict[str, Any]:
    """Send a fax, and translate the provider's errors. The engine reads its HTTP errors itself."""
    wanted = context.validated_data
    number, document = wanted["fax_number"], wanted["document"]
    context.update_progress(10, f"Dialing {number}")
    try:
        receipt = send_fax(number, document, key=context.job_id, attempt=context.attempt, seed=wanted["seed"])
    except LineBusyError as error:
        raise TransientError(f"{error}.") from error
    except NotInServiceError as error:
        raise PermanentError(f"{error}.") from error
    except TooManyFaxesError as error:
        raise RetryLater(error.retry_after, str(error)) from error
    return {"fax_number": number, "document": document, "pages": receipt.pages, "receipt": receipt.number}
