"""Pages of the admin that are about jobs but list none: each has a place of its own in the admin's index."""

from __future__ import annotations

from django_jobs.models.job import Job


class Monitor(Job):
    """How the system is doing."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "monitor"
        verbose_name_plural = "monitor"


class DeadLetter(Job):
    """What will not run again by itself, in groups of like errors."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "dead letter"
