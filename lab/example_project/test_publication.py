"""The example's slow job: something to watch, and to cancel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from django_jobs import cancel_job, get_job_status, submit_job
from django_jobs.models import Job, Organization
from django_jobs.testing import run_jobs
from example_project.shop import marketplace
from example_project.shop.catalog import SHOPS
from example_project.shop.seeding import make_products
from tests.support import verbs
from tests.support.admin import client_of
from tests.support.factories import make_user
from tests.support.members_page import page_of, text_of

SHOP = SHOPS[0]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


@pytest.fixture
def shop(organization: Organization) -> Organization:
    make_products(SHOP, organization)
    return organization


def test_it_gives_a_person_the_time_to_cancel_it(shop: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(marketplace, "sleep", pauses.append)
    job = submit_job("catalog_publish", shop)
    run_jobs(raise_errors=True)

    assert get_job_status(job).result == {"published": len(SHOP.articles)}
    assert 20 <= sum(pauses) <= 60


def test_it_tells_how_far_it_is_and_stops_where_it_is_canceled(
    shop: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit_job("catalog_publish", shop)
    published: list[Any] = []

    def sleep(seconds: float) -> None:
        published.append(seconds)
        if len(published) == 9:
            cancel_job(job)

    monkeypatch.setattr(marketplace, "sleep", sleep)
    run_jobs()
    status = get_job_status(job)

    assert (status.status, len(published)) == ("Canceled", 9)
    assert 0 < status.progress <= 100 * 9 // len(SHOP.articles)
    assert f" of {len(SHOP.articles)}: " in status.progress_message


def test_publications_wait_while_the_marketplace_is_down(
    shop: Organization, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    settings.PROVIDERS_DIR = tmp_path
    monkeypatch.setattr(marketplace, "sleep", lambda _: None)
    marketplace.outage().touch()
    tried = [submit_job("catalog_publish", shop, {"seconds": seconds}) for seconds in (1, 2, 3)]
    run_jobs()
    waiting = submit_job("catalog_publish", shop, {"seconds": 4})
    run_jobs()

    assert [get_job_status(job).error_message for job in tried] == ["The marketplace does not answer."] * 3
    assert (get_job_status(waiting).status, get_job_status(waiting).waiting_for) == ("Pending", "breaker")

    marketplace.outage().unlink()
    verbs.close_breaker("catalog_publish")
    assert {status.status for status in run_jobs(retries=True)} == {"Completed"}


def test_a_shop_publishes_once_at_a_time(shop: Organization) -> None:
    first, second = [submit_job("catalog_publish", shop, {"seconds": seconds}) for seconds in (1, 2)]
    verbs.dispatch()
    assert get_job_status(first).waiting_for == "broker"
    assert get_job_status(second).waiting_for == "concurrency"


def test_members_start_it_from_their_page_and_are_told_what_is_too_long(shop: Organization) -> None:
    member = client_of(make_user("alice", member_of=[shop]))
    refused = member.post(page_of(shop), {"job_type": "catalog_publish", "catalog_publish-seconds": "21"})
    assert "less than or equal to 20" in text_of(refused)

    member.post(page_of(shop), {"job_type": "catalog_publish", "catalog_publish-seconds": "2"})
    job = Job.objects.get()
    assert (job.job_type_id, job.owner_name, job.input_parameters) == ("catalog_publish", "alice", {"seconds": 2})
