"""Who may do what an operation does: the access policy is asked for each job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.engine.access import AccessPolicy, get_policy, may_view
from django_jobs.models import Job, Operation

#: By action: what the policy is asked. Who may start a job over may also say when, and how urgently, it runs.
QUESTIONS: Final[dict[str, str]] = {
    Operation.Action.RETRY: "can_retry",
    Operation.Action.CANCEL: "can_cancel",
    Operation.Action.DELETE: "can_delete",
    Operation.Action.SET_PRIORITY: "can_retry",
    Operation.Action.RUN_NOW: "can_retry",
}
#: What the built-in answers depend on.
_ASKED: Final = ("organization_id", "job_type_id", "owner_id")
#: Columns that few policies read.
LARGE: Final = ("input_parameters", "metadata", "result", "output_reference", "error_message")


def is_built_in(action: str) -> bool:
    """Return whether the built-in policy says who may do this to which jobs, so that equal facts have equal answers.

    A host's own answer may depend on anything.
    """
    policy = type(get_policy())
    return all(getattr(policy, name) is getattr(AccessPolicy, name) for name in ("can_view", QUESTIONS[action]))


class Rights:
    """What one user may do, remembered for a moment: make one for each batch of jobs."""

    def __init__(self, action: str, user: Any) -> None:
        self._user = user
        self._ask: Callable[[Any, Job], bool] = getattr(get_policy(), QUESTIONS[action])
        self.is_built_in = user is None or is_built_in(action)
        self._known: dict[tuple[Any, ...], bool] = {}

    def read(self, rows: QuerySet[Job]) -> list[Job]:
        """Return these jobs with what is asked of each; where the host answers, with all but the large columns."""
        return list(rows.only(*_ASKED) if self.is_built_in else rows.defer(*LARGE))

    def may(self, job: Job) -> bool:
        """Return whether the user may see this job and do it. Server code, which is no user, may do all."""
        if self._user is None:
            return True
        if not self.is_built_in:
            return may_view(self._user, job) and self._ask(self._user, job)
        key = (job.organization_id, job.job_type_id, job.owner_id)
        if key not in self._known:
            self._known[key] = self._ask(self._user, job)
        return self._known[key]
