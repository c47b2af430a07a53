"""The system checks of organizations and their access policy, each both ways."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import CheckMessage

from django_jobs import AccessPolicy
from tests.support.checks import checked


def ids(messages: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def test_the_built_in_organization_needs_no_policy(settings: Any) -> None:
    settings.DJANGO_JOBS = {}
    assert checked("E003") == []


def test_a_swapped_organization_without_a_policy_is_an_error(settings: Any) -> None:
    settings.DJANGO_JOBS = {}
    settings.DJANGO_JOBS_ORGANIZATION_MODEL = "shop.Company"
    assert ids(checked("E003")) == ["django_jobs.E003"]


def test_a_swapped_organization_with_a_policy_is_fine(settings: Any) -> None:
    settings.DJANGO_JOBS = {"ACCESS_POLICY": "shop.policy.Policy"}
    settings.DJANGO_JOBS_ORGANIZATION_MODEL = "shop.Company"
    assert checked("E003") == []


class GoodPolicy(AccessPolicy):
    """A host's own."""


class OtherPolicy:
    """Not one of ours."""


def test_the_built_in_policy_needs_no_import(settings: Any) -> None:
    settings.DJANGO_JOBS = {}
    assert checked("E010", "E011", "W011") == []


def test_a_policy_of_the_hosts_is_fine(settings: Any) -> None:
    settings.DJANGO_JOBS = {"ACCESS_POLICY": f"{__name__}.GoodPolicy"}
    assert checked("E010", "E011", "W011") == []


def test_a_policy_that_cannot_be_imported_is_an_error_with_a_hint(subtests: pytest.Subtests, settings: Any) -> None:
    cases: list[str] = ["nowhere.Policy", f"{__name__}.MissingPolicy", "no_path"]
    for path in cases:
        with subtests.test(path=path):
            settings.DJANGO_JOBS = {"ACCESS_POLICY": path}
            (message,) = checked("E010", "E011", "W011")
            assert message.id == "django_jobs.E010"
            assert path in message.msg
            assert "django_jobs.AccessPolicy" in str(message.hint)


@pytest.mark.parametrize("name", ["OtherPolicy", "ids"])
def test_a_policy_that_is_none_is_an_error(settings: Any, name: str) -> None:
    settings.DJANGO_JOBS = {"ACCESS_POLICY": f"{__name__}.{name}"}
    assert ids(checked("E010", "E011", "W011")) == ["django_jobs.E011"]


def test_a_policy_for_own_tenants_must_answer_for_them(settings: Any) -> None:
    settings.DJANGO_JOBS = {"ACCESS_POLICY": f"{__name__}.GoodPolicy"}
    settings.DJANGO_JOBS_ORGANIZATION_MODEL = "shop.Customer"
    messages = checked("E010", "E011", "W011")
    assert ids(messages) == ["django_jobs.W011"] * 4
    assert "organizations_of()" in messages[0].msg


@pytest.mark.parametrize("name", ["name", "id"])
def test_a_unique_field_names_an_organization(settings: Any, name: str) -> None:
    settings.DJANGO_JOBS = {"ORGANIZATION_ID_FIELD": name}
    assert checked("E012") == []


@pytest.mark.parametrize(("name", "word"), [("title", "not unique"), ("slug", "does not exist")])
def test_another_field_does_not(settings: Any, name: str, word: str) -> None:
    settings.DJANGO_JOBS = {"ORGANIZATION_ID_FIELD": name}
    (message,) = checked("E012")
    assert message.id == "django_jobs.E012"
    assert word in message.msg
