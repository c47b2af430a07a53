"""The example project's pages about the API, in Chromium, under its Content-Security-Policy."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from django_jobs.models import Organization
from tests.browser.conftest import Visit
from tests.support.api import make_schema
from tests.support.factories import make_user

pytestmark = pytest.mark.usefixtures("transactional_db")


def test_the_documentation_shows_every_operation_and_keeps_to_its_policy(visit: Visit) -> None:
    page = visit(None, "/api/docs/")

    operations = [operation for path in make_schema()["paths"].values() for operation in path]
    expect(page.locator(".opblock")).to_have_count(len(operations))
    expect(page.locator(".opblock-summary-path", has_text="/api/jobs/bulk/")).to_be_visible()
    assert "script-src 'self';" in page.request.get("/api/docs/").headers["content-security-policy"]


@pytest.mark.parametrize("operation_id", ["jobs_list", "jobs_socket_ticket_create"])
def test_reading_and_changing_are_tried_out_with_the_visitors_session(
    organization: Organization, visit: Visit, operation_id: str
) -> None:
    page = visit(make_user(member_of=[organization]), "/api/docs/")
    operation = page.locator(f"#operations-jobs-{operation_id}")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")
