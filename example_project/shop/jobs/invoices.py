from __future__ import annotations

from typing import Any

from django_jobs import JobContext, job_handler
from example_project.shop.parameters import InvoiceRunParameters


@job_handler(
    "invoice_run",
    display_name="Invoice run",
    description="Charges, books and mails an invoice for each of the latest orders, in steps that are not done again.",
    submit_by="members",
    parameters=InvoiceRunParameters,
    default_timeout=600,
    # In the demo its processes are killed again and again.
    max_retries=30,
    retry_delay=0,
)
def invoice_run(context: JobContext) -> dict[str, Any]:
    """Do each invoice once, whatever dies meanwhile.

    Which invoices these are is a step too: an attempt that finds newer orders goes on with the same ones.
    """
    from example_project.shop.providers import SERVICES, ask

    wanted = context.validated_data
    numbers = context.step("list the orders", latest_orders, context.organization_pk, wanted["orders"])
    run = wanted.get("run") or context.job_id
    for done, number in enumerate(numbers):
        context.update_progress(100 * done // len(numbers), f"Invoice {done + 1} of {len(numbers)}: {number}")
        for service in SERVICES:
            step = f"{service} {number}"
            # A process may die after the provider did it, and before its receipt is stored. Then the same key is sent.
            key = f"{context.job_id} {step}"
            context.step(step, ask, service, number, key=key, run=run, seconds=wanted["seconds"])
    return {"invoices": len(numbers)}


def latest_orders(organization_pk: Any, count: int) -> list[str]:
    from example_project.shop.models import Order

    orders = Order.objects.filter(organization_id=organization_pk)
    return list(orders.values_list("number", flat=True)[:count])
