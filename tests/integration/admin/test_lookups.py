"""What an address may ask of the admin's lists: what their filters declare, and nothing about hidden values."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_jobs.models import Job, JobType, Membership, Organization
from tests.support import admin
from tests.support.admin import asked, chosen, listed, url
from tests.support.brokers import end, pending_job, raised, start
from tests.support.factories import make_job_type, make_user
from tests.support.failures import order

pytestmark = [pytest.mark.usefixtures("broker"), pytest.mark.filterwarnings("ignore:.*naive datetime")]

LISTS = ("job", "executionlog", "jobtype", "organization", "membership", "operation", "schedule")
UNDECLARED = [
    ("job", "input_parameters__api_key__regex", "^h"),
    ("job", "input_parameters__api_key__regex", "("),
    ("job", "input_parameters__text__regex", "^(a+)+$"),
    ("job", "input_parameters__icontains", "h"),
    ("job", "result__contains", "h"),
    ("job", "metadata__token", "h"),
    ("job", "error_message__startswith", "h"),
    ("job", "status__in", "Failed,Running"),
    ("job", "status__exact", "Failed"),
    ("job", "pk__gt", "0"),
    ("job", "id", "1"),
    ("job", "owner__password__startswith", "pbkdf2"),
    ("job", "owner__is_superuser", "1"),
    ("job", "organization__name__startswith", "O"),
    ("job", "history__traceback__contains", "h"),
    ("job", "depends_on__result__contains", "h"),
    ("job", "created_at__gte", "2020-01-01"),
    ("job", "no_such_field", "1"),
    ("executionlog", "traceback__contains", "h"),
    ("executionlog", "traceback__regex", "("),
    ("executionlog", "message__icontains", "h"),
    ("executionlog", "job__input_parameters__api_key", "h"),
    ("jobtype", "handler_method__regex", "("),
    ("jobtype", "jobs__result__contains", "h"),
    ("jobtype", "is_enabled", "1"),
    ("organization", "title__regex", "("),
    ("organization", "job_memberships__user__password__startswith", "p"),
    ("organization", "job_memberships__role", "admin"),
    ("membership", "user__password__startswith", "pbkdf2"),
    ("membership", "user__email__contains", "@"),
    ("membership", "role", "admin"),
    ("membership", "organization__id__exact", "1"),
    ("operation", "note__regex", "("),
    ("operation", "user__password__startswith", "p"),
    ("operation", "user_name__startswith", "r"),
    ("schedule", "parameters__api_key__startswith", "h"),
    ("schedule", "owner__password__startswith", "p"),
    ("schedule", "is_enabled", "1"),
]


@pytest.fixture
def rows(mine: Organization) -> Job:
    """A row of each model, and a secret in each place that a look-up could ask for."""
    user = make_user("owner", member_of=[mine])
    kind = make_job_type(max_retries=0)
    secrets = {"parameters": {"api_key": "hunter2", "text": "a" * 40}, "metadata": {"token": "h"}}
    job = pending_job(kind, mine, user=user, **secrets)
    return end(raised(start(job), "Permanent", text="hunter2", traceback="hunter2"))


def test_what_no_filter_declares_is_refused_unasked(subtests: pytest.Subtests, root: Client, rows: Job) -> None:
    for model, name, value in UNDECLARED:
        with subtests.test(model=model, name=name, value=value):
            with CaptureQueriesContext(connection) as queries:
                response = root.get(url(model, "changelist"), {name: value})
            assert response.status_code == 400
            assert not any(value in query["sql"] for query in queries if len(value) > 1)


@pytest.mark.parametrize("value", ["hunter2", "another"])
def test_an_action_and_an_export_take_no_undeclared_look_up_either(root: Client, rows: Job, value: str) -> None:
    address = f"{url('job', 'changelist')}?input_parameters__api_key={value}"
    assert root.post(address, chosen("export", rows, select_across="1", index="0")).status_code == 400


DECLARED: list[tuple[str, dict[str, str], int]] = [
    ("job", {"status": "Dead Letter", "priority": "1", "created_after": "1h", "has_error": "yes"}, 1),
    ("job", {"status": "Running"}, 0),
    ("jobtype", {"is_enabled__exact": "0", "is_paused__exact": "1"}, 1),
    ("jobtype", {"is_paused__isnull": "True"}, 0),
    ("organization", {"is_active__exact": "1"}, 1),
    ("membership", {"role__exact": "member"}, 1),
    ("operation", {"state__exact": "running", "action__exact": "retry"}, 1),
]


def test_the_declared_filters_go_on_to_work(subtests: pytest.Subtests, root: Client, rows: Job) -> None:
    order(root, rows, per_minute=1)
    make_job_type(is_enabled=False, is_paused=True)
    for model, query, found in DECLARED:
        with subtests.test(model=model, query=query, found=found):
            assert asked(root, query, model).result_count == found


@pytest.mark.slow
def test_every_filter_that_a_list_offers_is_taken(root: Client, rows: Job) -> None:
    for model in LISTS:
        changelist = asked(root, {}, model)
        offered = [choice for spec in changelist.filter_specs for choice in spec.choices(changelist)]
        queries = {choice["query_string"] for choice in offered}
        assert {root.get(url(model, "changelist") + query).status_code for query in queries} <= {200}


#: No choice of a filter, and nothing that can be read as one.
STRANGE = ["", "\x00", "x" * 5_000, "-1", "9" * 30, "None", "a,b", "1' OR '1'='1"]
NUMBERS = [*STRANGE, "-.-.0.99", "1.2.3"]
TEXTS = [*STRANGE, "(", "[]", "\u202e", "word " * 2_000]
FILTERS = [
    *[
        ("job", name, STRANGE)
        for name in ("status", "job_type", "organization", "priority", "has_error", "created_after")
    ],
    *[("job", name, STRANGE) for name in ("type", "created", "error")],  # names of before, which a list translates
    *[("jobtype", name, STRANGE) for name in ("is_enabled__exact", "is_enabled__isnull", "is_paused__exact")],
    *[("organization", name, STRANGE) for name in ("is_active__exact", "is_active__isnull")],
    *[("membership", name, STRANGE) for name in ("role__exact", "role__isnull")],
    *[("operation", name, STRANGE) for name in ("state__exact", "action__isnull")],
    *[("schedule", name, STRANGE) for name in ("state", "type", "job_type", "organization")],
    *[(model, "q", TEXTS) for model in LISTS],
    # One class reads these for all lists but the jobs'.
    *[("job", name, NUMBERS) for name in ("o", "p", "e", "all", "_facets")],
    *[("executionlog", name, NUMBERS) for name in ("o", "p")],
]


@pytest.mark.slow
def test_malformed_values_have_a_plain_answer(subtests: pytest.Subtests, root: Client, rows: Job) -> None:
    for model in LISTS:
        assert root.get(url(model, "changelist"), {"e": "1"}).status_code == 200
    for model, name, values in FILTERS:
        with subtests.test(model=model, name=name):
            for value in values:
                response = root.get(url(model, "changelist"), {name: value}, follow=True)
                assert response.status_code == 200, (name, value)


def test_no_list_refers_to_its_rows_by_another_field(subtests: pytest.Subtests, root: Client, rows: Job) -> None:
    for model in LISTS:
        for field in ("input_parameters", "result", "traceback", "pk", "user__password", "title", "\x00"):
            with subtests.test(model=model, field=field):
                for page in ("changelist", "add"):
                    response = root.get(url(model, page), {"_to_field": field, "_popup": "1"})
                    assert response.status_code in {400, 403}


def test_only_declared_columns_sort(root: Client, rows: Job) -> None:
    """Others have no index, and the log has millions of rows."""
    for model in ("job", "executionlog", "operation"):
        for column in range(9):
            changelist = asked(root, {"o": f"-{column}"}, model)
            assert {str(order).lstrip("-") for order in changelist.queryset.query.order_by} <= {"id", "pk"}
    by_retries = asked(root, {"o": "7"}, "jobtype").queryset
    assert by_retries.query.order_by[0] == "max_retries"
    by_handler = asked(root, {"o": "4"}, "jobtype").queryset
    assert "handler_method" not in by_handler.query.order_by


def test_no_address_makes_a_list_count_every_choice(subtests: pytest.Subtests, root: Client, rows: Job) -> None:
    for model in LISTS:
        with subtests.test(model=model):
            assert not asked(root, {"_facets": "True"}, model).add_facets


SOURCES = [("job", "job_type"), ("executionlog", "job"), ("membership", "organization"), ("job", "organization")]


def test_completion_takes_any_text(subtests: pytest.Subtests, root: Client, rows: Job) -> None:
    terms: list[str] = ["\x00", "'", "word " * 2_000, "^x", "=x", "x" * 5_000]
    for model, field in SOURCES:
        for term in terms:
            with subtests.test(model=model, field=field, term=term):
                query = {"app_label": "django_jobs", "model_name": model, "field_name": field, "term": term}
                assert root.get(reverse("admin:autocomplete"), query).status_code == 200


def test_completion_offers_what_the_user_may_see(mine: Organization, theirs: Organization) -> None:
    member = admin.staff_of(mine)
    foreign, own = pending_job(organization=theirs), pending_job(organization=mine)
    query = {"app_label": "django_jobs", "model_name": "executionlog", "field_name": "job"}
    found = [member.get(reverse("admin:autocomplete"), {**query, "term": job.name}).json() for job in (foreign, own)]
    assert [[item["text"] for item in answer["results"]] for answer in found] == [[], [own.name]]


def test_a_host_may_declare_filters_of_its_own(rows: Job, rf: Any) -> None:
    from django.contrib import admin as django_admin
    from django.contrib.admin import DateFieldListFilter

    from tests.support.verbs import JobAdmin, MembershipAdmin

    class OwnJobs(JobAdmin):
        list_filter: ClassVar[Any] = (*JobAdmin.list_filter, ("completed_at", DateFieldListFilter), "job_type")
        date_hierarchy = "created_at"

    class OwnMembers(MembershipAdmin):
        list_filter = ("organization__is_active",)

    request = rf.get("/")
    request.user = make_user("boss", is_staff=True, is_superuser=True)
    jobs, members = OwnJobs(Job, django_admin.site), OwnMembers(Membership, django_admin.site)
    taken = ("status", "completed_at__gte", "completed_at__isnull", "job_type__type_name__exact")
    by_day = ("created_at__year", "created_at__month", "created_at__day")
    assert all(jobs.lookup_allowed(name, "x", request) for name in (*taken, *by_day))
    refused = ("result__contains", "completed_at__regex", "job_type__handler_method", "created_at__gte", "created_at")
    assert not any(jobs.lookup_allowed(name, "x", request) for name in refused)
    assert members.lookup_allowed("organization__is_active__exact", "1", request)
    assert not members.lookup_allowed("role__exact", "admin", request)


def test_a_foreign_key_of_the_host_may_limit_what_it_offers(
    root: Client, rows: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_job_type(is_enabled=False)
    monkeypatch.setattr(JobType._meta, "related_fkey_lookups", [{"pool": "gpu"}, lambda: {"is_enabled": False}])
    assert asked(root, {"is_enabled": "0"}, "jobtype").result_count == 1
    assert root.get(url("jobtype", "changelist"), {"is_enabled": "1"}).status_code == 400


def test_no_row_has_what_no_database_can_store(root: Client, rows: Job) -> None:
    names = {"job": ("status", "job_type"), "schedule": ("job_type",), "organization": ("is_active__exact",)}
    for model, name in ((model, name) for model, each in names.items() for name in each):
        response = root.get(url(model, "changelist"), {name: "a\x00"}, follow=True)
        assert response.redirect_chain[-1][0].endswith("?e=1")


def test_a_search_of_any_length_costs_one_statement_of_bounded_size(root: Client, rows: Job) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert root.get(url("jobtype", "changelist"), {"q": "word " * 2_000}).status_code == 200
    assert max(len(query["sql"]) for query in queries) < 50_000


def test_names_are_still_searched_by_parts(root: Client, rows: Job) -> None:
    kind = rows.job_type
    found = asked(root, {"q": f"{kind.pk[3:]} handlers"}, "jobtype").result_list
    assert list(found) == [kind]


def test_other_admins_reach_no_job_of_ours(root: Client, rows: Job) -> None:
    """Users have no look-up that leads to jobs, and only one to memberships."""
    for name in ("job__result__contains", "executionlog__traceback__contains", "job_memberships__role"):
        response = root.get(reverse("admin:auth_user_changelist"), {name: "h"})
        assert response.status_code in {400, 302}
    assert listed(root) == [rows]
