"""The drawing of a chart: what is seen, and what its title, description and tooltips say."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree as ET  # only what we made ourselves is parsed

import pytest

from django_jobs.admin.charts import draw, nice_ceiling
from tests.support import verbs
from tests.support.charts import chart, elements
from tests.support.verbs import ChartSeries

HOSTILE = '<script>alert("x")</script>'


def test_the_axis_ends_at_a_round_number(subtests: pytest.Subtests) -> None:
    cases: list[tuple[float, float]] = [
        (0, 1),
        (0.003, 0.005),
        (1, 1),
        (1.2, 2),
        (3, 5),
        (7, 10),
        (10, 10),
        (11, 20),
        (501, 1000),
    ]
    for value, ceiling in cases:
        with subtests.test(value=value, ceiling=ceiling):
            assert nice_ceiling(value) == pytest.approx(ceiling)


def test_it_is_one_image_with_a_title_and_a_description() -> None:
    made = chart([1, 5])
    root = ET.fromstring(draw(made))
    assert (root.get("role"), root.get("aria-labelledby")) == ("img", "c-title c-desc")
    assert (root[0].text, root[1].text) == ("Jobs", made.describe())


def test_each_place_tells_its_values_to_the_pointer() -> None:
    svg = draw(chart([1, 2000], line=[3, None]))
    titles = [item.findtext("title") for item in elements(svg, "g", "djobs-bucket")]
    assert titles == ["at 0: row 0 1, line 3", "at 1: row 0 2,000"]


def test_columns_stand_on_each_other() -> None:
    for lower, upper in pairwise(elements(draw(chart([6], [4], [2])), "rect", "djobs-fill")):
        assert float(upper.attrib["y"]) + float(upper.attrib["height"]) == pytest.approx(float(lower.attrib["y"]))


def test_a_line_stays_below_the_top() -> None:
    (line,) = elements(draw(chart([1, 1], line=[3, 700])), "polyline")
    assert all(float(point.partition(",")[2]) >= 14 for point in line.attrib["points"].split())


def test_what_is_there_is_seen_however_little_it_is() -> None:
    (_, little) = elements(draw(chart([1_000_000, 1])), "rect", "djobs-fill")
    assert float(little.attrib["height"]) == 1


def test_nothing_is_drawn_of_nothing() -> None:
    assert elements(draw(chart([0, 0])), "rect", "djobs-fill") == []


def test_a_line_has_gaps_where_nothing_is_known() -> None:
    assert len(elements(draw(chart(line=[1, 2, None, 3, 4])), "polyline")) == 2


def test_a_value_between_gaps_is_a_dot() -> None:
    svg = draw(chart(line=[None, 2, None]))
    assert (len(elements(svg, "circle", "djobs-dot")), elements(svg, "polyline")) == (1, [])


def test_labels_of_large_numbers_have_room() -> None:
    # A phone draws them larger than the least room is for.
    small, large = (elements(draw(chart([value])), "text", "djobs-axis djobs-axis-y")[0] for value in (1, 5_000_000))
    assert (float(small.attrib["x"]), float(large.attrib["x"])) == (54, 96)


def test_long_labels_of_the_time_axis_are_fewer() -> None:
    days = chart([1] * 168, labels=["Mon 12 Nov, 10:00"] * 168)
    assert len(elements(draw(days), "text", "djobs-axis djobs-axis-x")) == 1


def test_small_counts_have_whole_numbers_on_the_axis() -> None:
    labels = [item.text for item in elements(draw(chart([1])), "text", "djobs-axis djobs-axis-y")]
    assert labels == ["0", "1"]


def test_the_last_label_is_always_there_and_few_others() -> None:
    svg = draw(chart([1] * 60))
    assert [item.text for item in elements(svg, "text", "djobs-axis djobs-axis-last")] == ["at 59"]
    assert len(elements(svg, "text", "djobs-axis djobs-axis-x")) == 5


def test_there_is_no_inline_style_or_script() -> None:
    svg = (
        draw(chart([1], line=[2]))
        + verbs.draw_bars("b", "Bars", [("a", "good", 1, "1")])
        + verbs.draw_spark([0.1, 0.2])
    )
    assert "style=" not in svg
    assert " on" not in svg


def test_hostile_texts_are_escaped() -> None:
    hostile = chart([1], title=HOSTILE, labels=[HOSTILE])
    assert "<script" not in draw(hostile) + verbs.chart_as_table(hostile) + verbs.draw_bars(
        "b", HOSTILE, [(HOSTILE, "good", 1, HOSTILE)]
    )


@pytest.mark.parametrize("labels", [[], ["one"]])
def test_any_number_of_places_can_be_drawn(labels: list[str]) -> None:
    values: list[float | None] = [None for _ in labels]
    item = chart(labels=labels, lines=[ChartSeries(name="line", color="info", values=values)])
    assert item.is_empty
    assert draw(item).startswith("<svg")
