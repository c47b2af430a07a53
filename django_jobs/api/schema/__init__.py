"""What drf-spectacular is told of our views; imported only where it is installed (the extra ``openapi``).

Nothing here asks the database: parameters are an object, and what a job type wants of them is told by its
``parameters_schema`` when a client asks.
"""

from __future__ import annotations

from django_jobs.api.schema import fields, job_types, jobs, methods

__all__ = ["fields", "job_types", "jobs", "methods"]
