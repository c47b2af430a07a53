"""Clients of the API, as people of every role."""

from __future__ import annotations

from typing import Any

from django.core.cache import cache
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from tests.support import verbs


def client_of(user: Any = None, **options: Any) -> APIClient:
    """A client that acts as ``user``; None: anonymous. Requests of earlier tests count against no throttle."""
    cache.clear()
    client = APIClient(**options)
    if user is not None:
        client.force_authenticate(user)
    return client


def url_of(job: Any, *more: str) -> str:
    """The address of a job, or of what lies below it."""
    return "/".join(["/api/jobs", getattr(job, "name", job), *more, ""])


def ids(answer: Any) -> list[str]:
    """The ids of the jobs on a page of an answer."""
    return [job["job_id"] for job in answer.json()["results"]]


def codes(answer: Any) -> Any:
    """The codes of what is wrong with single fields, in the form in which the answer has their texts."""
    return _codes(answer.data)


def _codes(errors: Any) -> Any:
    if isinstance(errors, dict):
        return {name: _codes(found) for name, found in errors.items()}
    if isinstance(errors, list):
        return [_codes(found) for found in errors]
    return verbs.code_of(errors)


def body_of(answer: Any) -> bytes:
    """All of an answer that is sent piece by piece."""
    return b"".join(answer.streaming_content)


def make_schema() -> dict[str, Any]:
    """The OpenAPI schema of the example project."""
    schema: dict[str, Any] = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return schema
