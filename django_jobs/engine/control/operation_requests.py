"""What somebody asks for who wants to act on all jobs that a filter names, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _

from django_jobs.engine.control.operation_actions import Action, members
from django_jobs.engine.insight.counting_in_time import count_in_time
from django_jobs.engine.insight.job_filter import JobFilter
from django_jobs.engine.insight.newest_jobs import Newest
from django_jobs.exceptions import InvalidOperation
from django_jobs.statuses import Priority
from django_jobs.texts import say

#: The highest rate. Without a rate an operation goes as fast as it can.
MAX_PER_MINUTE: Final = 60_000
#: Actions after which the jobs run, so that one may be tried first, and failures are counted.
RUNNING_ACTIONS: Final = frozenset({Action.RETRY, Action.RUN_NOW})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody asks for; ``rate`` is in jobs a minute."""

    action: str
    filters: JobFilter
    value: int | str | None = None
    rate: int | None = None
    stop_above: float | None = None
    try_first: bool = False

    def check(self) -> None:
        """Raise InvalidOperation with what is wrong by field."""
        errors = {name: [text] for name, text in self._faults().items() if text}
        if errors:
            raise InvalidOperation(errors)

    def _faults(self) -> dict[str, str]:
        return {
            "action": self._fault_of_action(),
            "filters": self._fault_of_filters(),
            "value": self._fault_of_value(),
            "rate": self._fault_of_rate(),
            "stop_above": self._fault_of_share(),
            "try_first": self._fault_of_trial(),
        }

    def _fault_of_action(self) -> str:
        if self.action in Action.values:
            return ""
        return say(_("Use one of %(actions)s."), code="invalid_choice", actions=", ".join(Action.values))

    def _fault_of_filters(self) -> str:
        if not self.filters.is_empty and self.filters.is_storable:
            return ""
        return say(_('Name the jobs by a filter; to act on all jobs, say {"all": true}.'), code="names_all")

    def _fault_of_value(self) -> str:
        if self.action != Action.SET_PRIORITY:
            text = say(_("Only a change of priority takes a value."), code="takes_no_value")
            return "" if self.value is None else text
        text = say(_("Use one of %(labels)s."), code="invalid_choice", labels=", ".join(Priority.words()))
        return "" if self.priority is not None else text

    def _fault_of_rate(self) -> str:
        rate: Any = self.rate
        if rate is None or (_is_whole(rate) and 1 <= rate <= MAX_PER_MINUTE):
            return ""
        text = _("Give a number of jobs a minute from 1 to %(most)s, or null for as fast as it goes.")
        return say(text, code="out_of_range", most=MAX_PER_MINUTE)

    def _fault_of_share(self) -> str:
        share: Any = self.stop_above
        if share is None:
            return ""
        if self.action not in RUNNING_ACTIONS:
            return say(_("Failures are counted of jobs that are retried or run now."), code="jobs_do_not_run")
        is_share = isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share <= 1
        return "" if is_share else say(_("Give a share from 0 to 1, such as 0.2, or null."), code="out_of_range")

    def _fault_of_trial(self) -> str:
        if not self.try_first or self.action in RUNNING_ACTIONS:
            return ""
        return say(_("One can be tried first of jobs that are retried or run now."), code="jobs_do_not_run")

    @property
    def priority(self) -> Priority | None:
        """Return the priority that the value names; None where it names none."""
        try:
            return None if self.value is None else Priority.parse(self.value)
        except ValueError:
            return None

    @property
    def stored_value(self) -> int | None:
        """Return the value as it is stored."""
        return None if self.priority is None else int(self.priority)

    def members(self, user: Any) -> Newest:
        """Return the jobs that it would change now, of those that the user may see.

        Where no index finds them, of the newest jobs alone: whoever asks waits for the answer.
        """
        found = self.filters.listed(user)
        return Newest(members(found.rows, self.action, self.stored_value), found.is_bounded)

    def count(self, user: Any) -> tuple[int, bool]:
        """Return how many jobs it would change now, however old, and whether there may be more than were counted."""
        rows = members(self.filters.rows(user), self.action, self.stored_value)
        return count_in_time(rows, is_walked=self.filters.is_walked)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
