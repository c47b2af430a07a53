"""A sales report on A4 paper: summary with a chart, rankings, then every order with running totals.

Drawn with reportlab, which is maintained, needs a third of fpdf2's memory and writes a page as it is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from io import BytesIO
from math import ceil
from typing import Any, Final

from reportlab.pdfgen.canvas import Canvas

from example_project.shop import paper
from example_project.shop.chart import draw_bar_chart
from example_project.shop.paper import box, fit, long_date, money, rule, write, write_right
from example_project.shop.periods import Period, month_of
from example_project.shop.reports import (
    LONGEST_DAILY_CHART,
    OrderRow,
    Ranked,
    SalesReport,
    revenue_bars,
)

ROWS_A_PAGE: Final = 38
ROW: Final = 16.0
TABLE_TOP: Final = paper.HEIGHT - 96
# Columns of the order table: number, day, customer from the left; items and total end at the right.
NUMBER, DAY, CUSTOMER = paper.MARGIN + 6, paper.MARGIN + 96, paper.MARGIN + 166
ITEMS, TOTAL = paper.RIGHT - 100, paper.RIGHT - 6

PageDone = Callable[[int, int], None]


def draw_report(report: SalesReport, page_done: PageDone) -> tuple[bytes, int]:
    """Return the PDF and its number of pages. ``page_done(page, pages)`` is called after each page."""
    tables = ceil(len(report.orders) / ROWS_A_PAGE)
    book = Book(report, pages=2 + tables if tables else 1, page_done=page_done)
    draw_summary(book.canvas, report)
    book.end_page()
    if tables:
        draw_rankings(book.canvas, report)
        book.end_page()
        draw_tables(book, report.orders)
    return book.close(), book.pages


class Book:
    """A PDF that is being drawn. It knows its number of pages, and puts header and footer on each."""

    def __init__(self, report: SalesReport, *, pages: int, page_done: PageDone) -> None:
        self.report = report
        self.pages = pages
        self.page = 1
        self.page_done = page_done
        self.buffer = BytesIO()
        self.canvas: Any = Canvas(self.buffer, pagesize=(paper.WIDTH, paper.HEIGHT), pageCompression=1)
        self.canvas.setTitle(paper.printable(f"{heading(report.period)}: {report.title}"))
        self.canvas.setAuthor(paper.printable(report.title))

    def end_page(self) -> None:
        footer = fit(f"{self.report.title} · {heading(self.report.period)}", paper.INNER - 90, size=8)
        rule(self.canvas, 40)
        write(self.canvas, paper.MARGIN, 28, footer, size=8, color=paper.MUTED)
        position = f"page {self.page} of {self.pages}"
        write_right(self.canvas, paper.RIGHT, 28, position, size=8, color=paper.MUTED)
        self.canvas.showPage()
        self.page_done(self.page, self.pages)
        self.page += 1

    def close(self) -> bytes:
        self.canvas.save()
        return self.buffer.getvalue()


def heading(period: Period) -> str:
    if period == month_of(period.start):
        return f"Monthly report, {period.start:%B %Y}"
    return "Sales report"


def draw_summary(canvas: Any, report: SalesReport) -> None:
    draw_cover_band(canvas, report)
    if not report.orders:
        draw_nothing(canvas)
        return
    facts = (
        (f"Revenue ({paper.CURRENCY})", money(report.total)),
        ("Orders", f"{len(report.orders):,}"),
        (f"Average order ({paper.CURRENCY})", money(report.average)),
        ("Items sold", f"{report.items:,}"),
    )
    for position, (label, value) in enumerate(facts):
        draw_fact(canvas, position, label, value)
    daily = report.period.days <= LONGEST_DAILY_CHART
    unit = "day" if daily else "month"
    write(canvas, paper.MARGIN, 500, f"Revenue per {unit}", font=paper.BOLD, size=13)
    draw_bar_chart(canvas, revenue_bars(report), y=150, height=310, x_title=unit.capitalize(), y_title=paper.CURRENCY)


def draw_cover_band(canvas: Any, report: SalesReport) -> None:
    box(canvas, 0, paper.HEIGHT - 190, paper.WIDTH, 190, paper.ACCENT)
    title = fit(report.title, paper.INNER, paper.BOLD, 14)
    write(canvas, paper.MARGIN, paper.HEIGHT - 72, title, font=paper.BOLD, size=14, color=paper.PAPER)
    write(
        canvas,
        paper.MARGIN,
        paper.HEIGHT - 114,
        heading(report.period),
        font=paper.BOLD,
        size=28,
        color=paper.PAPER,
    )
    span = f"{long_date(report.period.start)} to {long_date(report.period.end)}, {report.organization}"
    write(canvas, paper.MARGIN, paper.HEIGHT - 146, span, size=11, color=paper.PAPER)


def draw_fact(canvas: Any, position: int, label: str, value: str) -> None:
    gap = 12
    width = (paper.INNER - 3 * gap) / 4
    x, y = paper.MARGIN + position * (width + gap), paper.HEIGHT - 280
    box(canvas, x, y, width, 62, paper.TINT)
    box(canvas, x, y, 3, 62, paper.BAR)
    write(canvas, x + 12, y + 40, label, size=8, color=paper.MUTED)
    write(canvas, x + 12, y + 16, value, font=paper.BOLD, size=15)


def draw_nothing(canvas: Any) -> None:
    box(canvas, paper.MARGIN, paper.HEIGHT - 290, paper.INNER, 62, paper.TINT)
    text = "There are no orders in this period."
    write(canvas, paper.MARGIN + 20, paper.HEIGHT - 264, text, font=paper.BOLD, size=13)


def draw_rankings(canvas: Any, report: SalesReport) -> None:
    draw_ranking(canvas, paper.HEIGHT - 72, "Top products", "Units", report.products)
    draw_ranking(canvas, paper.HEIGHT - 400, "Top customers", "Orders", report.customers)


def draw_ranking(canvas: Any, y: float, title: str, counted: str, places: Sequence[Ranked]) -> None:
    write(canvas, paper.MARGIN, y, title, font=paper.BOLD, size=13)
    write_right(canvas, paper.RIGHT - 90, y, counted, size=8, color=paper.MUTED)
    write_right(canvas, TOTAL, y, f"Revenue ({paper.CURRENCY})", size=8, color=paper.MUTED)
    rule(canvas, y - 8, color=paper.ACCENT)
    best = max((place.amount for place in places), default=Decimal(1)) or Decimal(1)
    for position, place in enumerate(places, start=1):
        line = y - 8 - 26 * position
        write(canvas, paper.MARGIN + 6, line + 8, f"{position}", size=9, color=paper.MUTED)
        write(canvas, paper.MARGIN + 28, line + 8, fit(place.name, 190), size=9)
        box(canvas, paper.MARGIN + 232, line + 7, 110 * float(place.amount / best), 8, paper.BAR)
        write_right(canvas, paper.RIGHT - 90, line + 8, f"{place.count:,}")
        write_right(canvas, TOTAL, line + 8, money(place.amount))
        rule(canvas, line)


def draw_tables(book: Book, orders: Sequence[OrderRow]) -> None:
    carried = Decimal("0.00")
    for start in range(0, len(orders), ROWS_A_PAGE):
        rows = orders[start : start + ROWS_A_PAGE]
        last = start + ROWS_A_PAGE >= len(orders)
        carried = draw_table(book.canvas, rows, carried, first=start == 0, last=last)
        book.end_page()


def draw_table(canvas: Any, rows: Sequence[OrderRow], carried: Decimal, *, first: bool, last: bool) -> Decimal:
    """Draw one page of orders below the sum carried forward; return the sum to carry on."""
    write(canvas, paper.MARGIN, paper.HEIGHT - 60, "Orders", font=paper.BOLD, size=13)
    draw_columns(canvas, TABLE_TOP)
    y = TABLE_TOP - ROW
    if not first:
        draw_sum(canvas, y, "Brought forward", carried)
        y -= ROW
    for position, row in enumerate(rows):
        draw_row(canvas, y, row, shaded=position % 2 == 1)
        y -= ROW
    page_total = sum((row.total for row in rows), Decimal("0.00"))
    rule(canvas, y + ROW - 5, color=paper.ACCENT)
    draw_sum(canvas, y, "Page total", page_total)
    label = "Grand total" if last else "Carried forward"
    draw_sum(canvas, y - ROW, label, carried + page_total, bold=True)
    return carried + page_total


def draw_columns(canvas: Any, y: float) -> None:
    box(canvas, paper.MARGIN, y - 5, paper.INNER, ROW, paper.ACCENT)
    for x, label in ((NUMBER, "Order"), (DAY, "Date"), (CUSTOMER, "Customer")):
        write(canvas, x, y, label, font=paper.BOLD, size=8.5, color=paper.PAPER)
    for x, label in ((ITEMS, "Items"), (TOTAL, f"Total ({paper.CURRENCY})")):
        write_right(canvas, x, y, label, font=paper.BOLD, size=8.5, color=paper.PAPER)


def draw_row(canvas: Any, y: float, row: OrderRow, *, shaded: bool) -> None:
    if shaded:
        box(canvas, paper.MARGIN, y - 5, paper.INNER, ROW, paper.TINT)
    write(canvas, NUMBER, y, fit(row.number, DAY - NUMBER - 6))
    write(canvas, DAY, y, row.day.isoformat())
    write(canvas, CUSTOMER, y, fit(row.customer, ITEMS - CUSTOMER - 40))
    write_right(canvas, ITEMS, y, f"{row.items:,}")
    write_right(canvas, TOTAL, y, money(row.total))


def draw_sum(canvas: Any, y: float, label: str, amount: Decimal, *, bold: bool = False) -> None:
    font = paper.BOLD if bold else paper.REGULAR
    write_right(canvas, ITEMS, y, label, font=font, color=paper.INK if bold else paper.MUTED)
    write_right(canvas, TOTAL, y, money(amount), font=font)
