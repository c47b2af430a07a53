"""Charts without axes: bars say their values, and a spark stands beside a number that says the same."""

from __future__ import annotations

from xml.etree import ElementTree as ET  # only what we made ourselves is parsed

from tests.support import verbs
from tests.support.charts import elements


def test_a_spark_of_one_value_is_a_dot() -> None:
    assert len(elements(verbs.draw_spark([None, 0.5, None]), "circle", "djobs-dot")) == 1


def test_a_spark_of_little_does_not_rise_to_the_top() -> None:
    (line,) = elements(verbs.draw_spark([0.1, 0.1]), "polyline")
    assert [point.partition(",")[2] for point in line.attrib["points"].split()] == ["10.0", "10.0"]


def test_bars_say_their_values() -> None:
    svg = verbs.draw_bars("b", "Bars", [("High", "warn", 10, "10+"), ("Low", "neutral", 0, "0")])
    assert ET.fromstring(svg)[1].text == "High: 10+; Low: 0"
    wide, narrow = (float(item.attrib["width"]) for item in elements(svg, "rect"))
    assert wide > 100 * narrow


def test_a_spark_is_hidden_from_assistive_technology() -> None:
    assert ET.fromstring(verbs.draw_spark([None, 0.5])).get("aria-hidden") == "true"
