"""The system checks of what the REST API needs, each both ways."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.apps import apps
from django.urls import include, path
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.viewsets import ViewSet

from django_jobs.api.base import JobsView
from tests.support.checks import checked


class HostView(ViewSet):
    """A view of the host's own."""

    renderer_classes = [BrowsableAPIRenderer]


class ApiUrls:
    urlpatterns: Final = [path("api/", include("django_jobs.api.urls"))]


class OtherUrls:
    urlpatterns: Final = [
        path("health/", include("django_jobs.api.health_urls")),
        path("own/", HostView.as_view({"get": "list"})),
    ]


class WrongUrls:
    """URLs of which Django's own check (``urls.E004``) says what is wrong."""

    urlpatterns: Final = [("x", print), "nope"]


# -- apps of the API's pages


def told() -> list[str]:
    return [f"{message.id} {message.msg.split()[5]}" for message in checked("W031")]


def test_with_the_apps_of_the_pages_all_is_fine(settings: Any) -> None:
    settings.ROOT_URLCONF = ApiUrls
    assert told() == []


@pytest.mark.parametrize("name", ["rest_framework", "django_filters"])
def test_an_app_of_the_pages_that_is_not_installed_is_told_once(
    settings: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settings.ROOT_URLCONF = ApiUrls
    monkeypatch.setattr(apps, "is_installed", lambda asked: asked != name)
    assert told() == [f"django_jobs.W031 '{name}'"]


@pytest.mark.parametrize("urls", [OtherUrls, WrongUrls, None])
def test_who_mounts_no_api_needs_none_of_them(settings: Any, monkeypatch: pytest.MonkeyPatch, urls: Any) -> None:
    settings.ROOT_URLCONF = urls
    monkeypatch.setattr(apps, "is_installed", lambda _: False)
    assert told() == []


def test_an_api_without_pages_needs_none_of_them(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ROOT_URLCONF = ApiUrls
    monkeypatch.setattr(JobsView, "renderer_classes", [JSONRenderer])
    monkeypatch.setattr(apps, "is_installed", lambda _: False)
    assert told() == []


# -- METHOD_PREFIX


@pytest.mark.parametrize("prefix", ["dartwing.dartwing_core.api.jobs", "jobs", "shop-1/api", "aufträge"])
def test_a_prefix_that_can_stand_in_an_address_is_fine(settings: Any, prefix: str) -> None:
    settings.DJANGO_JOBS = {"METHOD_PREFIX": prefix}
    assert checked("E030") == []


WRONG: Final = [
    None,
    5,
    True,
    ["a"],
    b"a",
    "",
    "a b",
    "a\n",
    "<int:a>",
    "a?b",
    "a#b",
    "a%20b",
    "/a",
    "a/",
    ".a",
    "a.",
    "a\\b",
]


def test_a_prefix_that_cannot_is_told(subtests: pytest.Subtests, settings: Any) -> None:
    for value in WRONG:
        with subtests.test(value=value):
            settings.DJANGO_JOBS = {"METHOD_PREFIX": value}
            (message,) = checked("E030")
            assert (message.id, repr(value) in message.msg) == ("django_jobs.E030", True)
