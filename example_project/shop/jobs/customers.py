from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

from django_jobs import JobContext, PermanentError, job_handler
from example_project.shop.parameters import ImportParameters, MonthParameters, StatementParameters

if TYPE_CHECKING:
    from example_project.shop.models import Upload
    from example_project.shop.periods import Period

#: Submissions in one call, which is all or nothing.
TOGETHER: Final = 5000
DAY: Final = 86_400


@job_handler(
    "csv_import",
    display_name="Import customers",
    description="Customers from an uploaded CSV file; bad rows come back as a file with their line numbers.",
    submit_by="members",
    parameters=ImportParameters,
    default_timeout=600,
)
def csv_import(context: JobContext) -> dict[str, Any]:
    """Store the file's customers in batches. If it is stopped, whole batches remain, and it may run again."""
    from example_project.shop.customer_csv import BadRow, GoodRow, count_rows, read_rows
    from example_project.shop.customer_import import batches, error_file, store_customers

    upload = find_upload(context)
    context.update_progress(0, "Looking at the file")
    with upload.file.open("rb") as file:
        total = count_rows(file)
    bad: list[BadRow] = []
    done = 0
    with upload.file.open("rb") as file:
        for batch in batches(read_rows(file)):
            with context.shielded():
                store_customers(upload.organization_id, [row for row in batch if isinstance(row, GoodRow)])
            bad += [row for row in batch if isinstance(row, BadRow)]
            done += len(batch)
            context.update_progress(99 * done // total, f"{done} of {total} rows")
    result: dict[str, Any] = {"rows": done, "imported": done - len(bad), "bad": len(bad)}
    if bad:
        result["output_reference"] = context.save_output("bad-rows.csv", error_file(bad))
    return result


def find_upload(context: JobContext) -> Upload:
    from example_project.shop.models import Upload

    number = context.validated_data["upload"]
    upload = Upload.objects.filter(pk=number, organization_id=context.organization_pk).first()
    if upload is None or not upload.file.storage.exists(str(upload.file)):
        raise PermanentError(f"{context.organization} has no upload {number}.")
    return upload


@job_handler(
    "bulk_statements",
    display_name="Statements for all customers",
    description="Submits a customer_statement for each customer with orders in a month, as a batch.",
    submit_by="members",
    parameters=MonthParameters,
)
def bulk_statements(context: JobContext) -> dict[str, Any]:
    """Submit one small job for each customer, at Low priority, so that nobody else waits for them."""
    from django_jobs import create_batch
    from example_project.shop.customer_import import batches
    from example_project.shop.statements import customers_with_orders

    period = month_for(context)
    month = f"{period.start:%Y-%m}"
    customers = customers_with_orders(context.organization_pk, period)
    index = {"job_type": "statements_index", "parameters": {"month": month}}
    # A second attempt gets the batch of the first one, and goes on with it.
    batch = create_batch(context.get_organization(), name=f"Statements of {month}", then=index)
    submitted = 0
    for some in batches(customers, TOGETHER):
        submissions = [
            {
                "job_type": "customer_statement",
                "parameters": {"customer": customer, "month": month, "requested_by": context.job_id},
                "priority": "Low",
                "on_duplicate": "return",
            }
            for customer in some
        ]
        batch.submit_many(submissions)  # what was submitted for this very job before is given back
        submitted += len(some)
        context.update_progress(100 * submitted / len(customers), f"{submitted} submitted")
    batch.close()
    return {"month": month, "statements": len(customers), "batch": batch.batch_id}


@job_handler(
    "statements_index",
    display_name="Index of statements",
    description="Submitted when all statements of a batch are there: a file that lists them.",
    parameters=MonthParameters,
    default_timeout=60,
)
def statements_index(context: JobContext) -> dict[str, Any]:
    """List the results of the batch that submitted this job at its end."""
    from django_jobs.models import Job

    batch = context.batch
    if batch is None:
        raise PermanentError("This lists the statements of a batch; it is the batch's `then`.")
    jobs = Job.objects.filter(batch__pk=int(batch.batch_id.rpartition("-")[2])).order_by("pk")
    results = jobs.values_list("result", flat=True).iterator(chunk_size=TOGETHER)
    lines = [
        f"{found['customer']}: {found['orders']} orders, {found['total']}" for found in results if found is not None
    ]
    reference = context.save_output("statements.txt", "\n".join([batch.name, "", *lines, ""]))
    return {"output_reference": reference, "statements": len(lines)}


@job_handler(
    "customer_statement",
    display_name="Statement for a customer",
    description="A customer's orders of a month, as a text file.",
    parameters=StatementParameters,
    default_priority="Low",
    default_timeout=60,
    deduplication_window=DAY,
)
def customer_statement(context: JobContext) -> dict[str, Any]:
    from example_project.shop.models import Customer
    from example_project.shop.statements import write_statement

    customers = Customer.objects.filter(organization_id=context.organization_pk).select_related("organization")
    # DoesNotExist is a permanent error: no retry finds a customer who is not there.
    customer = customers.get(pk=context.validated_data["customer"])
    period = month_for(context)
    text, orders, total = write_statement(customer, period)
    reference = context.save_output(f"statement-{period.start:%Y-%m}.txt", text)
    return {"output_reference": reference, "customer": customer.name, "orders": orders, "total": str(total)}


def month_for(context: JobContext) -> Period:
    from example_project.shop.models import Order
    from example_project.shop.periods import month_of
    from example_project.shop.reports import last_full_month

    month = context.validated_data.get("month")
    if month is None:
        return last_full_month(Order.objects.filter(organization_id=context.organization_pk))
    return month_of(date.fromisoformat(f"{month}-01"))
