"""Charts for the tests that look at what is told and drawn of them."""

from __future__ import annotations

from xml.etree import ElementTree as ET  # only what we made ourselves is parsed

from tests.support.verbs import Chart, ChartSeries


def chart(*columns: list[float | None], line: list[float | None] | None = None, **fields: object) -> Chart:
    count = len(columns[0] if columns else line or [])
    values: dict[str, object] = {
        "key": "c",
        "title": "Jobs",
        "labels": [f"at {place}" for place in range(count)],
        "columns": [ChartSeries(name=f"row {place}", color="good", values=item) for place, item in enumerate(columns)],
        "lines": [ChartSeries(name="line", color="info", values=line)] if line else [],
        **fields,
    }
    return Chart(**values)  # type: ignore[arg-type]


def elements(svg: str, name: str, css: str = "") -> list[ET.Element]:
    """The elements of this name whose classes begin with this."""
    return [item for item in ET.fromstring(svg).iter(name) if item.get("class", "").startswith(css)]
