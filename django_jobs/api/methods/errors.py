"""Errors in the shape that the quickstart's clients know: ``{"exc_type": …, "message": …}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rest_framework.response import Response

from django_jobs.api.errors import Problem, problem_of

EXC_TYPES: Final = {
    400: "ValidationError",
    401: "AuthenticationError",
    403: "PermissionError",
    404: "DoesNotExistError",
    409: "InvalidTransitionError",
    429: "TooManyRequestsError",
    500: "InternalServerError",
}


def answer(error: Exception, _context: Mapping[str, Any]) -> Response | None:
    """Return the answer to an exception; None for one that a client must not be told of, which is raised again."""
    problem = problem_of(error)
    if problem is None:
        return None
    duplicate = problem.code == "duplicate_job"
    exc_type = "DuplicateError" if duplicate else EXC_TYPES.get(problem.status_code, "ValidationError")
    body = {"exc_type": exc_type, "message": _message(problem)}
    if "existing_job_id" in problem.facts:
        body["existing_job_id"] = problem.facts["existing_job_id"]
    return Response(body, status=problem.status_code, headers=dict(problem.headers))


def _message(problem: Problem) -> str:
    """All that is wrong, in one line."""
    if problem.fields is None:
        return problem.detail
    if isinstance(problem.fields, Mapping):
        return "; ".join(f"{name}: {_joined(texts)}" for name, texts in problem.fields.items())
    return _joined(problem.fields)


def _joined(texts: Any) -> str:
    return " ".join(map(str, texts)) if isinstance(texts, list) else str(texts)
