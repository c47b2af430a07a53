"""Many submissions at once of which some cannot be: nothing is stored, and each fault is told at its place."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from django_jobs import job_handler, submit_job, submit_jobs
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, PermissionDenied, RateLimited
from django_jobs.models import DependencyTask, DuplicateKey, ExecutionLog, Job, JobDependency, JobType, Organization
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.handlers import do_nothing

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def kind() -> JobType:
    return make_job_type(deduplication_window=300)


def work(kind: Any, organization: Any, number: int, **fields: Any) -> dict[str, Any]:
    return {"job_type": kind, "organization": organization, "parameters": {"number": number}, **fields}


def refused(items: Any, **kwargs: Any) -> dict[int, dict[str, list[str]]]:
    """The codes of a refusal for each bad item, by field; nothing of the list may have been stored."""
    with pytest.raises(InvalidSubmission) as caught:
        submit_jobs(items, **kwargs)
    assert_nothing_is_there()
    first = items[min(caught.value.by_index)]
    named = first.get("job_type") if isinstance(first, dict) else None
    assert caught.value.refused_call == f"submit_jobs([{getattr(named, 'pk', str(named))!r}, …])"
    flat = {
        f"{index}.{name}": texts for index, errors in caught.value.by_index.items() for name, texts in errors.items()
    }
    assert caught.value.errors == flat
    codes = caught.value.codes
    return {
        index: {name: codes[f"{index}.{name}"] for name in errors} for index, errors in caught.value.by_index.items()
    }


def assert_nothing_is_there() -> None:
    for model in (Job, ExecutionLog, DuplicateKey, JobDependency, DependencyTask):
        assert not model._default_manager.exists()


def test_what_is_no_list_is_refused(subtests: pytest.Subtests) -> None:
    cases: list[Any] = ["text", b"bytes", {"job_type": "x"}, 7, None]
    for bad in cases:
        with subtests.test(bad=bad):
            with pytest.raises(InvalidSubmission) as caught:
                submit_jobs(bad)
            assert set(caught.value.errors) == {"non_field_errors"}


def test_an_item_that_is_no_object_is_refused(
    subtests: pytest.Subtests, kind: JobType, organization: Organization
) -> None:
    cases: list[Any] = ["text", None, 7, [], [("job_type", "x")]]
    for bad in cases:
        with subtests.test(bad=bad):
            by_index = refused([work(kind, organization, 1), bad])
            assert {index: set(errors) for index, errors in by_index.items()} == {1: {"non_field_errors"}}


def test_no_item_replaces(kind: JobType, organization: Organization) -> None:
    by_index = refused([work(kind, organization, 1), work("nonesuch", organization, 2, on_duplicate="replace")])
    assert by_index == {1: {"job_type": ["unknown_job_type"], "on_duplicate": ["invalid_choice"]}}


def test_unknown_fields_are_refused_by_name(kind: JobType, organization: Organization) -> None:
    by_index = refused([work(kind, organization, 1, user=1, batch="x")])
    assert set(by_index[0]) == {"user", "batch"}


def test_no_unknown_field_is_too_odd_to_be_named(
    subtests: pytest.Subtests, kind: JobType, organization: Organization
) -> None:
    cases: list[Any] = [None, 7, ("a",), "nul\x00", "\ud800", "x" * 1000]
    for name in cases:
        with subtests.test(name=name):
            assert len(refused([{**work(kind, organization, 1), name: 1}])[0]) == 1


def test_all_that_is_wrong_anywhere_is_said_at_once(kind: JobType, organization: Organization) -> None:
    by_index = refused(
        [
            work("nonesuch", organization, 1),
            work(kind, organization, 2),
            work(kind, "nonesuch", 3, priority="urgent"),
            {},
            work(kind, organization, 4, run_at="soon", depends_on="x", metadata=7) | {"parameters": [1]},
        ]
    )
    assert {index: set(errors) for index, errors in by_index.items()} == {
        0: {"job_type"},
        2: {"organization", "priority"},
        3: {"job_type", "organization"},
        4: {"parameters", "metadata", "run_at", "depends_on"},
    }


def test_disabled_types_and_inactive_organizations_are_refused(kind: JobType, organization: Organization) -> None:
    disabled, inactive = make_job_type(is_enabled=False), make_organization(is_active=False)
    by_index = refused([work(disabled, organization, 1), work(kind, inactive, 1), work(disabled, inactive, 1)])
    assert {index: set(errors) for index, errors in by_index.items()} == {
        0: {"job_type"},
        1: {"organization"},
        2: {"job_type", "organization"},
    }


def test_twins_in_one_list_are_refused(kind: JobType, organization: Organization) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        submit_jobs([work(kind, organization, number) for number in (1, 2, 1, 2, 3)])
    assert_nothing_is_there()
    assert caught.value.codes == {f"{index}.non_field_errors": ["duplicate_job"] for index in (2, 3)}
    texts: Any = [errors["non_field_errors"][0] for errors in caught.value.by_index.values()]
    assert [text.values for text in texts] == [{"index": 0}, {"index": 1}]


def test_the_first_duplicate_of_earlier_work_is_named(kind: JobType, organization: Organization) -> None:
    first = submit_job(kind, organization, {"number": 7})
    submit_job(kind, organization, {"number": 8})
    with pytest.raises(DuplicateJob) as caught:
        submit_jobs([work(kind, organization, number) for number in (1, 2, 7, 8)])
    assert (caught.value.existing, caught.value.index) == (first, 2)
    assert Job.objects.count() == DuplicateKey.objects.count() == ExecutionLog.objects.count() == 2


def test_a_duplicate_is_told_at_its_place_behind_one_that_another_item_stands_for(
    kind: JobType, organization: Organization
) -> None:
    first = submit_job(kind, organization, {"number": 2})
    twins = [work(kind, organization, 1, on_duplicate="return") for _ in range(2)]
    with pytest.raises(DuplicateJob) as caught:
        submit_jobs([*twins, work(kind, organization, 2)])
    assert (caught.value.existing, caught.value.index) == (first, 2)


def test_a_limit_is_told_at_its_place_behind_one_that_is_there_already(
    kind: JobType, organization: Organization
) -> None:
    limited = make_job_type(rate_limit=1)
    submit_job(kind, organization, {"number": 1})
    submit_job(limited, organization, {"number": 1})
    with pytest.raises(RateLimited) as caught:
        submit_jobs([work(kind, organization, 1, on_duplicate="return"), work(limited, organization, 2)])
    assert caught.value.index == 1


def test_one_organization_that_is_not_the_users_refuses_all(kind: JobType, organization: Organization) -> None:
    user = make_user(member_of=[organization])
    with pytest.raises(PermissionDenied):
        submit_jobs([work(kind, organization, 1), work(kind, make_organization(), 1)], user=user)
    assert_nothing_is_there()


def test_an_anonymous_user_submits_nothing(kind: JobType, organization: Organization) -> None:
    with pytest.raises(PermissionDenied):
        submit_jobs([work(kind, organization, 1)], user=AnonymousUser())


def test_another_organizations_parent_is_refused_where_it_stands(kind: JobType, organization: Organization) -> None:
    with transaction.atomic():
        parent = submit_job(kind, organization, {"a": 1})
        items = [work(kind, owner, 1, depends_on=parent) for owner in (organization, make_organization())]
        with pytest.raises(InvalidSubmission) as caught:
            submit_jobs(items)
    assert caught.value.codes == {"1.depends_on": ["unknown_job"]}
    assert Job.objects.count() == 1


def test_many_parents_of_many_items_are_judged_together(kind: JobType, organization: Organization) -> None:
    items = [
        work(kind, organization, number, depends_on=[f"JOB-2026-{number * 10_000 + i:05d}" for i in range(9_000)])
        for number in range(1, 5)
    ]
    assert set(refused(items)) == {0, 1, 2, 3}


def test_a_refusal_leaves_the_callers_transaction_usable(kind: JobType, organization: Organization) -> None:
    with transaction.atomic():
        submit_job(kind, organization, {"number": 1})
        with pytest.raises(DuplicateJob):
            submit_jobs([work(kind, organization, number) for number in range(3)])
        jobs = submit_jobs([work(kind, organization, number) for number in range(2, 5)])
    assert Job.objects.count() == 1 + len(jobs)


@pytest.mark.usefixtures("nothing_declared")
def test_a_types_serializer_judges_each_item(organization: Organization) -> None:
    from rest_framework import serializers

    class Numbered(serializers.Serializer[Any]):
        number = serializers.IntegerField(max_value=10)

    kind = make_job_type()
    job_handler(kind.pk, parameters=Numbered)(do_nothing)
    by_index = refused([work(kind, organization, 1), work(kind, organization, 99), work(kind, organization, 3)])
    assert by_index == {1: {"parameters.number": ["max_value"]}}
    assert refused([{**work(kind, organization, 1), "parameters": [7]}]) == {0: {"parameters": ["not_an_object"]}}
    assert len(submit_jobs([work(kind, organization, 1), work(kind, organization, 3)])) == 2
