from __future__ import annotations

from decimal import Decimal
from typing import Any

from django_jobs import JobContext, PermanentError, job_handler
from example_project.shop.parameters import ItemParameters


@job_handler(
    "process_item",
    display_name="Count a product's sales",
    description="How often a product was sold, and for how much.",
    submit_by="members",
    parameters=ItemParameters,
    default_priority="Low",
    default_timeout=60,
)
def process_item(context: JobContext) -> dict[str, Any]:
    from django.db.models import Q, Sum

    from example_project.shop.models import Product
    from example_project.shop.reports import CENT

    item_id = context.validated_data["item_id"]
    products = Product.objects.filter(organization_id=context.organization_pk)
    product = products.filter(Q(sku=item_id) | Q(name=item_id)).first()
    if product is None:
        raise PermanentError(f"{context.organization} sells no {item_id!r}.")
    sold = product.lines.aggregate(units=Sum("quantity", default=0), revenue=Sum("amount", default=Decimal(0)))
    return {"sku": product.sku, "units": sold["units"], "revenue": str(sold["revenue"].quantize(CENT))}
