"""What an operation does, how far it has come and what became of its jobs, in words."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs.admin.durations import brief_duration
from django_jobs.admin.news import News, sentence
from django_jobs.engine.control.acts import Action
from django_jobs.engine.control.operations import ids_seen_by, read_speeds, seconds_left
from django_jobs.engine.insight.filter import JobFilter, without_secrets
from django_jobs.engine.job_types.masking import hidden_from, sensitive_names
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Operation
from django_jobs.statuses import TERMINAL, Priority, Status
from django_jobs.texts import isolated, listed

_IDS: Final = "organization_ids"
_HIDDEN: Final = "hidden_names"

TITLES: Final[dict[str, Any]] = {
    Action.RETRY: gettext_lazy("Retry: %(jobs)s"),
    Action.CANCEL: gettext_lazy("Cancel: %(jobs)s"),
    Action.DELETE: gettext_lazy("Delete: %(jobs)s"),
    Action.SET_PRIORITY: gettext_lazy("Change priority to %(value)s: %(jobs)s"),
    Action.RUN_NOW: gettext_lazy("Run now: %(jobs)s"),
}
#: What was done to the jobs that changed.
DONE: Final[dict[str, Callable[[int], str]]] = {
    Action.RETRY: lambda count: ngettext("%(count)s job retried", "%(count)s jobs retried", count),
    Action.CANCEL: lambda count: ngettext("%(count)s job canceled", "%(count)s jobs canceled", count),
    Action.DELETE: lambda count: ngettext("%(count)s job deleted", "%(count)s jobs deleted", count),
    Action.SET_PRIORITY: lambda count: ngettext(
        "%(count)s job got another priority", "%(count)s jobs got another priority", count
    ),
    Action.RUN_NOW: lambda count: ngettext("%(count)s job made due", "%(count)s jobs made due", count),
}
#: What is asked before it starts.
QUESTIONS: Final[dict[str, Any]] = {
    Action.RETRY: gettext_lazy("Retry all jobs that match?"),
    Action.CANCEL: gettext_lazy("Cancel all jobs that match?"),
    Action.DELETE: gettext_lazy("Delete all jobs that match?"),
    Action.SET_PRIORITY: gettext_lazy("Change the priority of all jobs that match?"),
    Action.RUN_NOW: gettext_lazy("Run all jobs that match now?"),
}
CONSEQUENCES: Final[dict[str, Any]] = {
    Action.RETRY: gettext_lazy(
        "Each starts over with all its retries; its error, result and times are cleared. Jobs that died because of it "
        "come to life again."
    ),
    Action.CANCEL: gettext_lazy(
        "Waiting jobs end at once. Running ones are asked to stop and end within moments. Jobs that wait for them to "
        "complete are canceled with them."
    ),
    Action.DELETE: gettext_lazy(
        "Each goes with its Execution Log and the files that it saved. Jobs that depend on it wait for it no longer, "
        "and cannot read its result. This cannot be undone."
    ),
    Action.SET_PRIORITY: gettext_lazy("Each waits again among the jobs of its new priority, as the last of them."),
    Action.RUN_NOW: gettext_lazy(
        "Jobs that wait for a moment, or for their next retry, wait for it no longer. Those that wait for other jobs "
        "go on waiting for these."
    ),
}
AMOUNTS: Final[dict[str, Any]] = {
    Action.RETRY: gettext_lazy("%(changed)s of %(total)s retried"),
    Action.CANCEL: gettext_lazy("%(changed)s of %(total)s canceled"),
    Action.DELETE: gettext_lazy("%(changed)s of %(total)s deleted"),
    Action.SET_PRIORITY: gettext_lazy("%(changed)s of %(total)s changed"),
    Action.RUN_NOW: gettext_lazy("%(changed)s of %(total)s made due"),
}


COLORS: Final = {"running": "running", "paused": "timed-out", "stopped": "canceled", "done": "completed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How many jobs were looked at, of how many, and for about how long it goes on; blank where nobody knows."""

    seen: int
    total: int
    left: int
    time_left: str


def progress_of(operation: Operation) -> Progress:
    """Return how far the operation has come."""
    seen = operation.changed + operation.refusals
    left = max(0, operation.total - seen)
    seconds = seconds_left(operation, read_speeds()[operation.action]) if operation.is_open else None
    return Progress(
        seen=seen,
        total=max(operation.total, seen),
        left=left,
        time_left=brief_duration(seconds) if seconds else "",
    )


def note_organizations(found: Collection[Operation], user: Any) -> None:
    """Note on each the ids of the organizations that all their filters name, for their titles, and what these mask.

    They are read in one statement. One that this user may not know of any more is told by its key.
    """
    ids = ids_seen_by(user, {pk for item in found for pk in _organizations(item)})
    for item in found:
        item.__dict__ |= {_IDS: ids, _HIDDEN: hidden_from(user)}


def _organizations(operation: Operation) -> tuple[Any, ...]:
    try:
        return JobFilter.from_json(operation.filters).organization_pk or ()
    except InvalidFilter:
        return ()


def title_of(operation: Operation) -> str:
    """Return what the operation does and to which jobs in one line.

    Call :func:`note_organizations` first for many of them, and where the reader may not know of all organizations.
    """
    known = operation.__dict__
    try:
        filters = without_secrets(JobFilter.from_json(operation.filters), known.get(_HIDDEN, sensitive_names()))
        parts = listed(f"{name}: {isolated(value)}" for name, value in filters.words(known.get(_IDS)))
    except InvalidFilter:
        parts = "?"
    value = "" if operation.value is None else Priority(operation.value).label
    return str(TITLES[operation.action]) % {"jobs": parts, "value": value}


def state_badge(operation: Operation) -> SafeString:
    """Return an operation's state as a colored word."""
    return format_html(
        '<span class="djobs-badge djobs-{}">{}</span>', COLORS[operation.state], operation.get_state_display()
    )


def amount_words(operation: Operation) -> str:
    """Return how many jobs were changed, of how many."""
    total = number_format(operation.total, force_grouping=True)
    if operation.has_more:
        total = _("more than %(count)s") % {"count": total}
    changed = number_format(operation.changed, force_grouping=True)
    return str(AMOUNTS[operation.action]) % {"changed": changed, "total": total}


def rate_words(operation: Operation) -> str:
    """Return at which rate the operation goes."""
    rate = operation.per_minute
    if rate is None:
        return _("as fast as it goes")
    text = ngettext("%(count)s job a minute", "%(count)s jobs a minute", rate)
    return text % {"count": number_format(rate, force_grouping=True)}


def reason_words(operation: Operation, note: str) -> str:
    """Return why the engine paused or stopped it; blank where a person did.

    ``note`` is what the reader may know of its note.
    """
    known = dict(Operation.Reason.choices)
    parts = [str(known.get(operation.reason, operation.reason)), note]
    return " ".join(part for part in parts if part)


def refusal_words(operation: Operation) -> list[tuple[int, str]]:
    """Return how many jobs were left as they are, and why, the most frequent reason first."""
    known = dict(Operation.Refusal.choices)
    return [
        (count, str(known.get(reason, reason)))
        for reason, count in sorted(operation.refused.items(), key=lambda item: -item[1])
    ]


def outcome_words(operation: Operation) -> str:
    """Return what became of the jobs, such as "2,956 jobs retried: 2,801 completed, 155 died again"."""
    changed = operation.changed
    done = DONE[operation.action](changed) % {"count": number_format(changed, force_grouping=True)}
    parts = _parts(operation)
    if not parts:
        return done
    counted = sum(operation.outcome.values())
    text = _("%(done)s: %(parts)s") if counted >= operation.changed else _("%(done)s: at least %(parts)s")
    return text % {"done": done, "parts": listed(parts)}


def news_of(operation: Operation, note: str, *, is_waiting: bool) -> News:
    """Return how far it is, how many of its jobs died again, and why it holds or ended by itself.

    ``is_waiting``: the scheduler, which works it off, is silent.
    """
    died = operation.outcome.get(Status.DEAD_LETTER, 0) if operation.action in (Action.RETRY, Action.RUN_NOW) else 0
    values = {"number": operation.pk, "state": operation.get_state_display(), "amount": amount_words(operation)}
    # Translators: such as "Operation 12: Paused, 2,956 of 57,000 retried".
    told = _("Operation %(number)s: %(state)s, %(amount)s") % values
    if died:
        count = number_format(died, force_grouping=True)
        told = f"{told}, {ngettext('%(count)s failed', '%(count)s failed', died) % {'count': count}}"
    silence = _("The scheduler is silent: nothing happens until it runs again.") if is_waiting else ""
    return News(
        text=sentence(told, reason_words(operation, note), silence),
        state=f"{operation.state} {operation.reason} {is_waiting}",
    )


def _parts(operation: Operation) -> list[str]:
    if operation.action not in (Action.RETRY, Action.RUN_NOW) and not operation.asked:
        return []
    outcome = operation.outcome
    open_count = sum(count for status, count in outcome.items() if status not in TERMINAL)
    completed, died = outcome.get(Status.COMPLETED, 0), outcome.get(Status.DEAD_LETTER, 0)
    canceled = outcome.get(Status.CANCELED, 0)
    again = ngettext("%(count)s died again", "%(count)s died again", died)
    found = [
        (completed, ngettext("%(count)s completed", "%(count)s completed", completed)),
        (died, again if operation.action == Action.RETRY else ngettext("%(count)s died", "%(count)s died", died)),
        (canceled, ngettext("%(count)s canceled", "%(count)s canceled", canceled)),
        (open_count, ngettext("%(count)s has not ended yet", "%(count)s have not ended yet", open_count)),
    ]
    return [text % {"count": number_format(count, force_grouping=True)} for count, text in found if count]
