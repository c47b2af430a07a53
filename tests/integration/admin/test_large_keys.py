"""Values of a concurrency key that are large, or no text: the pages show them shortened, and count them right."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.test import Client

from django_jobs import get_job_status
from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.admin import fact_on, page_of, text, url
from tests.support.brokers import pending_job
from tests.support.factories import make_job_type

pytestmark = pytest.mark.usefixtures("broker")

MEGABYTE: Final = 1_000_000
#: A page that has nothing of a megabyte but its beginning.
MOST_SHOWN: Final = 200_000
LONG_TEXT: Final = "<b>" + "x" * MEGABYTE
OBJECT: Final = {"area": "<eu>", "tags": ["a", None, 7]}
OBJECT_TURNED: Final = {"tags": ["a", None, 7.0], "area": "<eu>"}
LARGE_OBJECT: Final = {"rows": [{"name": "<i>", "number": number} for number in range(40_000)]}
CASES: Final[dict[str, tuple[Any, Any, str]]] = {
    "a long text": (LONG_TEXT, LONG_TEXT, f"account &lt;b&gt;{'x' * 40}"),
    "an object": (OBJECT, OBJECT_TURNED, "account {&quot;area&quot;: &quot;&lt;eu&gt;&quot;"),
    "a large object": (LARGE_OBJECT, LARGE_OBJECT, "account {&quot;rows&quot;: [{&quot;name&quot;: &quot;&lt;i&gt;"),
    "a list": ([1, "two"], [1.0, "two"], "account [1, &quot;two&quot;]"),
    "nothing": (None, None, "account null"),
    "an empty text": ("", "", "account "),
}


@pytest.fixture
def keyed(settings: Any) -> JobType:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_PARAMETERS_BYTES": 4 * MEGABYTE}
    return make_job_type(concurrency_key="account")


def fill(kind: JobType, organization: Organization, *values: Any) -> list[Job]:
    """A job for each value, dispatched as far as the key's limit of 1 allows."""
    jobs = [
        pending_job(kind, organization, parameters={"account": value, "number": number})
        for number, value in enumerate(values)
    ]
    verbs.dispatch()
    return jobs


def keys_of(page: str) -> str:
    """What a type's page says of keys at their limit."""
    return page.partition('data-code="max_running_per_key"')[2].partition("</aside>")[0]


@pytest.mark.parametrize("case", CASES)
def test_a_key_at_its_limit_is_shown_shortened(
    root: Client, keyed: JobType, organization: Organization, case: str
) -> None:
    first, second, shown = CASES[case]
    running, held = fill(keyed, organization, first, second)
    assert [get_job_status(job).waiting_for for job in (running, held)] == ["broker", "concurrency"]
    page = text(root, url("jobtype", "change", keyed.pk))
    assert len(page) < MOST_SHOWN
    assert shown in keys_of(page)
    assert "<b>x" not in page
    assert "<eu>" not in page


@pytest.mark.parametrize("case", CASES)
def test_the_page_of_a_job_that_waits_for_such_a_key_opens(
    root: Client, keyed: JobType, organization: Organization, case: str
) -> None:
    first, second, shown = CASES[case]
    _, held = fill(keyed, organization, second, first)
    page = page_of(root, held)
    assert len(page) < MOST_SHOWN
    waits = fact_on(page, "waits_because")
    assert shown in waits
    assert len(waits) < 20_000


def test_long_values_that_differ_in_their_last_character_are_two_keys(
    root: Client, keyed: JobType, organization: Organization
) -> None:
    jobs = fill(keyed, organization, LONG_TEXT + "1", LONG_TEXT + "2", LONG_TEXT + "1")
    assert [get_job_status(job).waiting_for for job in jobs] == ["broker", "broker", "concurrency"]
    page = text(root, url("jobtype", "change", keyed.pk))
    assert keys_of(page).count("account &lt;b&gt;") == 4  # each with a tooltip


def test_the_whole_value_is_shown_to_who_asks_for_it(root: Client, keyed: JobType, organization: Organization) -> None:
    (job,) = fill(keyed, organization, LONG_TEXT)
    assert len(page_of(root, job, all="1")) > MEGABYTE
