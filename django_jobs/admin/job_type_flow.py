"""What keeps a type's jobs from starting now: its breaker, with the page that closes it, and its limits in use."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs.admin import navigation_counts
from django_jobs.admin.base import OwnPages, is_system_admin
from django_jobs.admin.breaker_notices import alone, cut, notice_of, waiting_count
from django_jobs.admin.durations import format_duration
from django_jobs.admin.formatting import line
from django_jobs.admin.job_waits import key_words
from django_jobs.admin.news import Notice
from django_jobs.admin.numbers import format_number
from django_jobs.engine.control.switches import close_breaker
from django_jobs.engine.dispatch.limits import limits_of
from django_jobs.engine.insight.inspection import LimitsInUse, jobs, open_breakers, read_in_use
from django_jobs.engine.job_types.masking import hidden_from
from django_jobs.engine.job_types.parameters import is_rekeyed
from django_jobs.engine.store import database
from django_jobs.engine.store.organization_ids import current_ids
from django_jobs.engine.store.values import Lane
from django_jobs.models import JobType
from django_jobs.statuses import IN_FLIGHT

#: Organizations and keys at their limits that are named; the others are counted.
SHOWN: Final = 5


#: A limit's field, a title, names and counts of what is at the limit, and how many more there are.
Full = tuple[str, str, list[tuple[Any, int]], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What the page tells of a type's limits: how many are queued or running, and further rows of a name and a value.

    ``full`` tells of each limit what is at it. Without ``is_rekeyed`` the jobs are held until they are in other lanes.
    """

    in_flight: str
    rows: list[tuple[str, str]]
    full: list[Full]
    is_rekeyed: bool


class BreakerPage(OwnPages):
    """What a type's page says of a breaker that holds its jobs, and the page that asks before it closes one."""

    def breaker_notice(self, kind: JobType) -> Notice | None:
        """Return what to say of the breaker that holds a type's jobs; None where none does."""
        found = open_breakers([kind.pk]) if kind.breaker_failures else []
        return notice_of(found[0], database.now(), self.url_of("close_breaker", kind.pk)) if found else None

    def _close_breaker(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the page that asks, or close the breaker of a type by the engine's verb."""
        if not is_system_admin(request):
            raise PermissionDenied
        kind = self.find(request, object_id)
        if kind is None:
            return self.gone(request, object_id)
        if request.method == "POST":
            if close_breaker(kind.pk, user=request.user):
                database.once_on_commit(navigation_counts.forget)
                text = _("The breaker of %(type)s is closed: what waited may start.") % {"type": kind.pk}
                self.message_user(request, text, extra_tags="closed")
            else:
                text = _("The breaker of %(type)s was closed already.") % {"type": kind.pk}
                self.message_user(request, text, messages.WARNING, extra_tags="already_closed")
            return self.go_back(request, kind.pk)
        title = _("Close the breaker of %(type)s?") % {"type": kind.pk}
        found = open_breakers([kind.pk])
        context: dict[str, Any] = {"kind": kind, "back_url": self.url_of("change", kind.pk)}
        if found:
            context |= {
                "breaker": found[0],
                "alone": alone(found[0]),
                "waiting": waiting_count(found[0]),
                "error": cut(found[0].error_message),
            }
        return self.page(request, "jobtype/close_breaker.html", title, title, **context)


def read_flow(kind: JobType, user: Any) -> Flow:
    """Return what a type's page tells of its limits, read in a constant number of statements."""
    in_use = read_in_use(kind)
    in_flight = _of(in_use.total, kind.max_running)
    return Flow(in_flight=in_flight, rows=_rows(kind), full=_full(kind, in_use, user), is_rekeyed=is_rekeyed(kind))


def _of(count: int, most: int | None) -> str:
    if most is None:
        return format_number(count)
    # Translators: how many jobs there are, and how many there may be: "3 of 10".
    return _("%(count)s of %(most)s") % {"count": format_number(count), "most": format_number(most)}


def _rows(kind: JobType) -> list[tuple[str, str]]:
    count = None if kind.max_starts is None else limits_of([kind]).rates.counted(kind.pk)
    if count is None:
        return []
    name = _("Starts in %(duration)s") % {"duration": format_duration(kind.max_starts_window)}
    return [(name, _of(count, kind.max_starts))]


def _full(kind: JobType, in_use: LimitsInUse, user: Any) -> list[Full]:
    groups: list[Full] = []
    if kind.max_running_per_organization is not None:
        full = in_use.full_organizations()
        names = current_ids(_first(full))
        shown = [(line(names.get(pk) or _gone(pk), 40), full[pk]) for pk in _first(full)]
        most = kind.max_running_per_organization
        title = ngettext("Organizations at their limit of %(most)s", "Organizations at their limit of %(most)s", most)
        title %= {"most": format_number(most)}
        groups.append(("max_running_per_organization", title, shown, len(full) - len(shown)))
    if kind.concurrency_key and is_rekeyed(kind):
        lanes = in_use.full_keys()
        shown = [(_lane_words(kind, lane, user), lanes[lane]) for lane in _first(lanes)]
        most = kind.max_running_per_key
        title = ngettext("Keys at their limit of %(most)s", "Keys at their limit of %(most)s", most)
        title %= {"most": format_number(most)}
        groups.append(("max_running_per_key", title, shown, len(lanes) - len(shown)))
    return groups


def _gone(pk: Any) -> str:
    return _("%(organization)s, which is gone") % {"organization": pk}


def _first(found: Mapping[Any, int]) -> list[Any]:
    return list(itertools.islice(found, SHOWN))


def _lane_words(kind: JobType, lane: Lane, user: Any) -> Any:
    """Return the value of the key that a lane has, which a job in flight knows."""
    own = {"job_type": kind, "organization_id": lane.organization_pk, "lane_key": lane.key}
    job = jobs().filter(status__in=sorted(IN_FLIGHT), **own).only("input_parameters").first()
    return key_words(kind, job.input_parameters, hidden_from(user)) if job else _("a key")
