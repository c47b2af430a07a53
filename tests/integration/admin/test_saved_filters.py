"""Filters of the jobs list that people keep: saving, following, sharing and deleting them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from django_jobs.models import Organization, SavedFilter
from tests.support import admin
from tests.support.admin import codes_on, codes_said, text, url
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine)


def save(client: Client, query: str, name: str = "Morning", **fields: str) -> Any:
    return client.post(url("job", "save_filter"), {"query": query, "name": name, **fields}, follow=True)


def kept() -> list[tuple[str, str, str, bool]]:
    """Whose, under which name, which query, and whether it is shared."""
    rows = SavedFilter.objects.order_by("pk").select_related("user")
    return [(row.user.get_username(), row.name, row.query, row.is_shared) for row in rows]


def offered(client: Client) -> list[str]:
    """The names of the links above the list."""
    return [item.name for item in client.get(url("job", "changelist")).context["cl"].saved]


def test_a_filter_with_a_search_is_kept_and_followed(root: Client) -> None:
    dead = job_in("Dead Letter")
    pending_job(dead.job_type)
    response = save(root, f"status=Dead+Letter&q=failed&p=3&o=1&job_type={dead.job_type_id}")
    assert codes_said(response) == ["saved"]
    query = f"job_type={dead.job_type_id}&q=failed&status=Dead+Letter"
    assert kept() == [("root", "Morning", query, False)]
    page = text(root, url("job", "changelist"))
    assert f'<a href="?{query.replace("&", "&amp;")}"><bdi>Morning</bdi></a>' in page
    followed = root.get(f"{url('job', 'changelist')}?{query}")
    assert list(followed.context["cl"].result_list) == [dead]
    assert 'aria-current="true"><bdi>Morning</bdi>' in followed.content.decode()


def test_saving_under_a_name_that_is_taken_replaces_what_had_it(root: Client, member: Client) -> None:
    save(root, "status=Failed")
    save(member, "status=Running")
    assert codes_said(save(root, "status=Canceled"))[-1] == "replaced"
    assert kept() == [("root", "Morning", "status=Canceled", False), ("member", "Morning", "status=Running", False)]


REFUSED: list[tuple[dict[str, str], str]] = [
    ({"query": ""}, "nothing_to_save"),
    ({"query": "p=2&o=1"}, "nothing_to_save"),
    ({"query": "input_parameters__api_key__regex=^h&pk__gt=1"}, "nothing_to_save"),
    ({"query": "q=%00"}, "nothing_to_save"),
    ({"query": "q=" + "x" * 1_200}, "too_long"),
    ({"query": "status=Failed", "name": " "}, "invalid_name"),
    ({"query": "status=Failed", "name": "x" * 61}, "invalid_name"),
    ({"query": "status=Failed", "name": "a\x00b"}, "invalid_name"),
]


def test_what_cannot_be_saved_is_said(subtests: pytest.Subtests, root: Client) -> None:
    for fields, code in REFUSED:
        with subtests.test(fields=str(fields)[:60]):
            assert codes_said(save(root, **fields)) == [code]
            assert kept() == []


def test_only_so_many_are_kept(root: Client, tuning: Tuning) -> None:
    tuning.set(saved_filters=2)
    save(root, "status=Failed", "one")
    save(root, "status=Failed", "two")
    assert codes_said(save(root, "status=Failed", "three")) == ["too_many"]
    save(root, "status=Canceled", "two")
    assert [(name, query) for _, name, query, _ in kept()] == [("one", "status=Failed"), ("two", "status=Canceled")]


def test_nothing_is_saved_by_a_link(root: Client) -> None:
    root.get(url("job", "save_filter"), {"query": "status=Failed", "name": "x"})
    row = SavedFilter.objects.create(user=User.objects.get(username="root"), name="x", query="status=Failed")
    root.get(url("job", "delete_filter", row.pk))
    assert kept() == [("root", "x", "status=Failed", False)]


def test_saved_filters_are_deleted(root: Client) -> None:
    save(root, "status=Failed", "one")
    save(root, "status=Canceled", "two")
    second = SavedFilter.objects.get(name="two")
    deleted = root.post(url("job", "delete_filter", second.pk), follow=True)
    assert codes_said(deleted) == ["deleted"]
    assert kept() == [("root", "one", "status=Failed", False)]
    again = root.post(url("job", "delete_filter", second.pk), follow=True)
    assert codes_said(again) == ["gone"]


def test_nobody_changes_the_filters_of_others(root: Client, member: Client) -> None:
    save(root, "status=Failed")
    save(root, "status=Canceled", "Shared", is_shared="on")
    for row in SavedFilter.objects.all():
        response = member.post(url("job", "delete_filter", row.pk), follow=True)
        assert codes_said(response) == ["gone"]
    assert kept() == [("root", "Morning", "status=Failed", False), ("root", "Shared", "status=Canceled", True)]
    assert (offered(member), offered(root)) == (["Shared"], ["Morning", "Shared"])


def test_a_system_admin_shares_a_filter_with_all_and_others_cannot(root: Client, member: Client) -> None:
    save(root, "status=Failed&created_after=24h", "Of today", is_shared="on")
    save(member, "status=Canceled", "Own", is_shared="on")
    assert offered(root) == ["Of today"]
    assert offered(member) == ["Of today", "Own"]
    assert offered(root) == ["Of today"]
    assert 'name="is_shared"' not in text(member, url("job", "changelist"), status="Failed")
    assert 'name="is_shared"' in text(root, url("job", "changelist"), status="Failed")


def test_a_shared_filter_that_may_name_others_is_offered_to_system_admins_alone(
    root: Client, member: Client, theirs: Organization
) -> None:
    make_job_type(type_name="open_to_all")
    foreign = make_job_type(type_name="foreign", submit_by="code")
    pending_job(foreign, theirs)
    save(root, f"organization={theirs.name}", "Tenant", is_shared="on")
    save(root, "q=Secretive", "Search", is_shared="on")
    save(root, "owner=bob", "Bob", is_shared="on")
    save(root, "job_type=foreign", "Foreign", is_shared="on")
    save(root, "job_type=open_to_all&status=Failed", "Open", is_shared="on")
    assert offered(member) == ["Open"]
    assert len(offered(root)) == 5


def test_neither_what_others_share_nor_what_nobody_may_see_takes_a_place(
    root: Client, member: Client, tuning: Tuning
) -> None:
    tuning.set(saved_filters=2)
    user = User.objects.get(username="root")
    for name in ("a", "b", "c"):
        SavedFilter.objects.create(user=user, name=name, query="q=Secretive", is_shared=True)
    for name in ("d", "e", "f"):
        SavedFilter.objects.create(user=user, name=name, query="status=Failed", is_shared=True)
    save(member, "status=Canceled", "own 1")
    save(member, "status=Canceled", "own 2")
    assert offered(member) == ["d", "e", "own 1", "own 2"]
    other = admin.system_admin()
    save(other, "status=Canceled", "own 3")
    assert offered(other) == ["a", "b", "own 3"]
    assert [row[0].name for row in other.get(url("job", "saved_filters")).context["rows"]] == ["a", "b", "own 3"]


def test_a_blank_fingerprint_is_kept(root: Client) -> None:
    save(root, "error_fingerprint=&status=&job_type=")
    assert kept() == [("root", "Morning", "error_fingerprint=", False)]


def test_another_system_admin_takes_a_shared_filter_back(root: Client) -> None:
    save(root, "status=Failed", is_shared="on")
    (row,) = SavedFilter.objects.all()
    other = admin.system_admin()
    assert re.search(r"<small>.*root.*</small>", text(other, url("job", "saved_filters")))
    other.post(url("job", "delete_filter", row.pk))
    assert kept() == []


def test_people_who_see_no_jobs_keep_no_filters(mine: Organization) -> None:
    client = admin.staff_of(mine, permissions=[])
    assert client.post(url("job", "save_filter"), {"query": "status=Failed", "name": "x"}).status_code == 403
    assert client.get(url("job", "saved_filters")).status_code == 403
    assert client.post(url("job", "delete_filter", 1)).status_code == 403


def test_a_kept_query_is_judged_anew_when_it_is_followed(root: Client) -> None:
    user = User.objects.get(username="root")
    SavedFilter.objects.create(user=user, name="old", query="input_parameters__a__regex=x")
    SavedFilter.objects.create(user=user, name="<b>", query="status=&quot;&q=%00%3Cscript%3E")
    page = text(root, url("job", "changelist"))
    assert "<bdi>&lt;b&gt;</bdi>" in page
    assert root.get(f"{url('job', 'changelist')}?input_parameters__a__regex=x").status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize("key", ["9" * 30, "a%00b", "x"])
def test_an_organization_that_cannot_be_is_told_as_it_was_saved(root: Client, key: str) -> None:
    SavedFilter.objects.create(user=User.objects.get(username="root"), name="odd", query=f"organization={key}")
    (row,) = root.get(url("job", "saved_filters")).context["rows"]
    assert key[-1] in row[2]


def test_the_filters_of_a_user_go_with_the_user(root: Client) -> None:
    save(root, "status=Failed")
    User.objects.get(username="root").delete()
    assert kept() == []


def test_the_page_of_saved_filters_says_how_to_begin(root: Client) -> None:
    assert codes_on(text(root, url("job", "saved_filters"))) == ["nothing_saved"]
