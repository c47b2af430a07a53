"""What follows when an organization is saved: its jobs go on once it is active again. And no new one gets an old key.

Apart from :mod:`.tenants`, because every process listens, and only a scheduler looks for deleted tenants.
"""

from __future__ import annotations

from typing import Any

from django.db.models import AutoField, Model
from django.db.models.signals import post_save, pre_save

from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.store import database
from django_jobs.exceptions import KeyInUse
from django_jobs.models import (
    AbstractOrganization,
    Batch,
    Job,
    OrganizationActivity,
    Schedule,
    get_organization_model,
)


def listen() -> None:
    """Let the jobs of an organization go on as soon as it is active again.

    This works for models that inherit AbstractOrganization. For any other model, the scheduler's next tick does it.
    """
    model = get_organization_model()
    if may_reuse_keys(model):
        pre_save.connect(_saving, sender=model, dispatch_uid="django_jobs.tenancy_keys")
    if issubclass(model, AbstractOrganization):
        post_save.connect(_saved, sender=model, dispatch_uid="django_jobs.tenancy")


def may_reuse_keys(model: type[Model]) -> bool:
    """Return whether a new row can get the key of a deleted one: keys are neither counted up nor made at random."""
    field: Any = model._meta.pk
    while field.remote_field is not None and field.remote_field.parent_link:
        field = field.remote_field.model._meta.pk
    return not isinstance(field, AutoField) and not field.has_default()


def _saving(instance: Any, *, raw: bool, using: str, **kwargs: Any) -> None:
    """Raise KeyInUse for a new tenant whose key has jobs, batches, counts or schedules of a deleted one."""
    if raw or not instance._state.adding or instance.pk is None:
        return
    left = [
        Job.primary.filter(organization_id=instance.pk),
        OrganizationActivity.primary.filter(organization_id=instance.pk),
        Schedule.primary.filter(organization_id=instance.pk),
        Batch.primary.filter(organization_id=instance.pk),
    ]
    is_new = not type(instance)._default_manager.using(using).filter(pk=instance.pk).exists()
    if is_new and any(rows.exists() for rows in left):
        raise KeyInUse(
            f"The key {instance.pk!r} was that of a deleted organization whose jobs, batches, counts or schedules are "
            f"still there, and a new one would get them. Erase them first (manage.py jobs_prune --organization-pk "
            f"{instance.pk}, and unschedule), or take another key."
        )


def _saved(instance: AbstractOrganization, *, created: bool, raw: bool, using: str, **kwargs: Any) -> None:
    if instance.is_active and not created and not raw:
        database.once_on_commit(dispatcher.wake, using=using)
