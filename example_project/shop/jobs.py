"""Handlers of the shop's job types. The PDF library, which is slow to import, is imported when a job needs it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Final

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.mail import EmailMessage
from django.db.models import Q, Sum

from django_jobs import JobContext, PermanentError, create_batch, job_handler
from django_jobs.models import Membership
from example_project.shop import parameters, providers
from example_project.shop.models import Customer, Order, Product, ReportRequest, last_full_month, month_of

CENT: Final = Decimal("0.01")

# Reports, and mails with what earlier jobs returned.


@job_handler(
    "generate_report",
    display_name="Sales report as PDF (by its other name)",
    submit_by="members",
    parameters=parameters.ReportParameters,
)
@job_handler(
    "pdf_generation",
    display_name="Sales report as PDF",
    description="The organization's orders of a date range: their total and every order.",
    submit_by="members",
    parameters=parameters.ReportParameters,
    schedule=settings.NIGHTLY_REPORT,
)
def pdf_generation(context: JobContext) -> dict[str, Any]:
    """Make the sales report of the job's organization, and note its file in a report request if one is given."""
    from example_project.shop.reports import draw_report

    wanted = context.validated_data
    first, last = wanted.get("date_range") or last_full_month(context.organization_pk)
    context.update_progress(0, "Reading orders")

    def page_done(page: int, pages: int) -> None:
        # The rest is for storing the file.
        context.update_progress(99 * page // pages, f"Page {page} of {pages}")

    content, facts = draw_report(context.get_organization(), first, last, page_done)
    output_path = context.save_output(f"sales-{first}-to-{last}.pdf", content)
    if "callback_name" in wanted:
        # By the tenant's key: parameters are what somebody typed. The update may be repeated, as the job may be.
        requests = ReportRequest.objects.filter(organization_id=context.organization_pk, name=wanted["callback_name"])
        if not requests.update(pdf_file=output_path):
            raise PermanentError(f"{context.organization} has no report request {wanted['callback_name']!r}.")
    return {"output_reference": output_path, **facts}


@job_handler(
    "email_report",
    display_name="Mail a report",
    submit_by="members",
    parameters=parameters.MailParameters,
)
def email_report(context: JobContext) -> dict[str, Any]:
    references = [result["output_reference"] for result in context.parents.values() if "output_reference" in result]
    if not references:
        raise PermanentError("No report to send: make the job depend on a report.")
    context.update_progress(50, "Sending")
    return send(context, recipients(context), "Sales report", "Your report is attached.", references)


@job_handler(
    "email_notification",
    display_name="Mail a short notice",
    submit_by="members",
    parameters=parameters.NotificationParameters,
)
def email_notification(context: JobContext) -> dict[str, Any]:
    fax = next((result for result in context.parents.values() if "receipt" in result), None)
    if fax is None:
        raise PermanentError("Nothing to tell of: make the job depend on one of the type fax_send.")
    text = f"{fax['document']} went to {fax['fax_number']}, receipt {fax['receipt']}."
    return send(context, recipients(context), f"Your fax to {fax['fax_number']} was sent", text)


@job_handler(
    "send_welcome_email",
    display_name="Welcome a customer",
    submit_by="members",
    parameters=parameters.CustomerParameters,
)
def send_welcome_email(context: JobContext) -> dict[str, Any]:
    customer, shop = customer_of(context), context.get_organization()
    text = f"Dear {customer.name},\n\nthank you for your interest in {shop}.\n"
    return send(context, [customer.email], f"Welcome to {shop}", text)


def customer_of(context: JobContext) -> Customer:
    # DoesNotExist is a permanent error: no retry finds a customer who is not there.
    return Customer.objects.get(pk=context.validated_data["customer"], organization_id=context.organization_pk)


def send(
    context: JobContext, to: list[str], subject: str, text: str, references: list[str] | None = None
) -> dict[str, Any]:
    """Send one mail with the files of these references, and return what became of it.

    A worker may die between the sending and the end of the job, and then the mail goes out again. Its Message-ID is the
    same in every attempt, so that mail servers recognize the second one.
    """
    message_id = f"<{context.job_id}@shop.example>"
    message = EmailMessage(subject, text, to=to, headers={"Message-ID": message_id})
    for reference in references or ():
        with default_storage.open(reference) as file:
            message.attach(PurePosixPath(reference).name, file.read(), "application/pdf")
    with context.shielded():
        message.send()
    return {"to": to, "message_id": message_id, "attachments": [attached[0] for attached in message.attachments]}


def recipients(context: JobContext) -> list[str]:
    """Return the addresses in the parameters, else those of the organization's admins."""
    admins = Membership.objects.filter(organization=context.organization_pk, role="admin", user__is_active=True)
    addresses = context.validated_data.get("to") or sorted(
        admins.exclude(user__email="").values_list("user__email", flat=True)
    )
    if not addresses:
        raise PermanentError("Nobody to write to: give 'to', or an admin of the organization an address.")
    return list(addresses)


# Providers that fail now and then.


@job_handler(
    "fax_send",
    display_name="Send a fax",
    description="By a pretended provider that fails now and then; the end of the number decides how.",
    submit_by="members",
    parameters=parameters.FaxParameters,
    max_retries=3,
    retry_delay=2,
    # A line takes one fax at a time, and the provider two in a second from all of us.
    concurrency_key="fax_number",
    max_starts=120,
    max_starts_window=60,
)
def fax_send(context: JobContext) -> dict[str, Any]:
    """Send a fax. The engine reads the provider's HTTP errors itself."""
    number, document = context.validated_data["fax_number"], context.validated_data["document"]
    context.update_progress(10, f"Dialing {number}")
    receipt = providers.send_fax(number, key=context.job_id, attempt=context.attempt)
    return {"fax_number": number, "document": document, "receipt": receipt}


@job_handler(
    "catalog_publish",
    display_name="Publish the catalog",
    description="Puts every product on sale at a pretended marketplace, one after the other.",
    submit_by="members",
    parameters=parameters.PublishParameters,
    default_timeout=900,
    retry_delay=5,
    deduplication_window=10,
    # Two of one shop would write over each other.
    max_running_per_organization=1,
    # While the marketplace is down, one job in ten seconds asks whether it is back, and no other spends its retries.
    breaker_failures=3,
    breaker_pause=10,
)
def catalog_publish(context: JobContext) -> dict[str, Any]:
    """Publish the products one by one. It reports progress before each, and stops there when it is canceled."""
    products = list(Product.objects.filter(organization_id=context.organization_pk))
    for done, product in enumerate(products):
        context.update_progress(100 * done // len(products), f"{done + 1} of {len(products)}: {product.name}")
        providers.publish(product.sku, key=context.job_id, seconds=context.validated_data["seconds"])
    return {"published": len(products)}


@job_handler(
    "invoice_run",
    display_name="Invoice run",
    description="Charges, books and mails an invoice for each of the latest orders, in steps that are not done again.",
    submit_by="members",
    parameters=parameters.InvoiceRunParameters,
    default_timeout=600,
    # In the demo its processes are killed again and again.
    max_retries=30,
    retry_delay=0,
)
def invoice_run(context: JobContext) -> dict[str, Any]:
    """Do each invoice once, whatever dies meanwhile.

    Which invoices these are is a step too: an attempt that finds newer orders goes on with the same ones.
    """
    wanted = context.validated_data
    numbers = context.step("list the orders", latest_orders, context.organization_pk, wanted["orders"])
    run = wanted.get("run") or context.job_id
    for done, number in enumerate(numbers):
        context.update_progress(100 * done // len(numbers), f"Invoice {done + 1} of {len(numbers)}: {number}")
        for service in providers.SERVICES:
            step = f"{service} {number}"
            # A process may die after the provider did it, and before its receipt is stored. Then the same key is sent.
            key = f"{context.job_id} {step}"
            context.step(step, providers.ask, service, number, key=key, run=run, seconds=wanted["seconds"])
    return {"invoices": len(numbers)}


def latest_orders(organization_pk: Any, count: int) -> list[str]:
    orders = Order.objects.filter(organization_id=organization_pk)
    return list(orders.values_list("number", flat=True)[:count])


# Many small jobs.


@job_handler(
    "process_item",
    display_name="Count a product's sales",
    submit_by="members",
    parameters=parameters.ItemParameters,
    default_priority="Low",
)
def process_item(context: JobContext) -> dict[str, Any]:
    item_id = context.validated_data["item_id"]
    products = Product.objects.filter(Q(sku=item_id) | Q(name=item_id), organization_id=context.organization_pk)
    product = products.first()
    if product is None:
        raise PermanentError(f"{context.organization} sells no {item_id!r}.")
    sold = product.orders.aggregate(units=Sum("quantity", default=0), revenue=Sum("total", default=Decimal(0)))
    return {"sku": product.sku, "units": sold["units"], "revenue": str(sold["revenue"].quantize(CENT))}


@job_handler(
    "bulk_statements",
    display_name="Statements for all customers",
    description="Submits a customer_statement for each customer with orders in a month, as a batch.",
    submit_by="members",
    parameters=parameters.MonthParameters,
)
def bulk_statements(context: JobContext) -> dict[str, Any]:
    """Submit one small job for each customer, at Low priority, so that nobody else waits for them."""
    days = month_for(context)
    month = f"{days[0]:%Y-%m}"
    orders = Order.objects.filter(organization_id=context.organization_pk, ordered_on__range=days)
    customers = orders.order_by("customer").values_list("customer", flat=True).distinct()
    # A second attempt gets the batch of the first one, and goes on with it. What was submitted is given back.
    with create_batch(context.get_organization(), name=f"Statements of {month}") as batch:
        batch.submit_many(
            {
                "job_type": "customer_statement",
                "parameters": {"customer": customer, "month": month},
                "unique_key": f"{context.job_id} {customer}",
                "on_duplicate": "return",
            }
            for customer in customers
        )
    return {"month": month, "statements": len(customers), "batch": batch.batch_id}


@job_handler(
    "customer_statement",
    display_name="Statement for a customer",
    parameters=parameters.StatementParameters,
    default_priority="Low",
    deduplication_window=86_400,
)
def customer_statement(context: JobContext) -> dict[str, Any]:
    customer, days = customer_of(context), month_for(context)
    orders = list(customer.orders.filter(ordered_on__range=days).order_by("ordered_on", "id"))
    total = sum((order.total for order in orders), Decimal("0.00"))
    lines = [
        f"Statement for {customer.name}, {customer.city}, {days[0]} to {days[1]}",
        *(f"{order.ordered_on}  {order.number:<20}{order.total:>12,.2f}" for order in orders),
        f"{'Total':<32}{total:>12,.2f}",
    ]
    reference = context.save_output(f"statement-{days[0]:%Y-%m}.txt", "\n".join([*lines, ""]))
    return {"output_reference": reference, "customer": customer.name, "total": str(total)}


def month_for(context: JobContext) -> tuple[date, date]:
    month = context.validated_data.get("month")
    return month_of(date.fromisoformat(f"{month}-01")) if month else last_full_month(context.organization_pk)
