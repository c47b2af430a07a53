"""What is asked before something is done to many chosen jobs, and what is said afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs.admin.numbers import format_number
from django_jobs.admin.operation_words import DONE
from django_jobs.engine.control.acts import Action
from django_jobs.models import Job
from django_jobs.texts import listed

#: Up to so many jobs are named.
MAX_NAMED: Final = 5

_ONE: Final[dict[str, Any]] = {
    Action.CANCEL: gettext_lazy("Cancel %(job)s?"),
    Action.RETRY: gettext_lazy("Retry %(job)s?"),
    Action.DELETE: gettext_lazy("Delete %(job)s?"),
    Action.SET_PRIORITY: gettext_lazy("Change the priority of %(job)s?"),
    Action.RUN_NOW: gettext_lazy("Run %(job)s now?"),
}
_MANY: Final[dict[str, Callable[[int], str]]] = {
    Action.CANCEL: lambda count: ngettext("Cancel %(count)s job?", "Cancel %(count)s jobs?", count),
    Action.RETRY: lambda count: ngettext("Retry %(count)s job?", "Retry %(count)s jobs?", count),
    Action.DELETE: lambda count: ngettext("Delete %(count)s job?", "Delete %(count)s jobs?", count),
    Action.SET_PRIORITY: lambda count: ngettext(
        "Change the priority of %(count)s job?", "Change the priority of %(count)s jobs?", count
    ),
    Action.RUN_NOW: lambda count: ngettext("Run %(count)s job now?", "Run %(count)s jobs now?", count),
}
_FITTING: Final[dict[str, Callable[[int], str]]] = {
    Action.CANCEL: lambda count: ngettext(
        "{count} of {total} can be canceled as they stand now; not {others}.",
        "{count} of {total} can be canceled as they stand now; not {others}.",
        count,
    ),
    Action.RETRY: lambda count: ngettext(
        "{count} of {total} can be retried as they stand now; not {others}.",
        "{count} of {total} can be retried as they stand now; not {others}.",
        count,
    ),
    Action.DELETE: lambda count: ngettext(
        "{count} of {total} can be deleted as they stand now; not {others}.",
        "{count} of {total} can be deleted as they stand now; not {others}.",
        count,
    ),
    Action.SET_PRIORITY: lambda count: ngettext(
        "{count} of {total} can be changed as they stand now; not {others}.",
        "{count} of {total} can be changed as they stand now; not {others}.",
        count,
    ),
    Action.RUN_NOW: lambda count: ngettext(
        "{count} of {total} can be made due as they stand now; not {others}.",
        "{count} of {total} can be made due as they stand now; not {others}.",
        count,
    ),
}
_NOT_DONE: Final[dict[str, Callable[[int], str]]] = {
    Action.CANCEL: lambda count: ngettext("%(count)s job not canceled", "%(count)s jobs not canceled", count),
    Action.RETRY: lambda count: ngettext("%(count)s job not retried", "%(count)s jobs not retried", count),
    Action.DELETE: lambda count: ngettext("%(count)s job not deleted", "%(count)s jobs not deleted", count),
    Action.SET_PRIORITY: lambda count: ngettext("%(count)s job not changed", "%(count)s jobs not changed", count),
    Action.RUN_NOW: lambda count: ngettext("%(count)s job not made due", "%(count)s jobs not made due", count),
}


def question(verb: str, jobs: Sequence[Job]) -> str:
    """Return what is asked before this is done to these jobs: one is named, more are counted."""
    if len(jobs) == 1:
        return str(_ONE[verb]) % {"job": jobs[0].name}
    return _MANY[verb](len(jobs)) % {"count": format_number(len(jobs))}


def fitting_words(verb: str, fitting: int, total: int, others: SafeString) -> SafeString:
    """Return to how many of the chosen jobs this can be done; ``others`` counts those to which it cannot, by status."""
    return format_html(_FITTING[verb](fitting), count=format_number(fitting), total=format_number(total), others=others)


def done_words(verb: str, jobs: Sequence[Job]) -> str:
    """Return that this was done to these jobs, as a sentence."""
    what = DONE[verb](len(jobs)) % {"count": format_number(len(jobs))}
    if len(jobs) > MAX_NAMED:
        return _("%(what)s.") % {"what": what}
    return _("%(what)s (%(jobs)s).") % {"what": what, "jobs": _names(jobs)}


def asked_words(jobs: Sequence[Job]) -> str:
    """Return that these jobs were asked to stop, as a sentence."""
    count = len(jobs)
    if count > MAX_NAMED:
        text = ngettext("%(count)s job is asked to stop.", "%(count)s jobs are asked to stop.", count)
        return text % {"count": format_number(count)}
    text = ngettext("%(count)s job (%(jobs)s) is asked to stop.", "%(count)s jobs (%(jobs)s) are asked to stop.", count)
    return text % {"count": format_number(count), "jobs": _names(jobs)}


def refused_words(verb: str, names: Sequence[str], reason: str) -> str:
    """Return that this was not done to the jobs of these names, and why, as a sentence."""
    what = _NOT_DONE[verb](len(names)) % {"count": format_number(len(names))}
    shown = listed(names[:MAX_NAMED]) + (" …" if len(names) > MAX_NAMED else "")
    return _("%(what)s (%(jobs)s): %(reason)s.") % {"what": what, "jobs": shown, "reason": reason}


def missing_words(verb: str, count: int) -> str:
    """Return that this was not done to so many jobs, which are not there any more, as a sentence."""
    what = _NOT_DONE[verb](count) % {"count": format_number(count)}
    return _("%(what)s: %(reason)s.") % {"what": what, "reason": _("deleted meanwhile")}


def _names(jobs: Sequence[Job]) -> str:
    return listed(job.name for job in jobs)
