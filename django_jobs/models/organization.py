"""The tenant and who belongs to it. Swappable, like Django's user model."""

from __future__ import annotations

from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_jobs.conf import DEFAULT_ORGANIZATION_MODEL, ORGANIZATION_SETTING, jobs_settings, organization_model_name
from django_jobs.models.base import StoredModel, WordField, in_words, with_database_defaults

# Django reads a swappable model's setting by name while it makes migrations, so it must exist.
if not hasattr(settings, ORGANIZATION_SETTING):
    setattr(settings, ORGANIZATION_SETTING, DEFAULT_ORGANIZATION_MODEL)


def get_organization_model() -> type[models.Model]:
    """Return the tenant's model: the one that DJANGO_JOBS_ORGANIZATION_MODEL names, else the built-in one.

    Raises ImproperlyConfigured when the setting names no installed model.
    """
    name = organization_model_name()
    try:
        return apps.get_model(name, require_ready=False)
    except (LookupError, ValueError) as error:
        raise ImproperlyConfigured(f"{ORGANIZATION_SETTING} names {name!r}, which is no installed model") from error


class AbstractOrganization(models.Model):
    """The fields of the built-in organization. A host may build its own model on it."""

    name = models.CharField(max_length=140, unique=True, blank=True, help_text=_("Blank: ORG-<year>-<number>."))
    title = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True, help_text=_("Inactive: none of its jobs starts."))

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.title or self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save. A blank name is replaced by one made of the year and the new row's number."""
        if self.name:
            super().save(*args, **kwargs)
            return
        # The number is known only after the insert. Until then the name must be unique, so it cannot be blank.
        with transaction.atomic(using=kwargs.get("using")):
            self.name = f"new-{timezone.now().timestamp()}"
            super().save(*args, **kwargs)
            self.name = f"ORG-{timezone.now().year}-{self.pk:05d}"
            super().save(update_fields=["name"], using=kwargs.get("using"))


@in_words(_("organization"), _("organizations"), name=_("name"), title=_("title"), is_active=_("is active"))
class Organization(AbstractOrganization):
    """The built-in tenant."""

    class Meta(AbstractOrganization.Meta):
        swappable = ORGANIZATION_SETTING


@in_words(_("membership"), _("memberships"), user=_("user"), organization=_("organization"), role=_("role"))
@with_database_defaults
class Membership(StoredModel):
    """A user's place in an organization; read by the built-in access policy."""

    class Role(models.TextChoices):
        """What a member may do, in the built-in access policy."""

        MEMBER = "member", _("Member")
        ADMIN = "admin", _("Admin")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="job_memberships")
    # A name that a host's own tenant model does not have already.
    organization = models.ForeignKey(
        organization_model_name(), on_delete=models.CASCADE, related_name="job_memberships"
    )
    role = WordField(max_length=10, choices=Role.choices, default=Role.MEMBER)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "organization"], name="djobs_membership_once"),
        ]

    def clean(self) -> None:
        """Refuse members of the system organization, which would give them nothing."""
        super().clean()
        name = jobs_settings.SYSTEM_ORGANIZATION
        if name is None:
            return
        named = {"pk": self.organization_id, str(jobs_settings.ORGANIZATION_ID_FIELD): name}
        if get_organization_model()._default_manager.filter(**named).exists():
            text = _("The system organization has no members.")
            raise ValidationError({"organization": ValidationError(text, code="no_members")})

    def __str__(self) -> str:
        return f"{self.user} in {self.organization} ({self.role})"


# A filter of the jobs list that somebody keeps under a name.


#: Characters of a name and of a query string.
MAX_NAME: Final = 60
MAX_QUERY: Final = 1_000


@with_database_defaults
class SavedFilter(StoredModel):
    """A query string of the jobs list. What it asks for is checked anew each time that somebody follows it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    name = models.CharField(max_length=MAX_NAME)
    query = models.CharField(max_length=MAX_QUERY)
    #: Whether others are offered it, too.
    is_shared = models.BooleanField(default=False)

    class Meta:
        ordering = ["name", "id"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="djobs_saved_filter_once"),
        ]

    def __str__(self) -> str:
        return self.name
