from __future__ import annotations

import pytest

from django_jobs import Status, get_job_status
from django_jobs.models import Job, JobType
from django_jobs.testing import run_jobs
from example_project.demo import samples
from example_project.demo.samples import Samples
from example_project.shop import fax_provider, marketplace, providers, seeding
from example_project.shop.catalog import SHOPS

pytestmark = pytest.mark.django_db

SHOP = SHOPS[1]


@pytest.fixture
def demo(broker: object, monkeypatch: pytest.MonkeyPatch) -> Samples:
    """The smaller shop with its people and orders, and a short file to import."""
    monkeypatch.setattr(samples, "ROWS_PER_CUSTOMER", 20)
    # So long that what has to wait is not due on a slow machine either.
    monkeypatch.setattr(fax_provider, "BACK_IN", 3_600)
    monkeypatch.setattr(marketplace, "sleep", lambda _: None)
    monkeypatch.setattr(providers, "sleep", lambda _: None)
    JobType.objects.filter(pk="fax_send").update(retry_delay=0)
    seeding.seed_organization(SHOP, seeding.demo_password_hash())
    seeding.seed_shop(SHOP)
    return Samples(SHOP)


def test_what_the_demo_submits_ends_as_it_says(demo: Samples) -> None:
    jobs = demo.submit_all()
    run_jobs(retries=True)
    ends = {what: get_job_status(job).status for what, job in jobs.items()}
    assert {what for what, status in ends.items() if status == Status.DEAD_LETTER} == {
        "fax, is out of service: Dead Letter at once",
        "fax, stays busy: Dead Letter after three retries",
    }
    assert [what for what, status in ends.items() if status == Status.PENDING] == [
        "fax, has to wait 2 s, which spends no retry"
    ]
    assert {job.owner_name for job in jobs.values()} == {SHOP.member}


def test_a_demo_that_starts_again_submits_nothing_twice_but_its_report_request(demo: Samples) -> None:
    first = demo.submit_all()
    before = Job.objects.count()
    assert demo.submit_all() == first
    assert set(Job.objects.order_by("pk")[before:].values_list("job_type", flat=True)) == {"report_ready"}
