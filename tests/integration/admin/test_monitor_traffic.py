"""What the monitor tells of a stretch of time: charts, times and types."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from pytest_django import Settings

from django_jobs.models import JobType, Organization
from tests.support.admin import codes_on, staff_of
from tests.support.alerts import make_alert
from tests.support.breakers import make_fragile_type, open_by_failures
from tests.support.factories import make_job_type, make_organization
from tests.support.failures import die
from tests.support.monitor import count, monitor, noticed, page
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


@pytest.mark.parametrize(("key", "places"), [("hour", 60), ("day", 24), ("week", 168), ("month", 30)])
def test_the_charts_show_what_was_counted_step_by_step(key: str, places: int, root: Client, mine: Organization) -> None:
    count(make_job_type(), mine, completed=7, failed=2, died=1, submitted=9)
    ends, failures, _ = monitor(root, range=key)["traffic"].charts
    # A minute may have begun since.
    # In the color of each: what completed, was canceled and was submitted; attempts that failed, and dead letters.
    assert [{item.color: sum(item.values[-2:]) for item in chart.series} for chart in (ends, failures)] == [
        {"good": 7, "neutral": 0, "info": 9},
        {"warn": 2, "bad": 1},
    ]
    assert {len(ends.labels), len(failures.labels)} == {places}


def test_the_last_five_minutes_are_told_by_ten_seconds(root: Client, mine: Organization) -> None:
    die(make_job_type(), mine)
    ends, failures, times = monitor(root, range="five")["traffic"].charts
    assert sum(ends.series[-1].values) == 1
    assert [sum(item.values) for item in failures.series] == [1, 1]
    assert 24 <= len(ends.labels) <= 31
    assert "10" in ends.title
    assert len(times.labels) == 5


def test_where_much_happened_the_last_five_minutes_are_told_by_the_minute(
    root: Client, mine: Organization, tuning: Tuning
) -> None:
    tuning.set(last_minutes_rows=1)
    kind = make_job_type()
    die(kind, mine)
    count(kind, mine, completed=7)
    ends = monitor(root, range="five")["traffic"].charts[0]
    assert (len(ends.labels), sum(ends.series[0].values)) == (5, 7)


def test_the_last_five_minutes_are_those_of_ones_own_organizations(mine: Organization, theirs: Organization) -> None:
    die(make_job_type(), theirs)
    ends, failures, _ = monitor(staff_of(mine), range="five")["traffic"].charts
    assert (ends.is_empty, failures.is_empty) == (True, True)


def test_a_type_whose_attempts_all_failed_says_so(root: Client, mine: Organization) -> None:
    kind = make_job_type()
    count(kind, mine, failed=863)
    (row,) = monitor(root)["types"]
    assert re.findall(r"\d+", row["told"]) == ["863", "863"]
    assert codes_on(row["state"]) == ["all_fail"]
    assert f"job_type={kind.pk}" in row["failures_url"]


def test_an_unknown_range_is_the_last_hour(root: Client) -> None:
    assert monitor(root, range="<b>")["traffic"].range.key == "hour"


def test_the_numbers_of_a_chart_stand_in_a_table_too(root: Client, mine: Organization) -> None:
    count(make_job_type(), mine, completed=12345)
    assert "<td>12,345</td>" in page(root)


def test_times_are_averages_and_percentiles(root: Client, mine: Organization) -> None:
    count(make_job_type(), mine, completed=3, ran=[1.0, 1.0, 10.0])
    assert monitor(root)["times"][1][1:] == ("4.0 s", "1.0 s", "10 s")


def test_a_type_tells_volume_failure_rate_and_its_trend(root: Client, mine: Organization) -> None:
    kind = make_job_type(type_name="mails")
    count(kind, mine, completed=6, failed=2, died=1)
    count(kind, mine, ago=5400, completed=9, failed=1, died=1)
    (row,) = monitor(root)["types"]
    assert (row["ended"], row["rate"]) == ("8", "25.0 %")
    assert re.findall(r"\d+", row["told"]) == ["2", "8"]
    assert "10.0 %" in row["trend"]
    assert "djobs-worse" in row["trend"]


def test_a_type_is_linked_whatever_its_name(root: Client, mine: Organization) -> None:
    count(make_job_type(type_name="render_3D"), mine, completed=1)
    (row,) = monitor(root)["types"]
    assert root.get(row["url"]).status_code == 200


def test_of_many_types_the_busiest_are_shown_and_failures_count(
    root: Client, mine: Organization, tuning: Tuning
) -> None:
    tuning.set(monitor_traffic_types=1)
    count(make_job_type(type_name="fine"), mine, completed=2)
    count(make_job_type(type_name="failing"), mine, failed=3, died=3)
    context = monitor(root)
    assert [str(row["name"]) for row in context["types"]] == ["<bdi>failing</bdi>"]
    assert context["traffic"].has_more_types


def test_a_paused_type_is_shown_as_such(root: Client, mine: Organization) -> None:
    count(kind := make_job_type(type_name="mails", is_paused=True), mine, completed=1)
    assert codes_on(monitor(root)["types"][0]["state"]) == ["paused"]
    assert kind.pk in noticed(root)["type_paused"]
    JobType.objects.update(is_enabled=False)
    assert codes_on(monitor(root)["types"][0]["state"]) == ["disabled"]
    assert "type_paused" not in noticed(root)


def test_a_type_that_was_deleted_meanwhile_is_still_told(root: Client, mine: Organization) -> None:
    count(kind := make_job_type(type_name="mails"), mine, completed=1)
    kind.delete()
    (row,) = monitor(root)["types"]
    assert (row["url"], codes_on(row["state"])) == ("", ["deleted"])


def test_histograms_are_read_of_a_bounded_number_of_rows(root: Client, mine: Organization, tuning: Tuning) -> None:
    tuning.set(monitor_traffic_rows=1)
    count(make_job_type(), mine, completed=1, ran=[1.0])
    count(make_job_type(), mine, completed=1, ran=[1.0])
    assert monitor(root)["traffic"].is_sampled


def test_a_type_that_fails_or_is_held_is_not_called_active(root: Client, mine: Organization) -> None:
    failing, fragile = make_job_type(), make_fragile_type()
    count(failing, mine, completed=1, failed=40)
    make_alert("type_failing", failing.pk)
    open_by_failures(fragile)
    count(fragile, mine, completed=1)
    states = {str(row["name"]): codes_on(row["state"]) for row in monitor(root)["types"]}
    assert states == {f"<bdi>{failing.pk}</bdi>": ["failing"], f"<bdi>{fragile.pk}</bdi>": ["held"]}


def test_of_a_type_that_is_held_for_one_organization_others_are_told_nothing(root: Client, mine: Organization) -> None:
    fragile, other = make_fragile_type(), make_organization()
    open_by_failures(fragile, other)
    for whose in (mine, other):
        count(fragile, whose, completed=1)
    (row,) = monitor(root)["types"]
    assert other.name in str(row["state"])
    theirs = monitor(staff_of(mine))
    assert [codes_on(row["state"]) for row in theirs["types"]] == [["active"]]
    assert not [notice for notice in theirs["notices"] if fragile.pk in str(notice.text)]
    own = monitor(staff_of(other, role="admin"))
    assert [codes_on(row["state"]) for row in own["types"]] == [["held"]]
    assert [notice for notice in own["notices"] if fragile.pk in str(notice.text)]


@pytest.mark.parametrize(
    ("key", "zones"),
    [
        ("hour", ["Asia/Kolkata"] * 3),
        ("week", ["Asia/Kolkata", "Asia/Kolkata", "UTC"]),
        ("month", ["UTC"] * 3),
    ],
)
def test_each_chart_says_once_in_which_zone_its_labels_are(
    key: str, zones: list[str], root: Client, mine: Organization, settings: Settings
) -> None:
    settings.TIME_ZONE = "Asia/Kolkata"
    count(make_job_type(), mine, completed=7, failed=2)
    charts = monitor(root, range=key)["traffic"].charts
    assert [zone in chart.zone for chart, zone in zip(charts, zones, strict=True)] == [True] * 3
    # Below the drawing, in its description, and on top of its table; one chart has nothing to draw.
    assert page(root, range=key).count(charts[0].zone) == 6
