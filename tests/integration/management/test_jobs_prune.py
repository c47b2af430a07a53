"""Erasing a tenant from a shell: what will go is said first, and a living tenant is told from a dead one."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError

from django_jobs.engine.execution import outputs
from django_jobs.models import Job, Organization, OrganizationActivity
from tests.support.brokers import job_in
from tests.support.commands import call, run
from tests.support.factories import make_organization

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
        outputs.save(found.pk, job.name, name, b"x")
    waiting = job_in("Pending", organization=found)
    outputs.save(found.pk, waiting.name, "c.txt", b"x")
    return found


def deleted(tenant: Organization) -> int:
    """Delete it; its key."""
    pk = tenant.pk
    tenant.delete()
    return pk


def test_what_will_go_is_said_and_one_is_asked(tenant: Organization, types: Any) -> None:
    types("yes\n")
    said = run("jobs_prune", "--organization", "ACME")
    assert said.startswith(
        f'To be erased, of ACME (living organization, "Acme Inc.", key {tenant.pk}): '
        "1 ended job, 4 rows of their history and 2 files; 1 stay.\n"
        "This organization exists: its members lose these jobs and files.\n"
    )
    assert "1 jobs deleted." in said


@pytest.mark.parametrize("answer", ["no\n", "\n", "", "y\n"])
def test_nothing_goes_without_a_yes(answer: str, tenant: Organization, types: Any) -> None:
    types(answer)
    with pytest.raises(CommandError, match="Nothing was erased"):
        run("jobs_prune", "--organization", "ACME")
    assert Job.objects.count() == 2


def test_nothing_goes_where_nobody_is_there_to_be_asked(tenant: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    with pytest.raises(CommandError, match="nobody is there to be asked"):
        run("jobs_prune", "--organization", "ACME")
    assert Job.objects.count() == 2


def test_a_dead_tenant_is_said_to_be_so(tenant: Organization) -> None:
    pk = deleted(tenant)
    said = run("jobs_prune", "--organization", "ACME", "--yes")
    assert said.startswith(f"To be erased, of ACME (deleted organization, key {pk}): 1 ended job, ")
    assert "exists" not in said


def test_a_living_tenants_jobs_stay_when_a_dead_one_had_its_id(tenant: Organization) -> None:
    pk = deleted(tenant)
    heir = make_organization(name="ACME", title="Somebody else")
    theirs = job_in("Completed", organization=heir)
    with pytest.raises(CommandError) as refusal:
        run("jobs_prune", "--organization", "ACME", "--yes")
    text = str(refusal.value)
    assert "Several organizations had the id 'ACME'; nothing was erased" in text
    assert f'ACME (living organization, "Somebody else", key {heir.pk}): 1 ended job, 4 rows' in text
    assert f"ACME (deleted organization, key {pk}): 1 ended job, 4 rows of their history and 2 files; 1 stay" in text
    assert Job.objects.count() == 3
    assert "1 jobs deleted." in run("jobs_prune", "--organization-pk", str(pk), "--yes")
    assert set(Job.objects.exclude(status="Pending")) == {theirs}


@pytest.mark.parametrize("is_living", [True, False])
def test_an_id_that_differs_in_case_or_accents_is_anothers(tenant: Organization, *, is_living: bool) -> None:
    """MariaDB finds them equal."""
    if not is_living:
        deleted(tenant)
    for other in ("acme", "Acmé"):
        with pytest.raises(CommandError, match="There is no organization"):
            run("jobs_prune", "--organization", other, "--yes")
    assert Job.objects.count() == 2


def test_two_dead_tenants_of_one_id_are_told_apart(tenant: Organization) -> None:
    first = deleted(tenant)
    second_tenant = make_organization(name="ACME")
    job_in("Canceled", organization=second_tenant)
    second = deleted(second_tenant)
    with pytest.raises(CommandError, match="--organization-pk") as refusal:
        run("jobs_prune", "--organization", "ACME", "--yes")
    assert f"key {first}" in str(refusal.value)
    assert f"key {second}" in str(refusal.value)


def test_a_dead_tenant_that_was_renamed_is_told_with_both_names(tenant: Organization) -> None:
    Organization.objects.update(name="BETA")
    tenant.refresh_from_db()
    job_in("Completed", organization=tenant)
    deleted(tenant)
    assert "of ACME alias BETA (deleted" in run("jobs_prune", "--organization", "BETA", "--yes")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--organization-pk", "999999"], "no organization with the key '999999'"),
        (["--organization-pk", "soon"], "no organization with the key 'soon'"),
        (["--organization-pk", "{pk}", "--organization", "OTHER"], "the key .* is that of ACME .* not of 'OTHER'"),
    ],
)
def test_a_key_that_is_none_or_anothers_is_refused(arguments: list[str], reason: str, tenant: Organization) -> None:
    with pytest.raises(CommandError, match=reason):
        run("jobs_prune", "--yes", *(item.format(pk=tenant.pk) for item in arguments))
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
        with pytest.raises(CommandError, match="There is no organization"):
            run("jobs_prune", "--yes", option, given)


def test_of_a_certain_age_only_that_is_counted_and_goes(tenant: Organization) -> None:
    said = run("jobs_prune", "--organization", "ACME", "--days", "1", "--yes")
    assert "0 ended jobs, 0 rows of their history and 0 files; 2 stay." in said
    assert "0 jobs deleted." in said


def test_a_storage_that_cannot_say_is_no_obstacle(tenant: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(pk: Any) -> Any:
        raise OSError("away")

    monkeypatch.setattr(outputs, "jobs_with_files", fail)
    assert "an unknown number of files" in run("jobs_prune", "--organization", "ACME", "--yes")


def test_a_dead_tenant_of_whom_only_counts_are_left_is_found_by_its_key(tenant: Organization) -> None:
    Job.objects.all().delete()
    pk = deleted(tenant)
    OrganizationActivity.objects.create(
        organization_id=pk, organization_name="ACME", span=60, starts_at="2026-01-01T00:00Z", job_type="x"
    )
    assert "a tenant without jobs (deleted" in run("jobs_prune", "--organization-pk", str(pk), "--yes")
    assert not OrganizationActivity.objects.exists()
