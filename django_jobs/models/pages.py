"""Proxies of Job that give the admin's other pages about jobs an entry in its index."""

from __future__ import annotations

from django_jobs.models.job import Job


class Monitor(Job):
    """The page that shows how the system is doing."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "monitor"
        verbose_name_plural = "monitor"


class DeadLetter(Job):
    """The page of jobs that will not run again by themselves, in groups of like errors."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "dead letter"
