"""A group of failures in words, with the addresses of the pages that tell more and the buttons that help."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_jobs.admin import held_retries
from django_jobs.admin.base import is_system_admin
from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.charts_small import draw_spark
from django_jobs.admin.failure_filters import Chosen
from django_jobs.admin.formatting import badge, line, linked, moment
from django_jobs.admin.open_pages import OpenPages, with_page
from django_jobs.admin.widgets import Button
from django_jobs.engine.access import get_policy
from django_jobs.engine.insight.failures import Failures, Group, RaisedError, newest_jobs, read_raised_errors
from django_jobs.engine.insight.inspection import held_types, is_held
from django_jobs.engine.store.organization_ids import read_tenants
from django_jobs.models import Job, JobType
from django_jobs.statuses import WITH_ERRORS, Status

#: Organizations of a group that are named; the others are counted.
NAMED: Final = 3
ERROR: Final = 160
SOURCE: Final = 160
#: From the worst on.
_ORDER: Final = sorted(WITH_ERRORS, key=lambda status: (status != Status.DEAD_LETTER, status))


@dataclass(frozen=True, slots=True, kw_only=True)
class Buttons:
    """What the user may do with a group, as far as its newest job tells."""

    retry: bool = False
    cancel: bool = False
    delete: bool = False
    pause: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """What a page tells of one group. ``key`` tells groups of a page apart, and stays when the page is read again."""

    key: str
    job_type: str
    fingerprint: str
    kind: Any
    kind_url: str
    is_gone: bool
    is_paused: bool
    held: str
    held_code: str
    release: Button | None
    error_class: Any
    error: Any
    #: Both as plain text, to be read out.
    spoken: str
    frame: Any
    source: Any
    url: str
    count: CappedCount
    statuses: list[tuple[SafeString, CappedCount]]
    dead: CappedCount
    waiting: CappedCount
    next_retry: Any
    tenants: list[tuple[SafeString, CappedCount]]
    more_tenants: int
    first: Any
    last: Any
    spark: SafeString
    last_day: int
    newest: Job
    newest_link: Any
    jobs_url: str
    buttons: Buttons

    @property
    def is_single(self) -> bool:
        """Return whether it is one job: to retry one is then to retry all, and no rate is needed."""
        return self.count.count == 1 and not self.count.is_cut

    @property
    def has_more(self) -> bool:
        """Return whether there is something under "More"."""
        buttons = self.buttons
        ends = (buttons.cancel and self.waiting.count) or (buttons.delete and self.dead.count)
        pauses = buttons.pause and not self.is_gone and not self.is_paused
        return bool((buttons.retry and not self.is_single) or ends or pauses)


class RowMaker:
    """Makes the rows of a page of groups, reading what all of them need in a constant number of statements."""

    def __init__(
        self,
        request: HttpRequest,
        pages: OpenPages,
        chosen: Chosen,
        found: Failures,
        groups: Sequence[Group],
        named: int = NAMED,
    ) -> None:
        self._request, self._pages, self._links = request, pages, pages.links
        self._chosen, self._is_cut, self._named = chosen, found.is_cut, named
        self._newest = newest_jobs(groups)
        self._groups = [group for group in groups if group.newest_pk in self._newest]
        self._shown = {group.newest_pk: group.organizations.most_common(named) for group in self._groups}
        pks = {pk for shown in self._shown.values() for pk, _count in shown}
        self._tenants = read_tenants(pks)
        self._tenant_pages = pages.organizations(self._tenants)
        self._kinds = JobType.primary.in_bulk({group.job_type for group in self._groups})
        self.is_system_admin = is_system_admin(request)
        # A traceback is not even read for people who may not see it.
        self._errors = read_raised_errors(self._newest) if self.is_system_admin else {}
        self._asked: dict[Any, Buttons] = {}
        fragile = [pk for pk, kind in self._kinds.items() if kind.breaker_failures]
        self._held = held_types(fragile) if fragile else {}

    def rows(self) -> list[FailureRow]:
        """Return the rows."""
        return [self._row(group) for group in self._groups]

    def _row(self, group: Group) -> FailureRow:
        newest, kind = self._newest[group.newest_pk], self._kinds.get(group.job_type)
        only = {*group.organizations} if len(group.organizations) == 1 else {None}
        reason = held_retries.reason_of(kind, is_held=is_held(self._held, group.job_type, only.pop()))
        here = self._request.get_full_path()
        return FailureRow(
            key=f"{zlib.crc32(f'{group.job_type} {group.error_fingerprint}'.encode()):08x}",
            job_type=group.job_type,
            fingerprint=group.error_fingerprint,
            kind=line(group.job_type, 60),
            kind_url=self._pages.job_type(kind),
            is_gone=kind is None,
            is_paused=kind is not None and kind.is_paused,
            held=str(held_retries.WILL_WAIT.get(reason, "")),
            held_code=reason,
            release=held_retries.button_for(self._request, self._links, reason, group.job_type, here),
            **_told(newest, self._errors.get(newest.pk)),
            url=self._links.failure_group(group.job_type, group.error_fingerprint, **self._chosen.narrowed),
            count=self._count(group.count),
            statuses=[
                (badge(status), self._count(group.statuses[status])) for status in _ORDER if group.statuses[status]
            ],
            dead=self._count(group.statuses[Status.DEAD_LETTER]),
            waiting=self._count(group.waiting),
            next_retry=moment(group.next_retry_at) if group.next_retry_at else "",
            tenants=[self._tenant(pk, count) for pk, count in self._shown[group.newest_pk]],
            more_tenants=max(0, len(group.organizations) - self._named),
            first=moment(group.first),
            last=moment(group.last),
            spark=draw_spark([float(count) for count in group.hours], 1.0),
            last_day=sum(group.hours),
            newest=newest,
            newest_link=linked(self._pages.job(newest), newest.name),
            jobs_url=self._links.failed_jobs(
                **self._chosen.list_query(type=group.job_type, fingerprint=group.error_fingerprint)
            ),
            buttons=self._buttons(newest, kind),
        )

    def _count(self, count: int) -> CappedCount:
        return CappedCount(count=count, is_cut=self._is_cut)

    def _tenant(self, pk: Any, count: int) -> tuple[SafeString, CappedCount]:
        tenant = self._tenants.get(pk)
        name = tenant_name(pk, tenant)
        url = "" if tenant is None else f"?{urlencode(self._chosen.query(organization=str(pk)))}"
        return with_page(name, url, self._tenant_pages.get(pk, "")), self._count(count)

    def _buttons(self, newest: Job, kind: JobType | None) -> Buttons:
        # The policy is asked anew for each job when its turn comes. Here it is asked once for all groups that the
        # built-in one does not tell apart, since it reads the database.
        permission = kind.requires_permission if kind is not None else ""
        key = (newest.organization_id, permission, newest.owner_id == self._request.user.pk)
        if key not in self._asked:
            self._asked[key] = buttons_for(self._request, newest, kind)
        return self._asked[key]


def buttons_for(request: HttpRequest, newest: Job, kind: JobType | None) -> Buttons:
    """Return what the policy lets the user do with jobs such as this one."""
    policy, user = get_policy(), request.user
    return Buttons(
        retry=policy.can_retry(user, newest),
        cancel=policy.can_cancel(user, newest),
        delete=policy.can_delete(user, newest),
        pause=kind is not None and policy.is_system_admin(user),
    )


def tenant_name(pk: Any, tenant: Any) -> str:
    """Return the name of an organization for people, or that it is gone."""
    return str(tenant) if tenant is not None else _("%(organization)s, which is gone") % {"organization": pk}


def _told(newest: Job, raised: RaisedError | None) -> dict[str, Any]:
    """Return the error of a group: for those who may see it the exception and its last frame, else the job's text."""
    text = str(getattr(newest, "error_start", ""))
    if raised is None:
        return {
            "error_class": "",
            "error": line(text, ERROR) if text else _("(without a text)"),
            "spoken": text[:ERROR],
            "frame": "",
            "source": "",
        }
    name, words = raised.error_class.rpartition(".")[2], raised.text or text
    return {
        "error_class": line(name, 60) if name else "",
        "error": line(words, ERROR),
        "spoken": (f"{name}: {words}" if name and words else name or words)[:ERROR],
        "frame": frame_words(raised),
        "source": line(raised.source, SOURCE) if raised.source else "",
    }


def frame_words(raised: RaisedError) -> str:
    """Return where the exception was raised, in words; empty where that is not known."""
    if not raised.path:
        return ""
    return _("%(file)s, line %(line)d, in %(function)s") % {
        "file": raised.file,
        "line": raised.line,
        "function": raised.function,
    }
