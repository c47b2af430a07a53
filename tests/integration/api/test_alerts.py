"""alerts/: who reads what of the alarms."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from django_jobs.models import Alert, JobType, Organization
from tests.support.alerts import make_alert, scheduler_ticks
from tests.support.api import client_of
from tests.support.factories import make_system_admin, make_user

ALERTS = "/api/alerts/"


@pytest.fixture
def admin() -> APIClient:
    return client_of(make_system_admin())


@pytest.fixture(autouse=True)
def _a_scheduler_leads(without_redis: None) -> None:
    scheduler_ticks()


def failing(kind: JobType, *organizations: Organization, error_of: Organization | None = None, **fields: Any) -> Alert:
    """An alarm with seven jobs of each organization. The error is the first one's, if nothing else is said."""
    quoted = error_of or next(iter(organizations), None)
    facts = {
        "failed": 8631724,
        "attempts": 8631724,
        "error": "InvalidMailer",
        "exception": "InvalidMailer: secret",
        "error_of": str(quoted.pk) if quoted else "",
        "organizations": {str(item.pk): 7 for item in organizations},
    }
    return make_alert("type_failing", kind.pk, facts, **fields)


def results(client: APIClient, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(ALERTS, query)
    assert answer.status_code == 200, answer.json()
    return list(answer.json()["results"])


def test_a_system_admin_reads_all_of_an_alarm(admin: APIClient, kind: JobType, mine: Organization) -> None:
    alert = failing(kind, mine)
    (row,) = results(admin)
    assert (row["id"], row["rule"], row["subject"]) == (alert.pk, "type_failing", kind.pk)
    assert all(part in row["text"] for part in (kind.pk, "8631724", "InvalidMailer: secret"))
    assert row["organizations"] == {"ORG-MINE": 7}
    assert row["facts"] == {
        "failed": 8631724,
        "attempts": 8631724,
        "error": "InvalidMailer",
        "exception": "InvalidMailer: secret",
        "is_paused": False,
        "is_disabled": False,
    }
    assert [parse_datetime(row[name]) for name in ("raised_at", "seen_at")] == [alert.raised_at, alert.seen_at]
    assert row["cleared_at"] is None


def test_a_member_reads_what_is_of_the_organization_alone(
    kind: JobType, mine: Organization, theirs: Organization
) -> None:
    failing(kind, mine, theirs)
    (row,) = results(client_of(make_user(member_of=[mine])))
    assert row["organizations"] == {"ORG-MINE": 7}
    assert row["facts"] == {}
    assert "7" in row["text"].replace(kind.pk, "")
    assert "8631724" not in str(row)


def test_a_member_reads_the_error_where_no_other_organization_is_concerned(kind: JobType, mine: Organization) -> None:
    alert, member = failing(kind, mine), client_of(make_user(member_of=[mine]))
    assert results(member)[0]["facts"] == {"error": "InvalidMailer"}
    Alert.objects.update(facts={**alert.facts, "has_more": True})  # others may be concerned
    assert results(member)[0]["facts"] == {}


def test_others_read_nothing(kind: JobType, mine: Organization, theirs: Organization) -> None:
    failing(kind, mine)
    assert results(client_of(make_user(member_of=[theirs]))) == []


def test_nobody_reads_nothing(kind: JobType) -> None:
    assert client_of().get(ALERTS).status_code == 401


def test_open_ones_come_first_the_most_urgent_in_front(admin: APIClient, kind: JobType) -> None:
    failing(kind, ago=500, cleared_ago=10)
    make_alert("schedule_cannot_fire", "nightly")
    make_alert("no_worker", "default")
    assert [row["rule"] for row in results(admin)] == ["no_worker", "schedule_cannot_fire", "type_failing"]


def test_filters_find_open_ones_and_those_of_a_rule(admin: APIClient, kind: JobType) -> None:
    failing(kind, cleared_ago=10)
    make_alert("no_worker", "default")
    assert [row["rule"] for row in results(admin, is_open="true")] == ["no_worker"]
    assert [row["rule"] for row in results(admin, is_open="false")] == ["type_failing"]
    assert [row["rule"] for row in results(admin, rule="no_worker")] == ["no_worker"]


@pytest.mark.parametrize("query", [{"rule": "none"}, {"is_open": "perhaps"}, {"limit": "x"}, {"state": "open"}])
def test_wrong_parameters_are_refused_by_their_names(admin: APIClient, query: dict[str, str]) -> None:
    answer = admin.get(ALERTS, query)
    assert answer.status_code == 400
    assert list(answer.json()) == list(query)


def test_they_come_in_pages(admin: APIClient) -> None:
    for number in range(3):
        make_alert("type_failing", f"type_{number}")
    answer = admin.get(ALERTS, {"limit": 2}).json()
    assert (answer["count"], len(answer["results"])) == (3, 2)
    assert "offset=2" in answer["next"]


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_nobody_writes(admin: APIClient, method: str) -> None:
    assert getattr(admin, method)(ALERTS).status_code == 405


def test_that_no_scheduler_is_alive_is_told_everybody_though_nobody_stored_it(admin: APIClient) -> None:
    scheduler_ticks(seconds_ago=600)
    for client in (admin, client_of(make_user())):
        (row,) = results(client)
        assert (row["id"], row["rule"]) == (None, "no_scheduler")
        assert (row["text"] != "", row["cleared_at"]) == (True, None)


def test_texts_are_not_translated(admin: APIClient, kind: JobType) -> None:
    failing(kind)
    (english,) = results(admin)
    with translation.override("de"):
        assert results(admin) == [english]


def test_an_organization_that_was_deleted_has_no_name(admin: APIClient, kind: JobType) -> None:
    make_alert("type_failing", kind.pk, {"failed": 5, "attempts": 5, "organizations": {"999999": 5}})
    assert results(admin)[0]["organizations"] == {}


def test_the_page_of_the_browsable_api_shows_them(admin: APIClient, kind: JobType) -> None:
    failing(kind)
    answer = admin.get(ALERTS, HTTP_ACCEPT="text/html")
    assert answer.status_code == 200
    assert "8631724" in answer.content.decode()


def test_a_member_reads_no_error_of_an_organization_of_others(
    kind: JobType, mine: Organization, theirs: Organization
) -> None:
    failing(kind, mine, error_of=theirs)
    (row,) = results(client_of(make_user(member_of=[mine])))
    assert row["facts"] == {}
