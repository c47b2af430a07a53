"""The search of the jobs list: what each text finds, how the page says it was understood, and what stays hidden."""

from __future__ import annotations

import re
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connection
from django.test import Client
from django.utils.html import escape

from django_jobs.models import Job, Organization
from tests.support import admin, verbs
from tests.support.admin import asked, codes_on, listed, text, url
from tests.support.brokers import end, job_in, pending_job, raised, running_job, start
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.schedules import make_schedule
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose

pytestmark = pytest.mark.usefixtures("broker")
WORKER = "web-1-4711-ab12cd34"


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine)


@pytest.fixture
def rows(mine: Organization) -> dict[str, Job]:
    """A job for each thing that can be searched for."""
    Organization.objects.filter(pk=mine.pk).update(title="Brightwater Ltd")
    alice = make_user("alice", member_of=[mine])
    mails = make_job_type(type_name="letter_welcome", display_name="Send welcome letters")
    others = make_job_type(type_name="report")
    tenant = make_organization(name="ORG-OTHER", title="Otherwise")
    values = {"customer_id": 17, "kind": "pdf", "customer": {"id": 5}, "items": ["a", "b"], "type": "A4", "odd": "17"}
    ended = start(pending_job(mails, tenant), WORKER)
    return {
        "mail": pending_job(mails, tenant),
        "reminder": pending_job(make_job_type(type_name="letter_reminder"), tenant),
        "mine": pending_job(others, mine),
        "alice": pending_job(others, mine, user=alice),
        "values": pending_job(others, tenant, parameters=values),
        "text": pending_job(others, tenant, parameters={"customer_id": "17"}),
        "failed": end(raised(start(pending_job(others, tenant)), "Permanent", text="No route to the printer")),
        "worked": end(raised(ended, "Permanent", text="Paper is out")),
    }


def found_by(client: Client, rows: dict[str, Job], q: str, **query: str) -> list[str]:
    """The names of the jobs that a search finds."""
    pks = {job.pk for job in listed(client, q=q, **query)}
    return sorted(name for name, job in rows.items() if job.pk in pks)


def told(client: Client, q: str) -> str:
    """As which search the text was understood, or the code of why it was not."""
    understood = asked(client, {"q": q}).understood
    return str(understood.meaning.text if understood.meaning else understood.code)


def others(client: Client, q: str) -> list[str]:
    """As which searches it could be understood, too."""
    return [other.text for other in asked(client, {"q": q}).understood.others]


def bound_of(client: Client, **query: str) -> tuple[int | None, str]:
    """Of how many of the newest jobs the list tells, and how many it says that there are."""
    found = asked(client, query)
    return found.looks_back, found.amount


BOTH_LETTERS = ["letter_reminder", "letter_welcome"]
BRIGHTWATER = ["Brightwater Ltd", "ORG-MINE"]
#: What is typed, what it finds, as which search it is understood or why not, and what the page names of it.
FOUND: list[tuple[str, list[str], str, list[str]]] = [
    ("letter_welcome", ["mail", "worked"], "type:letter_welcome", ["letter_welcome"]),
    ("LETTER_WELCOME", ["mail", "worked"], "type:letter_welcome", ["letter_welcome"]),
    ("send welcome letters", ["mail", "worked"], "type:letter_welcome", ["letter_welcome"]),
    ("letter", ["mail", "reminder", "worked"], "type:letter*", BOTH_LETTERS),
    ("letter_r", ["reminder"], "type:letter_r*", ["letter_reminder"]),
    ("type:letter*", ["mail", "reminder", "worked"], "type:letter*", BOTH_LETTERS),
    ("ORG-MINE", ["alice", "mine"], "organization:ORG-MINE", BRIGHTWATER),
    ("bright", ["alice", "mine"], "organization:ORG-MINE", BRIGHTWATER),
    ('org:"Brightwater Ltd"', ["alice", "mine"], "organization:ORG-MINE", BRIGHTWATER),
    ("alice", ["alice"], "owner:alice", ["alice"]),
    ("user:alice", ["alice"], "owner:alice", ["alice"]),
    ("customer_id:17", ["text", "values"], "parameters.customer_id:17", ["customer_id:17"]),
    ("customer.id:5", ["values"], "parameters.customer.id:5", ["customer.id:5"]),
    ("items.1:b", ["values"], "parameters.items.1:b", ["items.1:b"]),
    ("kind:pdf customer_id:17", ["values"], "parameters.kind:pdf parameters.customer_id:17",
     ["kind:pdf", "customer_id:17"]),
    ("kind:pdf type:report", ["values"], "parameters.kind:pdf type:report", ["kind:pdf", "report"]),
    ("parameters.type:A4", ["values"], "parameters.type:A4", ["type:A4"]),
    ("kind:png", [], "parameters.kind:png", ["kind:png"]),
    ("no ROUTE", ["failed"], "error:no ROUTE", ["no ROUTE"]),
    ("error:paper is out", ["worked"], "error:paper is out", ["paper is out"]),
    (WORKER, ["worked"], f"worker:{WORKER}", [WORKER]),
    ("worker:web-1", ["worked"], "worker:web-1", ["web-1"]),
    ("JOB-2026-99999", [], "JOB-2026-99999", ["JOB-2026-99999"]),
    ("BATCH-2026-00001", [], "BATCH-2026-00001", ["BATCH-2026-00001"]),
    ("type:nothing", [], "unknown_name", ["type:nothing"]),
    ("type:report type:letter", [], "twice", ["type:"]),
]  # fmt: skip


def test_a_search_finds_what_it_says_that_it_understood(
    subtests: pytest.Subtests, root: Client, rows: dict[str, Job]
) -> None:
    for q, names, search, facts in FOUND:
        with subtests.test(q=q):
            assert found_by(root, rows, q) == names
            assert told(root, q) == search
            page = root.get(url("job", "changelist"), {"q": q})
            understood = page.context["cl"].understood
            words = understood.meaning.words if understood.meaning else understood.problem
            assert [fact for fact in facts if fact not in words] == []
            assert escape(words) in page.content.decode()
            assert search in codes_on(page) or understood.meaning


@pytest.mark.skipif(connection.vendor == "mysql", reason="MariaDB compares JSON's texts and numbers alike")
def test_a_value_in_quotation_marks_is_a_text_and_no_number(root: Client, rows: dict[str, Job]) -> None:
    assert found_by(root, rows, 'customer_id:"17"') == ["text"]


def test_a_job_is_found_by_its_id_and_by_its_number(root: Client, rows: dict[str, Job]) -> None:
    job = rows["alice"]
    assert [found_by(root, rows, q) for q in (job.name, str(job.pk), f"job:{job.pk}")] == [["alice"]] * 3
    assert told(root, str(job.pk)) == f"job:{job.pk}"


def test_jobs_are_found_by_the_fingerprint_of_their_error_and_by_its_beginning(
    root: Client, rows: dict[str, Job]
) -> None:
    fingerprint = rows["failed"].error_fingerprint
    assert [found_by(root, rows, q) for q in (fingerprint, fingerprint[:8], fingerprint.upper())] == [["failed"]] * 3
    assert found_by(root, rows, f"fingerprint:{rows['worked'].error_fingerprint[:10]}") == ["worked"]
    assert found_by(root, rows, fingerprint[:7]) == []


def test_a_text_of_several_meanings_offers_the_others(root: Client, mine: Organization) -> None:
    owner = make_user("fax9", member_of=[mine])
    named = make_organization(name="fax9")
    make_job_type(type_name="fax9_one")
    pending_job(organization=named)
    owned = pending_job(organization=mine, user=owner)
    assert told(root, "fax9") == "organization:fax9"
    assert others(root, "fax9") == ["owner:fax9", "type:fax9*", "error:fax9"]
    page = text(root, url("job", "changelist"), q="fax9", status="Pending")
    assert 'href="?status=Pending&amp;q=owner%3Afax9"' in page or 'href="?q=owner%3Afax9&amp;status=Pending"' in page
    assert listed(root, q="owner:fax9") == [owned]


def test_what_looks_like_a_parameter_is_looked_for_in_errors_on_request(root: Client, rows: dict[str, Job]) -> None:
    assert others(root, "http://printer") == ["error:http://printer"]
    assert others(root, "type:report") == ["parameters.type:report"]


@pytest.mark.parametrize("field", ["id", "name"])
def test_organizations_are_found_by_their_titles_whatever_their_ids_are(
    field: str, root: Client, rows: dict[str, Job], settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ORGANIZATION_ID_FIELD": field}
    assert found_by(root, rows, "bright") == ["alice", "mine"]


def test_an_organization_whose_id_and_title_are_alike_is_offered_once(root: Client, mine: Organization) -> None:
    Organization.objects.filter(pk=mine.pk).update(title="ORG-MINE Ltd")
    searches = [told(root, "ORG-MINE"), *others(root, "ORG-MINE")]
    assert [text for text in searches if text.startswith("organization:")] == ["organization:ORG-MINE"]


def test_a_search_that_left_out_older_jobs_says_so(root: Client, mine: Organization, tuning: Tuning) -> None:
    kind = make_job_type()
    for number in (1, 1, 2):
        pending_job(kind, mine, parameters={"number": number})
    assert bound_of(root, q="number:1") == (None, "2")
    tuning.set(searched_jobs=2)
    assert bound_of(root, q="number:1") == (2, "1+")
    page = text(root, url("job", "changelist"), q="number:1")
    assert re.search(r'<nav class="djobs-all"[^>]*><span>[^<]*\b1\+', page)
    assert "newest_only" in codes_on(page)
    assert re.search(r'data-code="newest_only">[^<]*\b2\b', page)


def test_a_filter_that_left_out_older_jobs_says_so(root: Client, tuning: Tuning) -> None:
    schedule = make_schedule()
    for _ in range(2):
        start(pending_job(schedule.job_type, metadata={"schedule": schedule.name}), WORKER)
    for query in ({"worker": WORKER}, {"schedule": schedule.name}):
        assert bound_of(root, **query) == (None, "2")
    tuning.set(searched_jobs=1)
    for query in ({"worker": WORKER}, {"schedule": schedule.name}):
        assert bound_of(root, **query) == (1, "1+")
    assert bound_of(root, worker=WORKER, status="Running") == (None, "2")


def test_a_search_and_filters_narrow_the_list_together(root: Client, rows: dict[str, Job]) -> None:
    assert found_by(root, rows, "letter", status="Dead Letter") == ["worked"]
    assert found_by(root, rows, "customer_id:17", job_type="letter_welcome") == []


def test_parameters_are_looked_for_among_the_newest_jobs_of_the_chosen_organization(
    root: Client, mine: Organization, tuning: Tuning
) -> None:
    tuning.set(searched_jobs=2)
    kind = make_job_type()
    job = pending_job(kind, mine, parameters={"number": 1})
    for _ in range(3):
        pending_job(kind)
    assert listed(root, q="number:1") == []
    assert listed(root, q="number:1", organization=mine.name) == [job]


def test_values_that_are_hidden_from_the_user_cannot_be_guessed(
    root: Client, member: Client, mine: Organization, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("password",)}
    kind = make_job_type()
    job = pending_job(kind, mine, parameters={"password": "hunter2", "login": {"Password": "hunter2"}, "number": 1})
    whole = 'login:{"Password":"hunter2"}'
    paths = ("password:hunter2", "login.Password:hunter2", "PASSWORD:x", "password.0:h", "number:1 password:hunter2")
    for q in (*paths, whole):
        assert listed(member, q=q) == []
        assert told(member, q) == "hidden"
    assert [listed(root, q=q) for q in ("password:hunter2", "login.Password:hunter2")] == [[job], [job]]


def test_where_the_policy_decides_job_by_job_parameters_are_not_searched(
    member: Client, root: Client, mine: Organization, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}
    job = pending_job(organization=mine, parameters={"number": 1})
    assert listed(member, q="number:1") == []
    assert told(member, "number:1") == "decided_by_job"
    assert listed(root, q="number:1") == [job]


def test_a_search_tells_nothing_of_another_organization(
    member: Client, mine: Organization, theirs: Organization
) -> None:
    Organization.objects.filter(pk=theirs.pk).update(title="Secretive")
    kind = make_job_type(type_name="their_type", submit_by="code")
    job = pending_job(kind, theirs, parameters={"number": 1})
    foreign = end(raised(start(job, WORKER), "Permanent", text="it failed"))
    Job.objects.filter(pk=foreign.pk).update(owner_name="bob")
    texts = [foreign.name, str(foreign.pk), "ORG-THEIRS", "Secret", "bob", "their_type", foreign.error_fingerprint]
    for q in [*texts, "it failed", "number:1", WORKER, "type:their_type", "organization:ORG-THEIRS", "owner:bob"]:
        page = text(member, url("job", "changelist"), q=q)
        assert listed(member, q=q) == []
        assert "Secretive" not in page
        names = ("organization:", "type:", "owner:", "job:")
        assert [text for text in (told(member, q), *others(member, q)) if text.startswith(names)] == []


@pytest.mark.parametrize("most", [200, 0], ids=["its one organization", "too many organizations to name"])
def test_a_fingerprint_of_another_organization_is_none_that_anybody_has(
    member: Client, mine: Organization, theirs: Organization, tuning: Tuning, most: int
) -> None:
    tuning.set(bounded_organizations=most)
    kind = make_job_type()
    foreign = end(raised(start(pending_job(kind, theirs)), "Permanent", text="No route to the printer"))
    q = f"fingerprint:{foreign.error_fingerprint}"
    assert told(member, q) == "unknown_name"
    own = end(raised(start(pending_job(kind, mine)), "Permanent", text="No route to the printer"))
    assert told(member, q) == f"fingerprint:{own.error_fingerprint}"
    assert listed(member, q=q) == [own]


STRANGE = [
    "\x00", "a:\x00", "'", '"', '""', "a:'", 'a:"', "%", "_", "\\", "a:\\", "a:%", "x" * 10_000, "a:" + "x" * 10_000,
    "\U0001f600", "a:\U0001f600", "\U0001f600:1", "-1", "0", "9" * 30, "a:" + "9" * 300, "job:x", "job:0", "batch:x",
    "type:", "type:*", "organization:\x00", "owner:%", "worker:%", "fingerprint:zz", "error:", "error:  ", "0:0",
    "-1:1",
    "99999999999:1", "a.b.c.d.e.f.g:1", "a..b:1", "a__contains:1", "contains:1", "isnull:true", "exact:None", "a:null",
    "a:1e999", "a:-0", "a:0.1", "a:[1]", "a:{}", "$:1", "$[0]:1", "a':1", 'a"b:1', "\u0663:1", "\ud83d",
    "JOB-0000-00001",
    "JOB-2026-" + "9" * 19, "BATCH-2026-" + "9" * 19, "a:1 " * 50, "type:x " * 50, "\u202e", "<script>",
    "{{ 1 }}", "%s",
]  # fmt: skip


@pytest.mark.slow
def test_no_text_makes_an_error(subtests: pytest.Subtests, root: Client, member: Client, rows: dict[str, Job]) -> None:
    for q in STRANGE:
        with subtests.test(q=q[:50]):
            for client in (root, member):
                address = f"{url('job', 'changelist')}?"
                response = client.get(address, {"q": q.encode("utf-8", "surrogatepass")}, follow=True)
                assert response.status_code == 200
                assert "<script>" + "</strong>" not in response.content.decode()


def test_a_text_is_understood_once_for_a_request(root: Client, interpose: Interpose) -> None:
    understand = Mock(wraps=verbs.understand_search)
    interpose("understand_search", understand)
    text(root, url("job", "changelist"), q="mail")
    assert [call.args[0] for call in understand.call_args_list].count("mail") == 1


def test_a_running_job_is_found_by_its_worker_however_old(root: Client, tuning: Tuning) -> None:
    tuning.set(searched_jobs=1)
    job, _ = running_job(WORKER)
    pending_job()
    pending_job()
    assert listed(root, worker=WORKER) == []
    assert listed(root, worker=WORKER, status="Running") == [job]


def test_blanks_are_no_search(root: Client) -> None:
    job = job_in("Canceled")
    assert listed(root, q=" ") == [job]


def test_a_search_asks_the_policy_once_which_types_are_known(member: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Mock(return_value=[])
    monkeypatch.setattr(verbs.Scope, "submittable", asked)
    text(member, url("job", "changelist"), q="no such words")
    assert asked.call_count == 1


def test_an_organization_has_one_bound_however_its_key_is_written(mine: Organization) -> None:
    jobs = [pending_job(organization=mine) for _ in range(3)]
    for pk in (mine.pk, str(mine.pk)):
        found = verbs.among_newest(Job.primary.filter(organization=mine), [pk], 2)
        assert found.is_bounded
        assert list(found.rows.order_by("pk")) == jobs[1:]
        jobs.append(pending_job(organization=mine))  # the bound is looked for once in some seconds


class Clock:
    """A clock that is set by hand, where ``newest_jobs`` reads it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(tuning: Tuning) -> Clock:
    clock = Clock()
    tuning.set(newest_jobs_clock=clock)
    return clock


def newest_of(organization: Organization, most: int) -> list[Job]:
    rows = Job.primary.filter(organization=organization)
    return list(verbs.among_newest(rows, [organization.pk], most).rows.order_by("pk"))


def test_a_bound_is_found_anew_after_a_while(mine: Organization, clock: Clock) -> None:
    jobs = [pending_job(organization=mine) for _ in range(12)]
    assert newest_of(mine, 10) == jobs[2:]
    jobs.append(pending_job(organization=mine))
    assert newest_of(mine, 10) == jobs[2:]
    clock.now += verbs.NEWEST_JOBS_MAX_AGE
    assert newest_of(mine, 10) == jobs[3:]
    jobs.pop().delete()
    clock.now += verbs.NEWEST_JOBS_MAX_AGE
    assert newest_of(mine, 10) == jobs[2:]


def test_an_organization_without_a_bound_gets_one_when_many_jobs_have_come(mine: Organization, clock: Clock) -> None:
    jobs = [pending_job(organization=mine)]
    assert newest_of(mine, 2) == jobs
    jobs += [pending_job(organization=mine) for _ in range(2)]
    assert newest_of(mine, 2) == jobs
    clock.now += verbs.NEWEST_JOBS_MAX_AGE
    assert newest_of(mine, 2) == jobs[1:]
