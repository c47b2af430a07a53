"""The OpenAPI schema: what drf-spectacular is told about the views. It is imported only where that is installed.

Nothing here reads the database. Parameters are any object here; what a job type accepts is in the
``parameters_schema`` of its own answer.
"""

from __future__ import annotations

from django_jobs.api.schema import alerts, batches, fields, job_types, jobs, methods, operations, schedules

__all__ = ["alerts", "batches", "fields", "job_types", "jobs", "methods", "operations", "schedules"]
