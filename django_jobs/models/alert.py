"""What is wrong, or was until lately: one row for each time that a rule held of a subject."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_jobs.models.base import StoredModel, with_database_defaults


@with_database_defaults
class Alert(StoredModel):
    """An alarm: a rule of the setting ALERTS, and what it found wrong. The leading scheduler alone writes it."""

    rule = models.CharField(max_length=32)
    #: A job type, a pool, a queue (``pool/priority``) or a numbered schedule; blank where the rule has one subject.
    subject = models.CharField(max_length=255, blank=True)
    raised_at = models.DateTimeField()
    #: When the rule held for the last time.
    seen_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)
    #: The numbers and texts of its sentence (``engine.alerts.sentences``).
    facts: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    #: A hash of rule and subject while it is open, and None afterwards, which is equal to none: so one is open at most.
    open_key = models.CharField(max_length=64, null=True, blank=True, editable=False)  # noqa: DJ001
    #: When a mail told that it was raised, and that it is over; None where none did.
    raise_mailed_at = models.DateTimeField(null=True, blank=True, editable=False)
    clear_mailed_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        default_permissions = ()
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        constraints = [
            # One open alarm of a rule and a subject; the open ones.
            models.UniqueConstraint(fields=["open_key"], name="djobs_alert_open_once"),
        ]
        indexes = [
            # What was cleared lately, and what was long enough ago to be deleted.
            models.Index(fields=["cleared_at"], name="djobs_alert_cleared"),
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.subject}".rstrip()

    @property
    def is_open(self) -> bool:
        """Return whether it is still wrong."""
        return self.cleared_at is None
