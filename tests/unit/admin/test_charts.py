"""Charts: what is told of their numbers to those who do not see the drawing."""

from __future__ import annotations

from xml.etree import ElementTree as ET  # only what we made ourselves is parsed

from django_jobs.admin.charts import as_table, told
from django_jobs.admin.durations import brief_duration
from tests.support.charts import chart


def test_a_place_without_values_says_so() -> None:
    assert told(chart(line=[None, 1.0]), 0) == "at 0: nothing"


def test_times_are_written_as_times() -> None:
    assert told(chart(line=[90.0], write=brief_duration), 0) == "at 0: line 1 min 30 s"


def test_the_table_holds_the_same_numbers() -> None:
    root = ET.fromstring(as_table(chart([1, 2000], line=[None, 4])))
    rows = [[cell.text for cell in row] for row in root.iter("tr")]
    assert rows == [["From", "row 0", "line"], ["at 0", "1", None], ["at 1", "2,000", "4"]]


def test_a_chart_says_in_which_zone_its_labels_are() -> None:
    made = chart([1, 5], zone="Times in Asia/Kolkata.")
    assert made.describe() == "row 0: 1 to 5. From at 0 to at 1. Times in Asia/Kolkata."
    assert "<caption>Jobs. Times in Asia/Kolkata.</caption>" in as_table(made)
