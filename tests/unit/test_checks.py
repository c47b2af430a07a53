"""The system checks, each both ways."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import CheckMessage

from django_jobs.checks import check_access_policy, check_database, check_queues, check_setting_names

QUEUES = {"Critical": "a", "High": "b", "Normal": "c", "Low": "d"}


def ids(messages: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def test_known_settings_are_fine(settings: Any) -> None:
    settings.DJANGO_JOBS = {"MAX_RETRIES": 3, "ACCESS_POLICY": None}
    assert check_setting_names() == []


def test_no_settings_are_fine(settings: Any) -> None:
    del settings.DJANGO_JOBS
    assert check_setting_names() == []


def test_an_unknown_setting_is_reported_by_name(settings: Any) -> None:
    settings.DJANGO_JOBS = {"MAX_RETIRES": 3}
    (message,) = check_setting_names()
    assert message.id == "django_jobs.W001"
    assert "MAX_RETIRES" in message.msg


def test_four_configured_queues_are_fine(settings: Any) -> None:
    settings.DJANGO_JOBS = {"QUEUES": QUEUES}
    settings.RQ_QUEUES = {name: {} for name in "abcd"}
    assert check_queues() == []


def test_a_priority_without_a_queue_is_an_error(settings: Any) -> None:
    settings.DJANGO_JOBS = {"QUEUES": {"Critical": "a"}}
    (message,) = check_queues()
    assert message.id == "django_jobs.E001"
    assert "Low, Normal, High" in message.msg


def test_a_queue_that_rq_does_not_know_is_an_error(settings: Any) -> None:
    settings.DJANGO_JOBS = {"QUEUES": QUEUES}
    settings.RQ_QUEUES = {name: {} for name in "abc"}
    assert ids(check_queues()) == ["django_jobs.E002"]


def test_the_built_in_organization_needs_no_policy(settings: Any) -> None:
    settings.DJANGO_JOBS = {}
    assert check_access_policy() == []


def test_a_swapped_organization_without_a_policy_is_an_error(settings: Any) -> None:
    settings.DJANGO_JOBS = {}
    settings.DJANGO_JOBS_ORGANIZATION_MODEL = "shop.Company"
    assert ids(check_access_policy()) == ["django_jobs.E003"]


def test_a_swapped_organization_with_a_policy_is_fine(settings: Any) -> None:
    settings.DJANGO_JOBS = {"ACCESS_POLICY": "shop.policy.Policy"}
    settings.DJANGO_JOBS_ORGANIZATION_MODEL = "shop.Company"
    assert check_access_policy() == []


@pytest.mark.parametrize(
    ("vendor", "is_mariadb", "expected"),
    [
        ("mysql", False, ["django_jobs.E004"]),
        ("mysql", True, []),
        ("postgresql", False, []),
        ("sqlite", False, []),
    ],
)
def test_mysql_alone_is_refused(
    monkeypatch: pytest.MonkeyPatch, vendor: str, is_mariadb: bool, expected: list[str]
) -> None:
    connections = {"default": SimpleNamespace(vendor=vendor, mysql_is_mariadb=is_mariadb)}
    monkeypatch.setattr("django.db.connections", connections)
    assert ids(check_database(databases=["default"])) == expected


def test_a_database_that_is_not_checked_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.db.connections", {})
    assert check_database(databases=None) == []
