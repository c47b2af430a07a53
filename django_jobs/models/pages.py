"""Proxies of Job that give the admin's other pages about jobs an entry in its index."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from django_jobs.models.base import in_words
from django_jobs.models.job import Job


@in_words(_("monitor"), _("monitor"))
class Monitor(Job):
    """The page that shows how the system is doing."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "monitor"
        verbose_name_plural = "monitor"


@in_words(_("failure"), _("failures"))
class Failure(Job):
    """The page of jobs whose last attempt failed, in groups of like errors."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "failure"
        verbose_name_plural = "failures"
