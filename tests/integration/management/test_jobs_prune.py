"""Erasing a tenant from a shell: what will go is said first, and a living tenant is told from a dead one."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from django_jobs.models import Batch, Job, Organization, OrganizationActivity, Schedule
from tests.support import verbs
from tests.support.batches import make_batch
from tests.support.brokers import job_in
from tests.support.commands import call, refusal, run
from tests.support.factories import make_organization
from tests.support.schedules import make_schedule
from tests.support.verbs import ErasureCount, Interpose, Refused

pytestmark = pytest.mark.usefixtures("broker")


class Terminal(io.StringIO):
    """Somebody who types this."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Any:
    def type_in(text: str) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(text))

    return type_in


@pytest.fixture
def tenant(settings: Any, tmp_path: Any) -> Organization:
    """With an ended job of two files, and one that waits."""
    settings.MEDIA_ROOT = tmp_path  # files of other tests lie elsewhere
    found = make_organization(name="ACME", title="Acme Inc.")
    job = job_in("Completed", organization=found)
    for name in ("a.txt", "b.txt"):
        verbs.save_output(found.pk, job.name, name, b"x")
    waiting = job_in("Pending", organization=found)
    verbs.save_output(found.pk, waiting.name, "c.txt", b"x")
    return found


def deleted(tenant: Organization) -> int:
    """Delete it; its key."""
    pk = tenant.pk
    tenant.delete()
    return pk


def test_what_will_go_is_said_and_one_is_asked(tenant: Organization, types: Any) -> None:
    types("yes\n")
    (meant,) = verbs.meant_by_id("ACME")
    would_go = verbs.measure(tenant.pk, None)
    assert (meant.pk, meant.title, meant.is_living) == (tenant.pk, "Acme Inc.", True)
    assert would_go == ErasureCount(jobs=1, logs=4, files=2, staying=1)
    answer = call("jobs_prune", "--organization", "ACME")
    assert f"{meant}: {would_go}." in answer.out
    assert [job.status for job in Job.objects.all()] == ["Pending"]


@pytest.mark.parametrize("answer", ["no\n", "\n", "", "y\n"])
def test_nothing_goes_without_a_yes(answer: str, tenant: Organization, types: Any) -> None:
    types(answer)
    assert refusal("jobs_prune", "--organization", "ACME") == "not_confirmed"
    assert Job.objects.count() == 2


def test_nothing_goes_where_nobody_is_there_to_be_asked(tenant: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert refusal("jobs_prune", "--organization", "ACME") == "nobody_there"
    assert Job.objects.count() == 2


def test_a_dead_tenant_is_said_to_be_so(tenant: Organization) -> None:
    pk = deleted(tenant)
    (meant,) = verbs.meant_by_id("ACME")
    assert (meant.pk, meant.ids, meant.title, meant.is_living) == (pk, ["ACME"], "", False)
    told = f"{meant}: {verbs.measure(pk, None)}."
    first, last = run("jobs_prune", "--organization", "ACME", "--yes").splitlines()[:2]
    assert (told in first, "1" in last) == (True, True)


def test_schedules_and_batches_go_with_a_dead_tenant_alone(tenant: Organization) -> None:
    make_schedule(None, tenant)
    for owner in (tenant, make_organization()):
        make_batch(owner)
    held = make_batch(tenant)
    Job.objects.filter(status="Pending").update(batch_id=held.pk)
    run("jobs_prune", "--organization", "ACME", "--yes")
    assert (Schedule.objects.count(), Batch.objects.count()) == (1, 3)
    deleted(tenant)
    run("jobs_prune", "--organization", "ACME", "--yes")
    assert (Schedule.objects.count(), Batch.objects.count()) == (0, 2)
    assert Batch.objects.filter(pk=held.pk).exists()  # a job of it is left


def test_a_living_tenants_jobs_stay_when_a_dead_one_had_its_id(tenant: Organization) -> None:
    pk = deleted(tenant)
    heir = make_organization(name="ACME", title="Somebody else")
    theirs = job_in("Completed", organization=heir)
    with pytest.raises(Refused) as refused:
        run("jobs_prune", "--organization", "ACME", "--yes")
    each = verbs.meant_by_id("ACME")
    assert {(item.pk, item.title, item.is_living) for item in each} == {
        (heir.pk, "Somebody else", True),
        (pk, "", False),
    }
    assert refused.value.reason == "ambiguous"
    assert all(f"{item}: {verbs.measure(item.pk, None)}." in str(refused.value) for item in each)
    assert Job.objects.count() == 3
    facts = call("jobs_prune", "--organization-pk", str(pk), "--yes", "--json").facts
    assert (facts["deleted"], facts["files_left"], facts["others_stay"]) == (1, 0, True)
    assert set(Job.objects.exclude(status="Pending")) == {theirs}


@pytest.mark.parametrize("is_living", [True, False])
def test_an_id_that_differs_in_case_or_accents_is_anothers(tenant: Organization, *, is_living: bool) -> None:
    """MariaDB finds them equal."""
    if not is_living:
        deleted(tenant)
    for other in ("acme", "Acmé"):
        assert refusal("jobs_prune", "--organization", other, "--yes") == "unknown_organization"
    assert Job.objects.count() == 2


def test_two_dead_tenants_of_one_id_are_told_apart(tenant: Organization) -> None:
    first = deleted(tenant)
    second_tenant = make_organization(name="ACME")
    job_in("Canceled", organization=second_tenant)
    second = deleted(second_tenant)
    with pytest.raises(Refused, match="--organization-pk") as refused:
        run("jobs_prune", "--organization", "ACME", "--yes")
    assert refused.value.reason == "ambiguous"
    assert {item.pk for item in verbs.meant_by_id("ACME")} == {first, second}
    assert all(str(item) in str(refused.value) for item in verbs.meant_by_id("ACME"))


def test_a_dead_tenant_that_was_renamed_is_told_with_both_names(tenant: Organization) -> None:
    Organization.objects.update(name="BETA")
    tenant.refresh_from_db()
    job_in("Completed", organization=tenant)
    deleted(tenant)
    (meant,) = verbs.meant_by_id("BETA")
    assert (meant.ids, meant.is_living) == (["ACME", "BETA"], False)
    assert str(meant) in run("jobs_prune", "--organization", "BETA", "--yes")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--organization-pk", "999999"], "unknown_organization"),
        (["--organization-pk", "soon"], "unknown_organization"),
        (["--organization-pk", "{pk}", "--organization", "OTHER"], "another_organization"),
    ],
)
def test_a_key_that_is_none_or_anothers_is_refused(arguments: list[str], reason: str, tenant: Organization) -> None:
    assert refusal("jobs_prune", "--yes", *(item.format(pk=tenant.pk) for item in arguments)) == reason
    assert Job.objects.count() == 2


def test_its_exit_codes_are_those_of_all_commands(tenant: Organization) -> None:
    for code, word, arguments in (
        (2, "unknown_name", ["--organization", "OTHER"]),
        (2, "unknown_name", ["--organization-pk", "999999"]),
        (2, "usage", ["--organization-pk", str(tenant.pk), "--organization", "OTHER"]),
        (2, "usage", ["--days", "-1"]),
        (1, "not_confirmed", ["--organization", "ACME"]),
    ):
        answer = call("jobs_prune", *arguments, "--json")
        assert (answer.code, json.loads(answer.err.splitlines()[-1])["error"]["code"]) == (code, word)
    assert Job.objects.count() == 2


@pytest.mark.parametrize("option", ["--organization", "--organization-pk"])
def test_what_can_be_no_tenants_id_or_key_is_none(option: str) -> None:
    for given in ("A\udcff", "9" * 30):
        assert refusal("jobs_prune", "--yes", option, given) == "unknown_organization"


def test_of_a_certain_age_only_that_is_counted_and_goes(tenant: Organization) -> None:
    answer = call("jobs_prune", "--organization", "ACME", "--days", "1", "--yes", "--json")
    assert (answer.facts["deleted"], answer.facts["others_stay"], Job.objects.count()) == (0, True, 2)
    assert f"{ErasureCount(jobs=0, logs=0, files=0, staying=2)}." in answer.err


def test_a_storage_that_cannot_say_is_no_obstacle(tenant: Organization, interpose: Interpose) -> None:
    def fail(pk: Any) -> Any:
        raise OSError("away")

    interpose("jobs_with_files", fail)
    assert verbs.measure(tenant.pk, None).files is None
    answer = call("jobs_prune", "--organization", "ACME", "--yes", "--json")
    assert (answer.code, answer.facts["deleted"]) == (0, 1)


def test_a_dead_tenant_of_whom_only_counts_are_left_is_found_by_its_key(tenant: Organization) -> None:
    Job.objects.all().delete()
    pk = deleted(tenant)
    OrganizationActivity.objects.create(
        organization_id=pk, organization_name="ACME", span=60, starts_at="2026-01-01T00:00Z", job_type="x"
    )
    meant = verbs.meant_by_key(str(pk))
    assert meant is not None
    assert (meant.ids, meant.is_living) == ([], False)
    assert call("jobs_prune", "--organization-pk", str(pk), "--yes", "--json").code == 0
    assert not OrganizationActivity.objects.exists()
