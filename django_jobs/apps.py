from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import django
from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_jobs.models.base import BatchVerbs


class DjangoJobsConfig(AppConfig):
    name = "django_jobs"
    label = "django_jobs"
    verbose_name = _("Background jobs")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.core.signals import setting_changed
        from django.db.models.signals import post_migrate, post_save

        from django_jobs import (
            broker,
            checks,  # noqa: F401  (registers itself)
        )
        from django_jobs.engine import organizations
        from django_jobs.engine.dispatch import dispatcher, window
        from django_jobs.engine.job_types import types
        from django_jobs.engine.submission import same_work
        from django_jobs.models import JobType
        from django_jobs.pools import fill_rq_queues

        self._connect_parts()
        self._connect_tasks()
        self._have_tasks_checked()
        types.discover_declarations()
        post_migrate.connect(self._sync_declared_types, sender=self, dispatch_uid="django_jobs.declared")
        post_migrate.connect(self._sync_declared_schedules, sender=self, dispatch_uid="django_jobs.declared_schedules")
        post_migrate.connect(same_work.after_migrate, sender=self, dispatch_uid="django_jobs.gates")
        organizations.listen(dispatcher.wake)
        post_save.connect(window.forget_pools, sender=JobType, dispatch_uid="django_jobs.pools")
        fill_rq_queues()
        setting_changed.connect(fill_rq_queues, dispatch_uid="django_jobs.rq_queues")
        broker.install()
        self._tell_live_pages()
        self._tell_sentry()

    def _connect_parts(self) -> None:
        """Give the lower parts what they ask of higher ones, which they must not import."""
        from django_jobs.engine import dependencies, transitions
        from django_jobs.engine.batches import count_after_commit
        from django_jobs.engine.insight import events
        from django_jobs.engine.job_types.handlers import entered_path_problem
        from django_jobs.engine.job_types.parameters import parameter_names
        from django_jobs.engine.scope import organizations_seen_by
        from django_jobs.models import base

        base.hooks.organizations_seen_by, base.hooks.path_problem = organizations_seen_by, entered_path_problem
        base.hooks.parameter_names, base.hooks.batch_verbs = parameter_names, self._batch_verbs
        transitions.hooks.announcer, transitions.hooks.count_batches = events, count_after_commit
        transitions.hooks.follow_up = dependencies.follow_up_after_commit

    # What these import, a worker's child does without: it migrates nothing, fires no schedule, and few handlers make a
    # batch. It all costs a child a megabyte.

    @staticmethod
    def _batch_verbs() -> BatchVerbs:
        from django_jobs.engine.control import batches

        return batches

    @staticmethod
    def _sync_declared_types(**kwargs: Any) -> None:
        from django_jobs.engine.job_types import declared_types

        declared_types.sync_declared_types(**kwargs)

    @staticmethod
    def _sync_declared_schedules(**kwargs: Any) -> None:
        from django_jobs.engine.schedules import declared_schedules

        declared_schedules.sync_declared_schedules(**kwargs)

    @staticmethod
    def _connect_tasks() -> None:
        """Let tasks of Django's interface be found and tell of themselves; nothing is loaded before the first."""
        from django_jobs.engine.insight import events
        from django_jobs.engine.job_types import handlers, types

        def find(path: str) -> Any:
            try:
                from django_jobs.tasks.running import handler_for
            except ImproperlyConfigured as error:
                raise handlers.HandlerNotLoadable(f"{handlers.NOT_LOADABLE}: the task {path}. {error}") from error
            return handler_for(path)

        def tell(moved: Any) -> None:
            from django_jobs.tasks import results

            results.tell(moved)

        def declared() -> Any:
            try:
                from django_jobs.tasks.job_types import declarations_of_tasks
            except ImproperlyConfigured:  # there is no such interface here
                return []
            return declarations_of_tasks()

        handlers.add_scheme(handlers.TASK_SCHEME, find)
        types.add_declaration_source(declared)
        events.watch_types(handlers.TASK_PREFIX, tell)

    @staticmethod
    def _have_tasks_checked() -> None:
        """Let Django check the options of the host's task backends: it does from when its interface is loaded on.

        Before Django 6.0 that is an app, which sees to it itself.
        """
        from django.conf import settings

        host: Any = settings  # whose stubs lack the method
        if django.VERSION >= (6, 0) and host.is_overridden("TASKS"):
            from django import tasks  # noqa: F401  (registers its checks)

    @staticmethod
    def _tell_live_pages() -> None:
        from django.conf import settings

        if not getattr(settings, "CHANNEL_LAYERS", None):
            return
        from django_jobs.engine.ports import use_broadcaster
        from django_jobs.realtime.broadcast import LayerBroadcaster

        use_broadcaster(LayerBroadcaster())

    @staticmethod
    def _tell_sentry() -> None:
        """Tell Sentry of jobs if the host has set it up: nobody else has loaded its SDK by now."""
        if sys.modules.get("sentry_sdk") is None:
            return
        try:
            from django_jobs.contrib.sentry import events
        except ImportError as error:  # an old one, with which the host did well before
            logging.getLogger("django_jobs").warning("event=sentry_not_told error=%r needed=sentry-sdk>=2.0", error)
            return
        events.install()
