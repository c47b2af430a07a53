"""The cards of the members' page: like jobs are folded into one, and older jobs are on further pages."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.db.models import F
from django.test import Client

from django_jobs import submit_job, submit_jobs
from django_jobs.models import Job, JobType, Organization
from example_project.shop import runs
from tests.support.admin import client_of
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.members_page import page_of, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


@pytest.fixture
def member(organization: Organization) -> Client:
    return client_of(make_user("alice", member_of=[organization]))


@pytest.fixture
def kind() -> JobType:
    return make_job_type(display_name="Water the plants")


def submit_many(kind: JobType, organization: Organization, count: int) -> list[int]:
    """Keys of jobs that were submitted together, oldest first."""
    same = {"job_type": kind.pk, "organization": organization}
    jobs = submit_jobs([{**same, "parameters": {"number": number}} for number in range(count)])
    return sorted(job.pk for job in jobs)


def page(member: Client, organization: Organization, below: str = "") -> str:
    return text_of(member.get(page_of(organization) + below))


def cards(text: str) -> list[str]:
    return re.findall(r'<li id="([^"]*)"', text)


def counts(text: str) -> list[str]:
    return re.findall(r'<span class="count \w+">([^<]*)</span>', text)


def end(keys: list[int], status: str) -> None:
    Job.objects.filter(pk__in=keys).update(status=status, ready_at=None)


# -- folding -----------------------------------------------------------------------------------------------------------


def test_like_jobs_are_one_card(member: Client, organization: Organization, kind: JobType) -> None:
    keys = submit_many(kind, organization, 5)

    text = page(member, organization)

    assert cards(text) == [f"group-{kind.pk}-{keys[0]}"]
    assert "<strong>Water the plants: 5 jobs</strong>" in text


def test_few_like_jobs_are_cards_of_their_own(member: Client, organization: Organization, kind: JobType) -> None:
    submit_many(kind, organization, runs.FOLDED - 1)

    assert len(cards(page(member, organization))) == runs.FOLDED - 1


def test_a_kind_with_words_of_its_own_is_counted_in_them(member: Client, organization: Organization) -> None:
    for number in range(4):
        submit_job("send_welcome_email", organization, {"customer": number + 1})

    assert "<strong>4 welcome mails</strong>" in page(member, organization)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("Running", "Your catalog is being published"),
        ("Completed", "Your catalog is published"),
        ("Dead Letter", "Your catalog could not be published"),
        ("Canceled", "This was canceled"),
    ],
)
def test_a_job_says_in_a_sentence_how_it_stands(
    member: Client, organization: Organization, status: str, sentence: str
) -> None:
    end([submit_job("catalog_publish", organization).pk], status)

    assert f'<span part="status" tabindex="-1">{sentence}</span>' in page(member, organization)


def test_a_kind_without_words_has_the_usual_ones(member: Client, organization: Organization, kind: JobType) -> None:
    end([submit_job(kind, organization).pk], "Running")

    assert '<span part="status" tabindex="-1">Running</span>' in page(member, organization)


def test_a_card_says_what_became_of_its_jobs(member: Client, organization: Organization, kind: JobType) -> None:
    keys = submit_many(kind, organization, 6)
    end(keys[:3], "Completed")
    end(keys[3:4], "Dead Letter")
    end(keys[4:5], "Running")

    text = page(member, organization)

    assert counts(text) == ["1 failed", "1 running", "1 waiting", "3 done"]
    assert '<progress max="100" value="66"' in text


def test_other_jobs_in_between_do_not_divide_a_card(member: Client, organization: Organization, kind: JobType) -> None:
    other = make_job_type()
    for _ in range(4):
        submit_job(kind, organization)
        submit_job(other, organization)

    assert len(cards(page(member, organization))) == 2


def test_jobs_of_two_owners_or_after_a_pause_are_apart(
    member: Client, organization: Organization, kind: JobType
) -> None:
    keys = submit_many(kind, organization, 12)
    Job.objects.filter(pk__in=keys[:8]).update(created_at=F("created_at") - dt.timedelta(minutes=2))
    Job.objects.filter(pk__in=keys[:4]).update(owner_name="bob")

    assert cards(page(member, organization)) == [f"group-{kind.pk}-{keys[n]}" for n in (8, 4, 0)]


def test_a_card_costs_no_statement_for_each_of_its_jobs(
    member: Client, organization: Organization, kind: JobType, django_assert_max_num_queries: Any
) -> None:
    submit_many(kind, organization, 200)

    with django_assert_max_num_queries(16):
        page(member, organization)


# -- pages -------------------------------------------------------------------------------------------------------------


def test_older_jobs_are_on_the_next_page_and_none_is_left_out(
    member: Client, organization: Organization, kind: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "CARDS", 2)
    keys = submit_many(kind, organization, 5)
    last = [submit_job(make_job_type(), organization) for _ in range(3)]

    first = page(member, organization)
    older = re.search(r'href="[^"]*/(before/\d+/)"', first)

    assert cards(first) == [last[2].name, last[1].name]
    assert older is not None
    assert cards(page(member, organization, older[1])) == [last[0].name, f"group-{kind.pk}-{keys[0]}"]
    assert cards(page(member, organization, f"{older[1]}rows/")) == [last[0].name, f"group-{kind.pk}-{keys[0]}"]


def link(text: str, rel: str) -> str | None:
    """Where the link to the page before or behind leads, below the organization's page."""
    found = re.search(rf'rel="{rel}" href="/shop/[^/]+/([^"]*)"', text)
    return found and found[1]


def test_a_page_leads_to_the_next_newer_one_until_the_newest(
    member: Client, organization: Organization, kind: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "CARDS", 2)
    for _ in range(3):
        submit_job(make_job_type(), organization)
    submit_many(kind, organization, 5)
    for _ in range(3):
        submit_job(make_job_type(), organization)

    pages = [page(member, organization)]
    while below := link(pages[-1], "next"):
        pages.append(page(member, organization, below))
    back = [pages[-1]]
    while (below := link(back[-1], "prev")) is not None:
        back.append(page(member, organization, below))

    assert [len(cards(text)) for text in pages] == [2, 2, 2, 1]
    assert [cards(text) for text in back[::-1]] == [cards(text) for text in pages]


def test_the_next_newer_page_has_a_run_whole_that_is_too_long_to_be_read(
    member: Client, organization: Organization, kind: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "READ", 4)
    monkeypatch.setattr(runs, "CARDS", 1)
    submit_job(make_job_type(), organization)
    keys = submit_many(kind, organization, 10)
    newest = submit_job(make_job_type(), organization)

    assert link(page(member, organization, f"before/{keys[0]}/"), "prev") == f"before/{newest.pk}/"
    assert cards(page(member, organization, f"before/{newest.pk}/")) == [f"group-{kind.pk}-{keys[0]}"]
    assert link(page(member, organization, f"before/{newest.pk}/"), "prev") == ""


def test_a_run_that_is_too_long_to_be_counted_is_passed_in_parts(
    member: Client, organization: Organization, kind: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "READ", 4)
    monkeypatch.setattr(runs, "FAR", 3)
    keys = submit_many(kind, organization, 12)

    assert link(page(member, organization, f"before/{keys[0]}/"), "prev") == f"before/{keys[3] + 4}/"
    assert link(page(member, organization, f"before/{keys[6]}/"), "prev") == ""


def test_a_run_that_is_longer_than_what_a_page_reads_is_counted_whole(
    member: Client, organization: Organization, kind: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "READ", 4)
    before = submit_job(make_job_type(), organization)
    keys = submit_many(kind, organization, 10)
    end(keys[:3], "Completed")

    text = page(member, organization)

    assert cards(text) == [f"group-{kind.pk}-{keys[0]}"]
    assert counts(text) == ["7 waiting", "3 done"]
    assert cards(page(member, organization, f"before/{keys[0]}/")) == [before.name]


def test_a_long_run_ends_at_a_pause(
    member: Client, organization: Organization, kind: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "READ", 4)
    keys = submit_many(kind, organization, 10)
    Job.objects.filter(pk__in=keys[:5]).update(created_at=F("created_at") - dt.timedelta(minutes=2))

    assert counts(page(member, organization)) == ["5 waiting"]


def test_a_page_reads_so_many_rows_and_goes_on_after_them(
    member: Client, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "READ", 2)
    jobs = [submit_job(make_job_type(), organization) for _ in range(3)]

    text = page(member, organization)

    assert cards(text) == [jobs[2].name, jobs[1].name]
    assert f"/before/{jobs[1].pk}/" in text


def test_where_nothing_is_older_there_is_no_way_on(member: Client, organization: Organization, kind: JobType) -> None:
    submit_job(kind, organization)

    text = page(member, organization)

    assert "/before/" not in text


def test_before_the_first_job_there_is_none(member: Client, organization: Organization, kind: JobType) -> None:
    submit_job(kind, organization)

    assert "There are no older jobs." in page(member, organization, "before/1/")


def test_a_key_that_no_database_knows_is_no_error(member: Client, organization: Organization, kind: JobType) -> None:
    submit_job(kind, organization)

    assert member.get(f"{page_of(organization)}before/{10**30}/").status_code == 200


# -- a group's page, and a job's ---------------------------------------------------------------------------------------


def group_path(kind: JobType, keys: list[int]) -> str:
    return f"groups/{kind.pk}/{keys[0]}-{keys[-1]}/"


def test_a_group_shows_its_jobs_page_by_page(member: Client, organization: Organization, kind: JobType) -> None:
    keys = submit_many(kind, organization, 25)
    path = group_path(kind, keys)

    assert len(cards(page(member, organization, path))) == 20
    assert len(cards(page(member, organization, f"{path}?page=2"))) == 5
    assert len(cards(page(member, organization, f"{path}rows/"))) == 20


def test_those_that_failed_can_be_shown_alone(member: Client, organization: Organization, kind: JobType) -> None:
    keys = submit_many(kind, organization, 5)
    end(keys[:1], "Dead Letter")

    text = page(member, organization, f"{group_path(kind, keys)}?failed=1")

    assert cards(text) == [Job.objects.get(pk=keys[0]).name]
    assert counts(text) == ["1 failed", "4 waiting"]


def test_where_none_failed_that_is_said(member: Client, organization: Organization, kind: JobType) -> None:
    text = page(member, organization, f"{group_path(kind, submit_many(kind, organization, 5))}?failed=1")

    assert cards(text) == []
    assert "None of them failed." in text


@pytest.mark.parametrize("query", ["?page=99", "?page=x", "?page=-1"])
def test_a_page_that_is_not_there_is_the_nearest(
    member: Client, organization: Organization, kind: JobType, query: str
) -> None:
    keys = submit_many(kind, organization, 5)

    assert len(cards(page(member, organization, group_path(kind, keys) + query))) == 5


def test_a_group_of_another_organization_is_not_shown(
    member: Client, organization: Organization, kind: JobType
) -> None:
    keys = submit_many(kind, make_organization(), 5)

    assert member.get(page_of(organization) + group_path(kind, keys)).status_code == 404


def test_a_group_of_nobody_knows_no_job_of_somebody(member: Client, organization: Organization, kind: JobType) -> None:
    keys = submit_many(kind, organization, 5)

    assert member.get(f"{page_of(organization)}{group_path(kind, keys)}?owner=bob").status_code == 404


def test_a_group_of_keys_that_no_database_knows_is_not_found(
    member: Client, organization: Organization, kind: JobType
) -> None:
    keys = submit_many(kind, organization, 5)

    for path in (group_path(kind, [keys[0], 10**30]), group_path(kind, [10**30, 10**31]), group_path(kind, keys[::-1])):
        assert member.get(page_of(organization) + path).status_code == 404


def test_of_a_group_no_more_is_counted_than_a_run_can_have(
    member: Client, organization: Organization, kind: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "READ", 2)
    monkeypatch.setattr(runs, "FAR", 2)
    keys = submit_many(kind, organization, 6)

    text = page(member, organization, group_path(kind, [0, keys[-1] + 1000]))

    assert counts(text) == ["4 waiting"]


def test_a_job_has_a_page_of_its_own(member: Client, organization: Organization, kind: JobType) -> None:
    job = submit_job(kind, organization)

    assert cards(page(member, organization, f"jobs/{job.name}/")) == [job.name]


@pytest.mark.parametrize("job_id", ["JOB-2026-99999", "nonsense"])
def test_a_job_that_is_not_there_is_not_found_in_words(member: Client, organization: Organization, job_id: str) -> None:
    response = member.get(f"{page_of(organization)}jobs/{job_id}/")

    assert response.status_code == 404
    assert "The job may have been deleted" in text_of(response)


def test_a_job_of_another_organization_is_not_found(member: Client, organization: Organization, kind: JobType) -> None:
    theirs = submit_job(kind, make_organization())

    assert member.get(f"{page_of(organization)}jobs/{theirs.name}/").status_code == 404


# -- what a card says --------------------------------------------------------------------------------------------------


def test_a_job_names_what_it_waits_for(member: Client, organization: Organization, kind: JobType) -> None:
    parent = submit_job("csv_import", organization, {"upload": 1})
    submit_job(kind, organization, depends_on=parent)

    assert "Waiting for: Import customers" in page(member, organization)


def test_what_has_ended_is_not_waited_for(member: Client, organization: Organization, kind: JobType) -> None:
    parents = [submit_job("csv_import", organization, {"upload": 1}), submit_job(make_job_type(), organization)]
    submit_job(kind, organization, depends_on=parents)
    end([parents[0].pk], "Completed")

    assert "Import customers and" not in page(member, organization)


def test_a_time_stands_with_its_zone(member: Client, organization: Organization, kind: JobType) -> None:
    submit_job(kind, organization)

    assert re.search(r"<time [^>]*>[^<]* UTC</time>", page(member, organization))
