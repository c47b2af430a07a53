"""``{% batch_progress batch %}``: what the server renders."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template
from django.test import RequestFactory

from django_jobs import cancel_batch, create_batch, get_batch_status
from django_jobs.exceptions import BatchNotFound
from django_jobs.models import Batch, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import verbs
from tests.support.batches import make_batch
from tests.support.factories import make_user

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def batch(organization: Organization) -> Batch:
    return make_batch(organization, "Completed", "Dead Letter", close=False)


def render(batch: Any, user: Any = None, *, options: str = "", request: bool = True) -> str:
    found = RequestFactory().get("/")
    found.user = user or AnonymousUser()
    context = Context({"batch": batch, **({"request": found} if request else {})})
    return Template(f"{{% load django_jobs %}}{{% batch_progress batch {options} %}}").render(context)


def state_in(markup: str) -> dict[str, Any]:
    found = re.search(r' batch="([^"]*)"', markup)
    assert found is not None
    state: dict[str, Any] = json.loads(html.unescape(found[1]))
    return state


def test_it_shows_the_state_without_any_script(batch: Batch) -> None:
    run_jobs()
    batch.close()
    markup = render(batch)
    assert 'data-status="Failed" data-amiss="yes"' in markup
    status = get_batch_status(batch)
    assert (status.state, status.progress) == ("Failed", 100)
    assert f'<span part="status" tabindex="-1">{verbs.BATCH_WORDS["Failed"]}</span>' in markup
    assert f'<span part="percent">{verbs.percent_in_words(100)}</span>' in markup
    assert f'<span part="message" dir="auto">{verbs.counts_in_words(status)}</span>' in markup
    assert re.findall(r"\d+", verbs.counts_in_words(status)) == ["1", "2", "1"]


def test_jobs_that_are_tried_again_count_as_failed(organization: Organization) -> None:
    batch = make_batch(organization, "Completed", "Failed", "Dead Letter")
    run_jobs()
    assert re.findall(r"\d+", verbs.counts_in_words(get_batch_status(batch))) == ["1", "3", "2"]


def test_the_bar_is_told_to_screen_readers(batch: Batch) -> None:
    markup = render(batch, options='label="Invoices"')
    for named, label in ((create_batch(batch.organization, name="March"), "March"), (batch, batch.batch_id)):
        assert f'aria-label="{label}"' in render(named)
    assert 'role="progressbar" aria-label="Invoices" aria-valuemin="0" aria-valuemax="100" aria-valuenow="0"' in markup
    assert f'aria-valuetext="{verbs.spoken(get_batch_status(batch))}"' in markup
    assert verbs.spoken(get_batch_status(batch)).startswith(str(verbs.BATCH_WORDS["Open"]))


def test_it_fills_in_the_addresses_and_the_state_for_the_script(batch: Batch) -> None:
    markup = render(batch)
    assert f'batch-id="{batch.batch_id}"' in markup
    assert 'api-url="/api/batches/"' in markup
    assert 'ws-url="ws://testserver/ws/jobs/"' in markup
    assert "csrf-token=" in markup
    state = state_in(markup)
    assert state.keys() == get_batch_status(batch).as_dict().keys()
    assert (state["state"], state["total"]) == ("Open", 2)


def test_it_takes_a_status_and_the_id_of_a_batch_that_the_user_may_see(
    batch: Batch, organization: Organization
) -> None:
    for given in (get_batch_status(batch), batch.batch_id):
        assert f'batch-id="{batch.batch_id}"' in render(given, make_user(member_of=[organization]))


def test_an_id_that_the_user_may_not_know_of_is_not_found(batch: Batch) -> None:
    with pytest.raises(BatchNotFound):
        render(batch.batch_id, make_user())


def test_a_name_is_escaped_wherever_it_stands(organization: Organization) -> None:
    markup = render(create_batch(organization, name="\"><script>alert('x')</script>"))
    assert "<script>" not in markup
    assert state_in(markup)["name"] == "\"><script>alert('x')</script>"


def test_it_offers_what_the_user_may_do(batch: Batch, organization: Organization) -> None:
    member, admin = make_user(member_of=[organization]), make_user(admin_of=[organization])
    mine = create_batch(organization, user=member)
    offered = [
        [word for word in ("can-cancel", "can-retry") if f" {word}" in render(shown, user)]
        for shown, user in ((batch, member), (mine, member), (batch, admin), (batch, None))
    ]
    assert offered == [[], ["can-cancel"], ["can-cancel", "can-retry"], []]


def test_of_one_that_completed_nothing_is_offered(organization: Organization, kind: JobType) -> None:
    admin = make_user(admin_of=[organization])
    assert "can-" not in render(make_batch(organization), admin)
    canceled = make_batch(organization, "Completed", "Completed")
    cancel_batch(canceled)
    run_jobs()
    assert get_batch_status(canceled).state == "Canceled"
    assert "can-" not in render(canceled, admin)
    assert re.findall(r"\d+", verbs.counts_in_words(get_batch_status(canceled))) == ["0", "2", "2"]


def test_one_without_jobs_says_so_while_some_may_come(organization: Organization) -> None:
    batch = create_batch(organization)
    assert verbs.counts_in_words(get_batch_status(batch)) == str(verbs.BATCH_WORDS["empty"])
    batch.close()
    assert verbs.counts_in_words(get_batch_status(batch)) == ""


def test_without_a_request_it_still_shows_the_state(batch: Batch) -> None:
    markup = render(batch, request=False)
    assert f">{verbs.BATCH_WORDS['Open']}</span>" in markup
    assert "csrf-token" not in markup


def test_without_rest_there_is_the_socket(batch: Batch, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    assert "api-url" not in render(batch)


urlpatterns: list[Any] = []
