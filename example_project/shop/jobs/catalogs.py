from __future__ import annotations

from typing import Any

from django_jobs import JobContext, job_handler
from example_project.shop.parameters import PublishParameters


@job_handler(
    "catalog_publish",
    display_name="Publish the catalog",
    description="Puts every product on sale at a pretended marketplace, one after the other.",
    parameters=PublishParameters,
    default_timeout=900,
    deduplication_window=10,
    submit_by="members",
)
def catalog_publish(context: JobContext) -> dict[str, Any]:
    """Publish the products one by one. It reports progress after each, and stops at once when it is canceled."""
    from example_project.shop.marketplace import publish
    from example_project.shop.models import Product

    products = list(Product.objects.filter(organization_id=context.organization_pk).order_by("sku"))
    for done, product in enumerate(products):
        context.update_progress(100 * done // len(products), f"{done + 1} of {len(products)}: {product.name}")
        publish(product.sku, key=context.job_id, seconds=context.validated_data["seconds"])
    return {"published": len(products)}
