"""Charts: what is told of their numbers to those who do not see the drawing."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET  # only what we made ourselves is parsed

from django_jobs.admin.charts import told
from tests.support import verbs
from tests.support.charts import chart


def test_a_place_without_values_says_so() -> None:
    label, _, words = told(chart(line=[None, 1.0]), 0).partition(": ")
    assert label == "at 0"
    assert words
    assert "line" not in words


def test_times_are_written_as_times() -> None:
    assert told(chart(line=[90.0], write=verbs.brief_duration), 0) == "at 0: line 1 min 30 s"


def test_the_table_holds_the_same_numbers() -> None:
    root = ET.fromstring(verbs.chart_as_table(chart([1, 2000], line=[None, 4])))
    rows = [[cell.text for cell in row] for row in root.iter("tr")]
    assert rows[0][1:] == ["row 0", "line"]
    assert rows[1:] == [["at 0", "1", None], ["at 1", "2,000", "4"]]


def test_a_chart_says_in_which_zone_its_labels_are() -> None:
    made = chart([1, 5], zone="Times in Asia/Kolkata.")
    told_of = made.describe()
    assert re.findall(r"row 0|at \d|\b\d\b", told_of) == ["row 0", "1", "5", "at 0", "at 1"]
    assert told_of.endswith(" Times in Asia/Kolkata.")
    assert "<caption>Jobs. Times in Asia/Kolkata.</caption>" in verbs.chart_as_table(made)
