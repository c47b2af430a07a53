"""``{% alarm_panel %}`` in pages of the host's admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.db import OperationalError
from django.template import Context, RequestContext, Template
from django.test import RequestFactory

from django_jobs.models import Alert
from tests.support.alerts import make_alert, scheduler_ticks
from tests.support.attempts import raising
from tests.support.factories import make_system_admin
from tests.support.interpreters import printed_by
from tests.support.statements import before_statement

PAGE = Template("{% load django_jobs_admin %}[{% alarm_panel %}]")


@pytest.fixture(autouse=True)
def _an_alarm(without_redis: None) -> None:
    scheduler_ticks()
    make_alert("no_worker", "default", {"waiting": 3})


def rendered(user: Any) -> str:
    request = RequestFactory().get("/staff/?page=2")
    request.user = user
    return str(PAGE.render(RequestContext(request)))


def test_it_shows_alarms_on_a_page_of_the_hosts_own() -> None:
    shown = rendered(make_system_admin())
    assert 'data-djobs-alarm="no_worker:default:' in shown


def test_it_shows_nothing_to_people_who_are_not_logged_in() -> None:
    assert rendered(AnonymousUser()).strip("[]\n") == ""


def test_it_shows_nothing_where_there_is_no_request() -> None:
    for context in (Context(), RequestContext(RequestFactory().get("/"))):  # and where nobody is known
        assert PAGE.render(context).strip("[]\n") == ""


def test_a_database_that_cannot_be_asked_breaks_no_page() -> None:
    admin_user = make_system_admin()
    with before_statement("SELECT", Alert, raising(OperationalError("gone"))):
        assert rendered(admin_user).strip("[]\n") == ""


def test_the_index_of_the_default_site_has_it() -> None:
    assert admin.site.index_template == "admin/django_jobs/index.html"


def test_a_project_without_the_admin_renders_templates() -> None:
    settings = {
        "SECRET_KEY": "x",
        "INSTALLED_APPS": ["django.contrib.auth", "django.contrib.contenttypes", "django_jobs"],
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        "TEMPLATES": [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    }
    code = (
        f"import django\nfrom django.conf import settings\nsettings.configure(**{settings!r})\ndjango.setup()\n"
        "from django.template import engines\n"
        "print(engines['django'].from_string('{% load django_jobs %}fine').render())"
    )
    assert printed_by(code) == "fine"
