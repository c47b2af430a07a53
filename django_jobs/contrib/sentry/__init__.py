"""Sentry: one event for each job that failed for good. ``docs/tracing.md`` tells more.

Whoever calls ``sentry_sdk.init`` in the settings has it. Who does so later adds ``django_jobs.contrib.sentry`` to
INSTALLED_APPS.
"""
