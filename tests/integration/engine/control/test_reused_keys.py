"""A tenant whose primary key is a name: a new one under a deleted one's key would get its jobs, and is refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import IntegrityError, models
from django.db.models.signals import pre_save
from django.test.utils import isolate_apps

from django_jobs import create_batch, schedule_job
from django_jobs.engine import organizations
from django_jobs.exceptions import KeyInUse
from django_jobs.models import Job, Organization
from tests.support import verbs
from tests.support.brokers import job_in
from tests.support.factories import make_job_type, make_organization
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def _keys_are_names() -> Iterator[None]:
    """As if the built-in model's keys were chosen by people."""
    pre_save.connect(organizations._saving, sender=Organization)
    yield
    pre_save.disconnect(organizations._saving, sender=Organization)


@pytest.fixture
def key(_keys_are_names: None) -> int:
    """That of a deleted tenant with an ended job."""
    tenant = make_organization(name="ACME")
    job_in("Completed", organization=tenant)
    pk = int(tenant.pk)
    tenant.delete()
    return pk


def test_a_new_tenant_does_not_get_a_dead_ones_jobs_by_its_key(key: int) -> None:
    with pytest.raises(KeyInUse, match=f"jobs_prune --organization-pk {key}") as refusal:
        Organization(pk=key, name="HEIR").save()
    assert isinstance(refusal.value, IntegrityError)
    assert not Organization.objects.exists()


def test_once_erased_the_key_is_free(key: int) -> None:
    verbs.erase_jobs(key)
    Organization(pk=key, name="HEIR").save()
    assert not Job.objects.exists()


@pytest.mark.usefixtures("_keys_are_names")
def test_saving_a_living_tenant_is_no_reuse() -> None:
    tenant = make_organization(name="ACME")
    job_in("Completed", organization=tenant)
    tenant.save()
    Organization(pk=tenant.pk, name="ACME", title="written over").save()
    assert Organization.objects.get().title == "written over"


@isolate_apps("django_jobs")
def test_which_keys_may_come_back() -> None:
    class Slug(models.Model):  # noqa: DJ008
        slug = models.SlugField(primary_key=True)

        class Meta:
            app_label = "django_jobs"

    class Random(models.Model):  # noqa: DJ008
        key = models.UUIDField(primary_key=True, default=uuid.uuid4)

        class Meta:
            app_label = "django_jobs"

    class Heir(Slug):  # noqa: DJ008
        class Meta:
            app_label = "django_jobs"

    assert verbs.may_reuse_keys(Slug)
    assert verbs.may_reuse_keys(Heir)
    assert not verbs.may_reuse_keys(Random)
    assert not verbs.may_reuse_keys(Organization)


@pytest.mark.usefixtures("_keys_are_names")
def test_a_new_tenant_does_not_get_a_dead_ones_schedules_by_its_key() -> None:
    tenant = make_organization(name="ACME")
    schedule_job("nightly", make_job_type(), tenant, every=60)
    pk = int(tenant.pk)
    tenant.delete()
    with refused(KeyInUse, "key_in_use"):
        make_organization(pk=pk, name="NEW")
    call_command("jobs_prune", "--organization-pk", str(pk), "--yes")
    make_organization(pk=pk, name="NEW")


@pytest.mark.usefixtures("_keys_are_names")
def test_a_new_tenant_does_not_get_a_dead_ones_batches_by_its_key() -> None:
    tenant = make_organization(name="ACME")
    create_batch(tenant, name="secret")
    pk = int(tenant.pk)
    tenant.delete()
    with refused(KeyInUse, "key_in_use"):
        make_organization(pk=pk, name="NEW")
    call_command("jobs_prune", "--organization-pk", str(pk), "--yes")
    make_organization(pk=pk, name="NEW")
