"""The sales report as PDF: a page of figures, and a list of every order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any, Final

from django.utils.html import escape
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Table

from django_jobs.models import Organization
from example_project.shop.models import Order

ROWS_A_PAGE: Final = 36


def draw_report(
    organization: Organization, first: date, last: date, page_done: Callable[[int, int], None]
) -> tuple[bytes, dict[str, Any]]:
    """Return the PDF, and its numbers of pages and orders and their total. Each page is told when it is done."""
    rows = Order.objects.filter(organization=organization, ordered_on__range=(first, last))
    orders = list(rows.select_related("customer", "product").order_by("ordered_on", "id"))
    total = sum((order.total for order in orders), Decimal("0.00"))
    tables = [orders[start : start + ROWS_A_PAGE] for start in range(0, len(orders), ROWS_A_PAGE)]
    styles, pages = getSampleStyleSheet(), 1 + len(tables)

    def end_page(canvas: Any, document: Any) -> None:
        canvas.drawRightString(540, 30, f"{organization}, page {document.page} of {pages}")
        page_done(document.page, pages)

    story: list[Flowable] = [
        Paragraph(f"Sales of {escape(organization)}", styles["Title"]),
        Paragraph(f"{first} to {last}: {len(orders):,} orders, {total:,.2f} EUR", styles["Heading2"]),
    ]
    for part in tables:
        story += [PageBreak(), order_table(part)]
    file = BytesIO()
    SimpleDocTemplate(file, title=f"Sales of {organization}").build(story, onFirstPage=end_page, onLaterPages=end_page)
    return file.getvalue(), {"pages": pages, "orders": len(orders), "total": str(total)}


def order_table(orders: Sequence[Order]) -> Table:
    rows = [
        [order.number, f"{order.ordered_on}", f"{order.customer}", f"{order.product}"[:30], f"{order.total:,.2f}"]
        for order in orders
    ]
    style = [("FONTSIZE", (0, 0), (-1, -1), 9), ("ALIGN", (-1, 0), (-1, -1), "RIGHT")]
    return Table([["Order", "Day", "Customer", "Product", "EUR"], *rows], [90, 70, 120, 150, 60], style=style)
