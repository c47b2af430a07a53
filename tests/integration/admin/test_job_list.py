"""The list of jobs: what it shows and finds, to whom, and at which cost."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from django_jobs import AccessPolicy, retry_job, schedule_job, submit_job
from django_jobs.models import Job, Organization
from tests.support import admin, verbs
from tests.support.admin import asked, codes_on, listed, text, url
from tests.support.batches import make_batch
from tests.support.brokers import end, job_in, pending_job, raised, running_job, start
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.statements import statements_of
from tests.support.tuning import Tuning
from tests.support.verbs import JobAdmin

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine)


def test_a_row_tells_status_progress_and_durations(root: Client) -> None:
    job, _ = running_job()
    Job.objects.filter(pk=job.pk).update(progress=42, progress_message="half <b>")
    page = text(root, url("job", "changelist"))
    assert '<span class="djobs-badge djobs-running">Running</span>' in page
    assert '<progress max="100" value="42"' in page
    assert "half &lt;b&gt;" in page
    assert f'data-djobs-waited="{job.pk}"' in page
    Job.objects.filter(pk=job.pk).update(status="Completed")
    assert "<progress" not in text(root, url("job", "changelist"))


def test_a_failed_job_shows_the_first_words_of_its_error_with_a_link_to_its_like(root: Client) -> None:
    kind = make_job_type(type_name="mails")
    job = end(raised(start(pending_job(kind)), "Permanent", text="No <b>mailer</b>\n" + "x" * 500))
    page = text(root, url("job", "changelist"))
    group = f"{url('failure', 'group')}?job_type=mails&amp;error_fingerprint={job.error_fingerprint}"
    assert f'<a class="djobs-error" data-djobs-error="{job.pk}" href="{group}">No &lt;b&gt;mailer&lt;/b&gt; xxx' in page
    assert "x" * 120 not in page


def test_a_job_that_is_retried_shows_no_error_of_its_past(root: Client) -> None:
    job = retry_job(job_in("Dead Letter"))
    for kept in ("", "it failed"):
        Job.objects.filter(pk=job.pk).update(error_message=kept)
        page = text(root, url("job", "changelist"))
        assert f'<a class="djobs-error" data-djobs-error="{job.pk}"></a>' in page


def test_names_in_a_row_narrow_the_list_further(root: Client, mine: Organization) -> None:
    owner = make_user("alice", member_of=[mine])
    kind = make_job_type(type_name="mails")
    pending_job(kind, mine, user=owner, priority="High")
    page = text(root, url("job", "changelist"), status="Pending", p="1")
    assert "<small>High</small>" in page
    for query in ("job_type=mails&amp;status=Pending", f"organization={mine.name}&amp;status=Pending", "owner=alice"):
        assert f'href="?{query}' in page


def test_a_job_of_a_batch_leads_to_the_others(root: Client, mine: Organization) -> None:
    batch = make_batch(mine, "Completed")
    assert f'href="?batch={batch.batch_id}"' in text(root, url("job", "changelist"))


def test_filters_narrow_the_list(subtests: pytest.Subtests, root: Client, mine: Organization) -> None:
    cases: list[tuple[dict[str, str], list[str]]] = [
        ({"status": "Dead Letter"}, ["dead"]),
        ({"status": "Running"}, ["running"]),
        ({"status": "Pending"}, ["waiting", "child"]),
        ({"job_type": "mails"}, ["dead"]),
        ({"priority": "3"}, ["running"]),
        ({"has_error": "yes"}, ["dead"]),
        ({"has_error": "no", "status": "Running"}, ["running"]),
        ({"created_after": "1h", "status": "Running"}, ["running"]),
        ({"created_after": "24h", "job_type": "mails"}, []),
        ({"status": "Pending", "priority": "3"}, []),
    ]
    jobs = {"dead": job_in("Dead Letter", job_type=make_job_type(type_name="mails"))}
    jobs["running"] = job_in("Running", priority="Critical")
    jobs["waiting"] = pending_job()
    jobs["child"] = pending_job(jobs["waiting"].job_type, jobs["waiting"].organization, depends_on=[jobs["waiting"]])
    Job.objects.filter(pk=jobs["dead"].pk).update(created_at=dt.datetime.now(dt.UTC) - dt.timedelta(hours=30))
    for query, found in cases:
        with subtests.test(query=query, found=found):
            assert sorted(job.pk for job in listed(root, **query)) == sorted(jobs[name].pk for name in found)


def test_the_organization_filter_offers_what_the_user_may_see(
    root: Client, member: Client, mine: Organization, theirs: Organization
) -> None:
    pending_job(organization=mine)
    foreign = pending_job(organization=theirs)
    assert listed(root, organization=theirs.name) == [foreign]
    assert listed(member, organization=theirs.name) == []
    assert "ORG-THEIRS" not in text(member, url("job", "changelist"))
    for name in (theirs.name, "ORG-NOWHERE"):
        changelist = asked(member, {"organization": name})
        (spec,) = (spec for spec in changelist.filter_specs if spec.parameter_name == "organization")
        told = [str(choice["display"]).replace(name, "?") for choice in spec.choices(changelist)]
        assert told[2:] == [f"?{told[2][1:]}"]


def test_the_type_filter_offers_what_the_user_sees_or_may_submit(
    root: Client, member: Client, mine: Organization, theirs: Organization
) -> None:
    seen, foreign = (make_job_type(type_name=name, submit_by="code") for name in ("seen_by_us", "seen_by_them"))
    make_job_type(type_name="for_members")
    pending_job(seen, mine)
    pending_job(foreign, theirs)
    names = ("seen_by_us", "seen_by_them", "for_members")
    offered = {client: text(client, f"{url('job', 'changelist')}?q=none") for client in (root, member)}
    assert [f"job_type={name}" in offered[root] for name in names] == [True, True, True]
    assert [f"job_type={name}" in offered[member] for name in names] == [True, False, True]


def test_any_organization_that_the_user_may_see_can_be_asked_for(
    root: Client, mine: Organization, theirs: Organization, tuning: Tuning
) -> None:
    tuning.set(choices_of_a_filter=1)
    pending_job(organization=mine)
    job = pending_job(organization=theirs)
    assert listed(root, organization=theirs.name) == [job]
    (spec,) = (spec for spec in asked(root, {}).filter_specs if spec.parameter_name == "organization")
    assert (re.findall(r"\d+", str(spec.title)), len(spec.lookup_choices)) == (["1"], 1)


def test_any_type_that_the_user_may_see_can_be_asked_for(root: Client, tuning: Tuning) -> None:
    tuning.set(types_of_a_filter=1)
    jobs = [pending_job(make_job_type(type_name=name)) for name in ("faxes", "mails")]
    assert [listed(root, job_type=job.job_type_id) for job in jobs] == [[job] for job in jobs]
    (spec,) = (spec for spec in asked(root, {}).filter_specs if spec.parameter_name == "job_type")
    assert (re.findall(r"\d+", str(spec.title)), len(spec.lookup_choices)) == (["1"], 1)


def test_the_list_is_narrowed_to_a_pool_where_there_are_several(root: Client, settings: Settings) -> None:
    plain = pending_job()
    assert all(spec.parameter_name != "pool" for spec in asked(root, {}).filter_specs)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}
    heavy = pending_job(make_job_type(pool="gpu"))
    assert [listed(root, pool=name) for name in ("default", "gpu")] == [[plain], [heavy]]


def test_the_jobs_of_a_schedule_are_those_of_its_organization_and_shown_to_who_sees_it(
    root: Client, mine: Organization, theirs: Organization
) -> None:
    kind = make_job_type()
    own, foreign = (schedule_job("nightly", kind, tenant, every=60) for tenant in (mine, theirs))
    jobs = [Job.objects.get(pk=verbs.fire_now(schedule).job_id or 0) for schedule in (own, foreign)]
    manager = admin.staff_of(mine, role="admin")
    of_own = {"schedule": "nightly", "job_type": kind.pk, "organization": mine.name}
    for client in (root, manager):
        assert listed(client, **of_own) == jobs[:1]
    assert listed(root, schedule="nightly") == jobs[::-1]
    assert listed(manager, schedule="nightly") == jobs[:1]
    assert listed(manager, schedule=str(foreign.pk)) == []
    assert "nightly" not in text(manager, url("job", "changelist"), schedule=str(foreign.pk))


def test_every_filter_of_rest_narrows_the_list_and_is_taken_back_by_a_click(root: Client) -> None:
    job = end(raised(start(pending_job(parameters={"customer": {"id": 17}})), "Permanent", text="no printer"))
    pending_job()
    for name, value in (
        ("job_type", job.job_type_id),
        ("job_id", job.name),
        ("has_error", "yes"),
        ("error_fingerprint", job.error_fingerprint),
        ("fingerprint_start", job.error_fingerprint[:9]),
        ("parameters", "customer.id:17"),
    ):
        page = root.get(url("job", "changelist"), {name: value, "created_after": "1h", "priority": "1"})
        changelist = page.context["cl"]
        assert list(changelist.result_list) == [job]
        choices = [choice for spec in changelist.filter_specs for choice in spec.choices(changelist)]
        assert "?created_after=1h&priority=1" in [choice["query_string"] for choice in choices]
        if name != "parameters":
            assert listed(root, q=f"{name}:{value}") == [job]


def test_an_address_with_names_of_before_leads_to_the_same_jobs(subtests: pytest.Subtests, root: Client) -> None:
    for before, now in {
        "fingerprint=": "error_fingerprint=",
        "type=mails&error=yes&created=24h": "job_type=mails&has_error=yes&created_after=24h",
        "status=retrying&p=2": "status=Failed&status=Timed+Out&p=2",
    }.items():
        with subtests.test(before=before):
            assert root.get(f"{url('job', 'changelist')}?{before}")["Location"] == f"?{now}"


def test_a_count_that_was_cut_is_said_to_be(root: Client, tuning: Tuning) -> None:
    tuning.set(capped_count_rows=1)
    pending_job()
    pending_job()
    page = root.get(url("job", "changelist"))
    assert str(page.context["cl"].paginator.amount) == "1+"
    assert codes_on(page) == ["more_than_shown"]


def test_jobs_are_found_by_id_organization_owner_and_error(root: Client, mine: Organization) -> None:
    owner = make_user("alice", member_of=[mine])
    owned = pending_job(organization=mine, user=owner)
    failed = job_in("Dead Letter", user=None)
    done = job_in("Completed")
    Job.objects.filter(pk=done.pk).update(error_message="it failed once")
    assert listed(root, q=owned.name) == [owned]
    assert listed(root, q="ORG-MINE") == [owned]
    assert listed(root, q="alice") == [owned]
    assert listed(root, q="it FAILED") == [failed]
    assert listed(root, q="nothing like it") == []


def test_jobs_of_a_deleted_owner_are_found_by_the_name_that_is_left(root: Client, mine: Organization) -> None:
    owner = make_user("alice", member_of=[mine])
    owned = pending_job(organization=mine, user=owner)
    owner.delete()
    assert listed(root, q="alice") == [owned]


def test_a_search_finds_nothing_of_another_organization(member: Client, theirs: Organization) -> None:
    owner = make_user("bob", member_of=[theirs])
    foreign = job_in("Dead Letter", organization=theirs, user=owner)
    assert [listed(member, q=term) for term in (foreign.name, "ORG-THEIRS", "bob", "it failed")] == [[], [], [], []]


def test_strange_queries_do_no_harm(subtests: pytest.Subtests, root: Client, mine: Organization) -> None:
    cases: list[dict[str, str]] = [
        {"status": "nonsense"},
        {"organization": "x"},
        {"job_type": "x" * 5000},
        {"priority": "9"},
        {"created_after": "-1"},
        {"error": "\x00"},
        {"q": "\x00"},
        {"q": "' OR 1=1"},
        {"q": "%" * 500},
        {"p": "999"},
    ]
    pending_job(organization=mine)
    for query in cases:
        with subtests.test(query=query):
            assert root.get(url("job", "changelist"), query, follow=True).status_code == 200


def test_what_no_index_serves_is_looked_for_among_the_newest(root: Client, tuning: Tuning) -> None:
    kind = make_job_type()
    old, new = job_in("Canceled", job_type=kind), job_in("Canceled", job_type=kind)
    assert listed(root, job_type=kind.pk) == [new, old]
    assert "newest_only" not in codes_on(text(root, url("job", "changelist"), job_type=kind.pk))
    tuning.set(searched_newest_jobs=new.pk - old.pk)
    assert listed(root, job_type=kind.pk) == [new]
    assert "newest_only" in codes_on(text(root, url("job", "changelist"), job_type=kind.pk))
    assert listed(root, job_type=kind.pk, status="Canceled") == [new, old]
    assert listed(root, priority="1") == [new]
    Job.objects.update(priority=2)
    assert listed(root, priority="2") == [new, old]


def test_what_waits_is_found_however_old(root: Client, tuning: Tuning) -> None:
    old = pending_job()
    pending_job()
    tuning.set(searched_newest_jobs=0)
    assert old in listed(root, status="Pending", job_type=old.job_type_id)


# Two of them only where keys have come far: whether older jobs were left out, of each bound.
@pytest.mark.parametrize(("role", "most"), [("root", 16), ("member", 21)])
def test_a_list_costs_the_same_statements_however_many_jobs_it_shows(
    request: pytest.FixtureRequest, mine: Organization, role: str, most: int
) -> None:
    client, kind = request.getfixturevalue(role), make_job_type()
    submit_job(kind, mine)
    few = statements_of(lambda: text(client, url("job", "changelist"), job_type=kind.pk))
    for _ in range(6):
        submit_job(kind, mine)
    verbs.forget_newest_jobs()
    assert statements_of(lambda: text(client, url("job", "changelist"), job_type=kind.pk)) <= few <= most


def test_a_list_reads_no_large_column_and_counts_to_a_bound(root: Client, mine: Organization) -> None:
    pending_job(organization=mine)
    with CaptureQueriesContext(connection) as queries:
        text(root, url("job", "changelist"))
    statements = [query["sql"] for query in queries if "django_jobs_job" in query["sql"]]
    large = [f'"{column}"' if '"' in statements[0] else f"`{column}`" for column in verbs.LARGE_PAGE_FIELDS]
    read = [sql for sql in statements if any(column in sql for column in large)]
    assert all("error_start" in sql and "input_parameters" not in sql for sql in read)
    # Groups are made of the newest jobs alone.
    assert all("LIMIT" in sql or "GROUP BY" in sql for sql in statements if "COUNT(" in sql)


def test_an_open_page_asks_for_the_facts_of_its_jobs(root: Client) -> None:
    job, claimed = running_job()
    Job.objects.filter(pk=job.pk).update(progress=30, progress_message="<b>")
    facts = root.get(url("job", "live"), {"ids": f"{job.pk},999999,x"}).json()["jobs"]
    assert list(facts) == [str(job.pk)]
    assert set(facts[str(job.pk)]["texts"]) == {"waited", "ran", "error"}
    assert facts[str(job.pk)] | {"texts": "", "state": "", "links": ""} == {
        "status": "Running",
        "word": "Running",
        "slug": "djobs-running",
        "note": "",
        "final": False,
        "progress": 30,
        "message": "<b>",
        "texts": "",
        "state": "",
        "links": "",
    }
    assert claimed.attempt == 1
    assert root.get(url("job", "live"), {"ids": ",".join(["999999"] * 200 + [str(job.pk)])}).json() == {"jobs": {}}
    notes = []
    for changed in ({"attempt": 3}, {"cancel_requested_at": verbs.now()}):
        Job.objects.filter(pk=job.pk).update(**changed)
        notes.append(root.get(url("job", "live"), {"ids": f"{job.pk}"}).json()["jobs"][str(job.pk)]["note"])
    assert (re.findall(r"\d+", notes[0]), notes[1]) == (["3"], "stopping")


def test_an_open_page_hears_nothing_of_others_jobs(member: Client, mine: Organization, theirs: Organization) -> None:
    job, foreign = pending_job(organization=mine), pending_job(organization=theirs)
    answer = member.get(url("job", "live"), {"ids": f"{job.pk},{foreign.pk}"})
    assert list(answer.json()["jobs"]) == [str(job.pk)]
    assert "no-store" in answer["Cache-Control"]
    stranger = admin.staff_of(mine, role="admin", permissions=[])
    assert stranger.get(url("job", "live"), {"ids": f"{job.pk}"}).status_code == 403


def test_strange_keys_are_answered_with_nothing(subtests: pytest.Subtests, root: Client) -> None:
    cases: list[str] = ["", ",,", "9" * 40, "-1", "1;2", ",".join(["1"] * 1000)]
    for ids in cases:
        with subtests.test(ids=ids):
            assert root.get(url("job", "live"), {"ids": ids}).json() == {"jobs": {}}


def test_a_failed_attempt_waits_no_longer_in_the_list(root: Client) -> None:
    for job, is_final in ((end(raised(start(pending_job()))), False), (job_in("Dead Letter"), True)):
        facts = root.get(url("job", "live"), {"ids": str(job.pk)}).json()["jobs"][str(job.pk)]
        assert (facts["status"], facts["final"]) == (job.status, is_final)
        assert (facts["texts"]["error"], job.error_fingerprint in facts["links"]["error"]) == ("it failed", True)


def test_the_jobs_of_others_take_no_place_in_a_search(member: Client, mine: Organization, tuning: Tuning) -> None:
    kind = make_job_type()
    failed = job_in("Dead Letter", job_type=kind, organization=mine)
    theirs = make_organization()
    for _ in range(3):
        pending_job(kind, theirs)
    tuning.set(searched_newest_jobs=2)
    assert listed(member, q="failed") == [failed]
    assert listed(member, job_type=kind.pk) == [failed]
    assert "newest_only" not in codes_on(text(member, url("job", "changelist"), job_type=kind.pk))


def test_all_jobs_with_an_error_are_found_whatever_became_of_them_page_by_page(
    root: Client, member: Client, mine: Organization, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    tuning.set(job_list_named_jobs=1)
    monkeypatch.setattr(JobAdmin, "list_per_page", 2)
    kind = make_job_type()
    found = [job_in(status, job_type=kind, organization=mine) for status in ("Failed", "Dead Letter", "Canceled")]
    found += [job_in(status, job_type=kind, organization=mine) for status in ("Running", "Pending")]
    Job.objects.filter(pk__in=[job.pk for job in found]).update(error_message="It failed before")
    job_in("Completed", job_type=kind, organization=mine)
    pending_job(kind, mine)
    for client in (root, member):
        pages = [listed(client, has_error="yes", p=str(number)) for number in (1, 2, 3)]
        assert [job for page in pages for job in page] == found[::-1]
        assert client.get(url("job", "changelist"), {"has_error": "yes"}).context["cl"].result_count == len(found)


def test_the_policy_is_asked_once_whether_somebody_is_a_system_admin_however_many_jobs_are_shown(
    member: Client, mine: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    known = AccessPolicy.is_system_admin

    def is_system_admin(policy: AccessPolicy, user: object) -> bool:
        asked.append(user)
        return known(policy, user)

    monkeypatch.setattr(AccessPolicy, "is_system_admin", is_system_admin)
    kind = make_job_type()
    pending_job(kind, mine)
    text(member, url("job", "changelist"))
    few = len(asked)
    for _ in range(20):
        pending_job(kind, mine)
    asked.clear()
    text(member, url("job", "changelist"))
    assert len(asked) <= few


def test_pages_that_an_index_has_in_order_show_each_job_once(
    root: Client, member: Client, mine: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobAdmin, "list_per_page", 2)
    kind = make_job_type()
    jobs = [pending_job(kind, mine) for _ in range(5)]
    for client in (root, member):
        for query in ({}, {"status": "Pending"}, {"created_after": "30d"}, {"organization": mine.name}):
            pages = [listed(client, p=str(number), **query) for number in (1, 2, 3)]
            assert [job for page in pages for job in page] == jobs[::-1]
