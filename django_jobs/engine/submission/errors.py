"""What is wrong with a submission, field by field, and which exception says it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from django_jobs.engine.json_storage import clean_text
from django_jobs.exceptions import (
    InvalidSubmission,
    JobsError,
    JobTypeDisabled,
    JobTypeNotFound,
    OrganizationInactive,
    OrganizationNotFound,
)

#: Of several causes, the first in this order is raised, so that it can be caught whatever else is wrong.
_CAUSES = (JobTypeNotFound, OrganizationNotFound, JobTypeDisabled, OrganizationInactive)


class Errors(dict[str, list[str]]):
    """Messages by field; ``cause`` is the class of the exception to raise."""

    # Of the class, until there is something to say: each of many submissions has errors of its own, nearly all empty.
    cause: type[InvalidSubmission] = InvalidSubmission

    def note(self, field: str, text: str, cause: type[InvalidSubmission]) -> None:
        """Set a field's message, for which there is a class of exceptions."""
        self[field] = [text]
        self.cause = cause_of([self.cause, cause])

    def add(self, others: Errors) -> None:
        """Take over others, each in place of this one's for its field."""
        if others:
            self.update({field: list(texts) for field, texts in others.items()})
            self.cause = cause_of([self.cause, others.cause])

    def copy(self) -> Errors:
        """Return a copy; adding to it does not change these errors."""
        twin = Errors(self)
        twin.cause = self.cause
        return twin

    def refusal(self) -> InvalidSubmission:
        """Return the exception to raise."""
        return self.cause(dict(self))


def cause_of(causes: Iterable[type[InvalidSubmission]]) -> type[InvalidSubmission]:
    """Return the first of the special causes among these, else InvalidSubmission."""
    found = set(causes)
    return next((cause for cause in _CAUSES if cause in found), InvalidSubmission)


def shown(named: object) -> str:
    """Return the name by which a type or an organization was asked for, as a message may quote it."""
    return clean_text(getattr(named, "pk", named), 140)


@contextlib.contextmanager
def naming(call: str, job_type: object) -> Iterator[None]:
    """Let a refusal say which call it refused; the error text of a handler's job quotes that."""
    try:
        yield
    except JobsError as refusal:
        refusal.refused_call = f"{call}({shown(job_type)!r})"
        raise
