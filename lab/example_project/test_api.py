"""What answers at the example project's ``/api/``."""

from __future__ import annotations

import pytest
from django.test import Client

from django_jobs.models import Organization
from tests.support.api import client_of
from tests.support.factories import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


def test_the_entrance_of_the_api_shows_strangers_where_everything_is() -> None:
    links = Client().get("/api/").json()

    assert links == {
        "jobs": "http://testserver/api/jobs/",
        "metrics": "http://testserver/api/jobs/metrics/",
        "operations": "http://testserver/api/jobs/operations/",
        "batches": "http://testserver/api/batches/",
        "schedules": "http://testserver/api/schedules/",
        "job-types": "http://testserver/api/job-types/",
        "alerts": "http://testserver/api/alerts/",
        "schema": "http://testserver/api/schema/",
        "docs": "http://testserver/api/docs/",
    }


def test_each_of_its_links_leads_somewhere(organization: Organization) -> None:
    member = client_of(make_user(member_of=[organization]))

    assert {member.get(link).status_code for link in member.get("/api/").json().values()} == {200}


def test_a_browser_gets_a_page_with_links() -> None:
    page = Client().get("/api/", headers={"Accept": "text/html"}).content.decode()

    assert '<a href="http://testserver/api/jobs/"' in page
    assert "Log in" in page


def test_the_documentation_has_no_line_of_its_own_script_or_style_in_the_page() -> None:
    answer = Client().get("/api/docs/")

    assert "default-src 'none'; script-src 'self'; style-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "<style" not in answer.content.decode()
    assert answer.content.decode().count("<script") == answer.content.decode().count("<script src=") == 2
