"""Defaults of jobs, which are read from the model once a process."""

from __future__ import annotations

from django_jobs.models import Job


def test_no_default_of_a_job_differs_from_job_to_job() -> None:
    # One such as uuid4 would be one value for all jobs of a process: make it in ``submission.targets.Builder`` instead.
    varying = {field.attname for field in Job._meta.concrete_fields if field.has_default() and callable(field.default)}
    assert varying == {"input_parameters", "metadata"}  # which each submission gives
