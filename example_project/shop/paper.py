"""The look of the shop's PDFs: sizes, colors, and text that always fits and can always be encoded."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase.pdfmetrics import stringWidth

WIDTH, HEIGHT = A4
MARGIN: Final = 48.0
RIGHT: Final = WIDTH - MARGIN
INNER: Final = WIDTH - 2 * MARGIN

INK: Final = HexColor("#1f2937")
MUTED: Final = HexColor("#6b7280")
RULE: Final = HexColor("#d1d5db")
TINT: Final = HexColor("#f3f6f8")
ACCENT: Final = HexColor("#0f4c5c")
BAR: Final = HexColor("#3a8fa3")
PAPER: Final = HexColor("#ffffff")

REGULAR: Final = "Helvetica"
BOLD: Final = "Helvetica-Bold"
CURRENCY: Final = "EUR"


def printable(text: str) -> str:
    """Return the text as the PDF's built-in fonts can show it; other characters become question marks."""
    one_line = "".join(character if character.isprintable() else " " for character in text)
    return one_line.encode("cp1252", "replace").decode("cp1252")


def fit(text: str, width: float, font: str = REGULAR, size: float = 9) -> str:
    """Return the text, printable, and cut with an ellipsis where it would be wider than ``width`` points."""
    text = printable(text)
    if stringWidth(text, font, size) <= width:
        return text
    while text and stringWidth(f"{text}…", font, size) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def long_date(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def write(
    canvas: Any, x: float, y: float, text: str, *, font: str = REGULAR, size: float = 9, color: Any = INK
) -> None:
    canvas.setFont(font, size)
    canvas.setFillColor(color)
    canvas.drawString(x, y, printable(text))


def write_right(
    canvas: Any, x: float, y: float, text: str, *, font: str = REGULAR, size: float = 9, color: Any = INK
) -> None:
    canvas.setFont(font, size)
    canvas.setFillColor(color)
    canvas.drawRightString(x, y, printable(text))


def box(canvas: Any, x: float, y: float, width: float, height: float, color: Any) -> None:
    canvas.setFillColor(color)
    canvas.rect(x, y, width, height, stroke=0, fill=1)


def rule(canvas: Any, y: float, left: float = MARGIN, right: float = RIGHT, color: Any = RULE) -> None:
    canvas.setStrokeColor(color)
    canvas.setLineWidth(0.5)
    canvas.line(left, y, right, y)
