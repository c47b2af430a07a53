from __future__ import annotations

from typing import Any

from django_jobs import JobContext, TransientError, job_handler
from example_project.shop.parameters import PublishParameters


@job_handler(
    "catalog_publish",
    display_name="Publish the catalog",
    description="Puts every product on sale at a pretended marketplace, one after the other.",
    parameters=PublishParameters,
    default_timeout=900,
    retry_delay=5,
    deduplication_window=10,
    submit_by="members",
    # Two of one shop would write over each other.
    max_running_per_organization=1,
    # While the marketplace is down, one job in ten seconds asks whether it is back, and no other spends its retries.
    breaker_failures=3,
    breaker_pause=10,
)
def catalog_publish(context: JobContext) -> dict[str, Any]:
    """Publish the products one by one. It reports progress after each, and stops at once when it is canceled."""
    from example_project.shop.marketplace import MarketplaceDownError, publish
    from example_project.shop.models import Product

    products = list(Product.objects.filter(organization_id=context.organization_pk).order_by("sku"))
    for done, product in enumerate(products):
        context.update_progress(100 * done // len(products), f"{done + 1} of {len(products)}: {product.name}")
        try:
            publish(product.sku, key=context.job_id, seconds=context.validated_data["seconds"])
        except MarketplaceDownError as error:
            raise TransientError(f"{error}.") from error
    return {"published": len(products)}
