"""Traces by OpenTelemetry: add ``django_jobs.contrib.opentelemetry`` to INSTALLED_APPS. ``docs/tracing.md`` tells more.

This package uses the API of OpenTelemetry only; which SDK and exporter there is, if any, is the host's choice.
"""
