"""What failed, in groups of like errors."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin import reasons
from django_jobs.admin.bar import RANGES, OpenPages, tenant_name, with_page
from django_jobs.admin.charts import draw_spark
from django_jobs.admin.filters import MAX_SHOWN, NO_JOBS, TERMS_OF_ADDRESS
from django_jobs.admin.operations import link_to, rows_of, title_of
from django_jobs.admin.pages import (
    FAILURES,
    News,
    SeesJobs,
    address_to_go_back_to,
    bar_numbers,
    is_system_admin,
    renamed,
    sentence,
    tenant,
    view,
)
from django_jobs.admin.search import listed_of
from django_jobs.admin.writing import ALL, CappedCount, badge, block, format_number, line, linked, moment
from django_jobs.engine import organizations
from django_jobs.engine.control import operations
from django_jobs.engine.control.acts import retry_job
from django_jobs.engine.control.operations import OperationRequest, under_way
from django_jobs.engine.insight.failures import (
    BOUND,
    Failures,
    Group,
    RaisedError,
    last_traceback,
    newest_jobs,
    read_failures,
    read_raised_errors,
)
from django_jobs.engine.insight.filter import LIST_TERMS, JobFilter, as_object, words_of
from django_jobs.engine.insight.inspection import held_types, is_held
from django_jobs.engine.insight.reasons import REASONS
from django_jobs.engine.organizations import id_of, read_tenants, shown_id
from django_jobs.engine.scope import scope_of
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidFilter, InvalidOperation, InvalidTransition
from django_jobs.exceptions import PermissionDenied as MayNot
from django_jobs.models import ExecutionLog, Failure, Job, JobType, Operation
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS, Status
from django_jobs.texts import told

# Operations on failures: what the buttons for all jobs of a group start, and what is under way or was done before.


#: So many of the newest operations are looked at for those that are about failures.
LOOKED_AT: Final = 200


def on_failures(found: Iterable[Operation], job_type: str = "", fingerprint: str | None = None) -> list[Operation]:
    """Return those of the operations that name failed jobs: of this type, and of this kind of error, where given."""
    filters = ((item, item.filters) for item in found)
    return [
        item
        for item, asked in filters
        if WITH_ERRORS.issuperset(asked.get("status", Status))
        and (not job_type or job_type in asked.get("job_type", [job_type]))
        and (fingerprint is None or asked.get("error_fingerprint", fingerprint) == fingerprint)
    ]


# What the buttons of failures do: retry one, retry all. Others lead to the page that asks before it is done to all jobs
# that match. The buttons of a type are those of its page.


RETRY_ONE: Final = "retry_one"
RETRY_ALL: Final = "retry_all"


class FailureActions(SeesJobs):
    """The one address that all buttons post to."""

    @view("act/", "act", post_only=True)
    def _act(self, request: HttpRequest) -> HttpResponse:
        """Do what the pressed button says, tell what became of it, and go back to where the user came from."""
        action, chosen = request.POST.get("action", ""), chosen_by(request.user, request.POST)
        if "job_type" not in chosen.given:
            text = _("Give a value: a blank one would name all jobs.")
            self.message_user(request, text, messages.WARNING, extra_tags="needs_job_type")
        elif not chosen.is_known:
            text = _("There is no such organization or state, or you may not see it.")
            self.message_user(request, text, messages.WARNING, extra_tags="unknown_choice")
        elif action == RETRY_ONE:
            return self._retry_one(request, chosen)
        elif action == RETRY_ALL:
            return self._start(request, chosen)
        else:
            text = _("%(value)s: there is no such choice") % {"value": action[:MAX_SHOWN]}
            self.message_user(request, text, messages.WARNING, extra_tags="unknown_button")
        return HttpResponseRedirect(self._back(request, chosen))

    def _retry_one(self, request: HttpRequest, chosen: Chosen) -> HttpResponse:
        """Retry the newest job, and show its page, which follows what becomes of it."""
        newest = chosen.filters.queryset(request.user).order_by("-pk").first()
        if newest is None:
            self._tell_empty(request)
            return HttpResponseRedirect(self._back(request, chosen))
        try:
            job = retry_job(newest, user=request.user)
        except MayNot as error:
            raise PermissionDenied from error
        except InvalidTransition as error:
            self.message_user(request, told(error), messages.WARNING, extra_tags=error.code)
            return HttpResponseRedirect(self._back(request, chosen))
        page = self.links.change("job", job.pk)
        back = self._back(request, chosen) if "next" in request.POST else page
        link = format_html('<a href="{}"><bdi>{}</bdi></a>', page, job.name)
        text, reason = reasons.retried(request, self.links, job, link, back)
        level = messages.WARNING if reason else messages.INFO
        self.message_user(request, text, level, extra_tags=reason or "retried")
        return HttpResponseRedirect(back)

    def _start(self, request: HttpRequest, chosen: Chosen) -> HttpResponse:
        """Start what goes on in the background, and show its page, which follows how far it comes."""
        asked = OperationRequest(action=Operation.Action.RETRY, filters=chosen.filters)
        try:
            started = operations.start_operation(asked, user=request.user)
        except MayNot as error:
            raise PermissionDenied from error
        except InvalidOperation:
            self._tell_empty(request)
            return HttpResponseRedirect(self._back(request, chosen))
        database.once_on_commit(bar_numbers.clear)
        link = link_to(self.links, started, title_of(started))
        text = format_html("{}: {}", capfirst(_("started")), link)
        self.message_user(request, text, messages.INFO, extra_tags="started")
        there = self._back(request, chosen) if "next" in request.POST else self.links.change("operation", started.pk)
        waits = reasons.will_wait(request, self.links, chosen.job_type, there)
        if waits is not None:
            text, reason = waits
            self.message_user(request, text, messages.WARNING, extra_tags=reason)
        return HttpResponseRedirect(there)

    def _tell_empty(self, request: HttpRequest) -> None:
        text = _("No such job is left: they were retried, canceled or deleted meanwhile.")
        self.message_user(request, text, messages.WARNING, extra_tags="none_left")

    def _back(self, request: HttpRequest, chosen: Chosen) -> str:
        """Return where the user came from if that is an address of this site, else the page of what was acted on."""
        return address_to_go_back_to(request) or self.links.failures(chosen.job_type)


# What failed, in groups of like errors: the list of groups and the page of one.


PER_PAGE: Final = 25
MAX_LISTED: Final = 20
MAX_TENANTS: Final = 50


@admin.register(Failure)
class FailureAdmin(FailureActions):
    """The list of groups, the page of one group with its newest error, and what their buttons do."""

    only_own = True

    @view("", "changelist")
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        chosen = chosen_by(request.user, renamed(request.GET))
        now = database.now()
        found = _read(request, chosen, now)
        page = Paginator(found.groups, PER_PAGE).get_page(request.GET.get("p"))
        pages = OpenPages(request, self.admin_site.name)
        rows = RowMaker(request, pages, chosen, found, list(page.object_list)).rows()
        return self.page(
            request,
            "failures/list.html",
            capfirst(_("failures")),
            capfirst(_("failures")),
            rows=rows,
            news=news_of_list(found, rows),
            page=page,
            page_url=chosen.query(),
            count=CappedCount(count=found.count, is_cut=found.is_cut),
            is_cut=found.is_cut,
            bound=BOUND,
            narrowed=chosen.words(),
            choices=[
                (label, chosen.query(status=sorted(group)), group == set(chosen.given.get("status", ())))
                for label, group in STATUSES
            ],
            list_url=self.links.jobs(**chosen.list_query()),
            retry_url=self.links.page("job_all_retry", **chosen.list_query()),
            log_url=self.links.list(
                "executionlog", became=FAILURES, since=RANGES["day"].key, job_type=chosen.job_type or None
            )
            if pages.opens(ExecutionLog)
            else "",
            **self._shared(request, chosen, now),
            operations=rows_of(self.links, on_failures(under_way(request.user), chosen.job_type), request.user),
        )

    def _shared(self, request: HttpRequest, chosen: Chosen, now: Any) -> dict[str, Any]:
        """Return what both pages say in the same way; the buttons of both act on what is chosen alone."""
        return {
            "chosen": chosen,
            "as_of": moment(now),
            "act_url": self.url_of("act"),
            "here": request.get_full_path(),
            "is_system_admin": is_system_admin(request),
        }

    @view("group/", "group")
    def _group(self, request: HttpRequest) -> HttpResponse:
        chosen, now = chosen_by(request.user, renamed(request.GET)), database.now()
        found = _read(request, chosen, now)
        if not GROUP.issubset(chosen.given) or not found.groups:
            text = _("No such job is left: they were retried, canceled or deleted meanwhile.")
            self.message_user(request, text, messages.WARNING, extra_tags="empty_group")
            return HttpResponseRedirect(self.url_of("changelist"))
        return self._show(request, chosen, found, found.groups[0], now)

    def _show(self, request: HttpRequest, chosen: Chosen, found: Failures, group: Group, now: Any) -> HttpResponse:
        (row,) = RowMaker(request, OpenPages(request, self.admin_site.name), chosen, found, [group], MAX_TENANTS).rows()
        whole, all_url = ALL in request.GET, chosen.query(**{ALL: "1"})
        # A traceback is not even read for people who may not see it.
        traceback = last_traceback(row["newest"]) if is_system_admin(request) else ""
        newest = scope_of(request).operations()[:LOOKED_AT]
        done = on_failures(newest, group.job_type, group.error_fingerprint)
        return self.page(
            request,
            "failures/group.html",
            f"{capfirst(_('failures'))}: {group.job_type}",
            group.job_type,
            parent=capfirst(_("failures")),
            row=row,
            news=news_of_group(row),
            is_cut=found.is_cut,
            parent_failed=REASONS["parent_failed"].long,
            error=block(row["newest"].error_message, whole=whole, all_url=all_url),
            traceback=block(traceback, whole=whole, all_url=all_url) if traceback else "",
            narrowed=chosen.words(GROUP),
            whole_url=self.links.failure_group(group.job_type, group.error_fingerprint),
            jobs=self._newest(request, chosen),
            **self._shared(request, chosen, now),
            operations=rows_of(self.links, done, request.user),
        )

    def _newest(self, request: HttpRequest, chosen: Chosen) -> list[tuple[Any, Any, Any, Any]]:
        shown = ("created_at", "completed_at", "started_at", "status", "organization", "organization_name")
        newest = list(chosen.filters.queryset(request.user).order_by("-pk").only(*shown)[:MAX_LISTED])
        organizations.mark(newest)
        pages = OpenPages(request, self.admin_site.name)
        return [
            (
                linked(pages.job(job), job.name),
                badge(job.status),
                _tenant(job, chosen),
                moment(job.completed_at or job.started_at),
            )
            for job in newest
        ]


def _tenant(job: Job, chosen: Chosen) -> Any:
    """Return the organization of a job, with a link to its part of what is chosen."""
    url = "" if organizations.is_gone(job) else chosen.query(organization=shown_id(job))
    return linked(url, tenant(job))


def _read(request: HttpRequest, chosen: Chosen, now: Any) -> Failures:
    if not chosen.is_known:
        return Failures()
    return read_failures(request.user, now, chosen.filters)


# What the address of a page of failures asks for, or the form of its buttons, in terms of a filter of jobs.


#: The choices of the status, in the order in which they are offered.
STATUSES: Final[tuple[tuple[Any, frozenset[Status]], ...]] = (
    (gettext_lazy("All"), frozenset()),
    (gettext_lazy("To be retried"), AWAITING_RETRY),
    *((status.label, frozenset({status})) for status in Status if status in WITH_ERRORS),
)
#: What names a group.
GROUP: Final = frozenset({"job_type", "error_fingerprint"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is ``given``, and the filter of the failed jobs that it names: none, where a value cannot be."""

    given: Mapping[str, Any]
    filters: JobFilter

    @property
    def is_known(self) -> bool:
        """Return whether there are such organizations and states, and the user may see them."""
        return self.filters != NO_JOBS

    @property
    def job_type(self) -> str:
        """Return the first type that is asked for; empty for all types."""
        return next(iter(self.filters.job_type or ()), "")

    def without(self, names: Collection[str]) -> dict[str, Any]:
        """Return what is given, but for the terms of these names."""
        return {name: value for name, value in self.given.items() if name not in names}

    def query(self, **changes: Any) -> str:
        """Return the query of an address that asks for the same but for these changes; an empty list is left out."""
        return f"?{urlencode({**self.given, **changes}, doseq=True)}"

    def list_query(self, **changes: str) -> dict[str, Any]:
        """Return the parameters of the list of the same jobs."""
        return {**self.given, "status": self.filters.status or (), **changes}

    def fields(self, group: Group) -> list[tuple[str, str]]:
        """Return names and values of the form whose buttons act on what is chosen of this group."""
        asked = {**self.given, "job_type": group.job_type, "error_fingerprint": group.error_fingerprint}
        return [(name, text) for name, value in asked.items() for text in listed_of(value)]

    def words(self, without: Collection[str] = ()) -> list[str]:
        """Return what is asked for but for the terms of these names, for people."""
        return [f"{LIST_TERMS[name].label}: {text}" for name, text in words_of(self.without(without))]


def chosen_by(user: Any, values: QueryDict) -> Chosen:
    """Return what these values of a form or an address ask for."""
    given = as_object({name: values.getlist(name) for name in TERMS_OF_ADDRESS if name in values})
    try:
        filters = JobFilter.read(given, user).both(JobFilter(status=tuple(sorted(WITH_ERRORS))))
    except InvalidFilter:
        filters = NO_JOBS
    return Chosen(given=given, filters=filters if filters.status else NO_JOBS)


# What an open page of failures has read out when there are others.


def news_of_list(found: Failures, rows: Sequence[Mapping[str, Any]]) -> News:
    """Return how many jobs failed, in how many groups, and the type and the error of the newest.

    ``rows`` are those of the page; an error that is on another page is not told.
    """
    if not found.groups:
        return News(text=_("No job failed."), state="")
    count, groups = CappedCount(count=found.count, is_cut=found.is_cut), format_number(len(found.groups))
    told = f"{capfirst(_('failures'))}: {count}, {_('by error')}: {groups}"
    newest = max(found.groups, key=lambda group: group.newest_pk)
    error = next((row["spoken"] for row in rows if row["newest"].pk == newest.newest_pk), "")
    return News(text=sentence(told, f"{_('Newest')}: {newest.job_type}", error), state=_digest(found))


def _digest(found: Failures) -> str:
    """Return what tells which groups there are, in whatever order."""
    keys = sorted((group.job_type, group.error_fingerprint) for group in found.groups)
    return f"{zlib.crc32(repr(keys).encode()):08x}"


def news_of_group(row: Mapping[str, Any]) -> News:
    """Return how many jobs of the group failed, with its type and error, and whether the type is paused."""
    told = f"{row['job_type']}: {_('failed')}: {row['count']}"
    text = sentence(told, row["spoken"], _("paused") if row["is_paused"] else "")
    return News(text=text, state=f"{row['is_paused']} {row['is_gone']}")


# A group of failures in words, with the addresses of the pages that tell more and the buttons that help.


#: Organizations of a group that are named; the others are counted.
NAMED: Final = 3
ERROR: Final = 160
SOURCE: Final = 160
#: From the worst on.
_ORDER: Final = sorted(WITH_ERRORS, key=lambda status: (status != Status.DEAD_LETTER, status))


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
        self._asked: dict[Any, dict[str, bool]] = {}
        fragile = [pk for pk, kind in self._kinds.items() if kind.breaker_failures]
        self._held = held_types(fragile) if fragile else {}

    def rows(self) -> list[dict[str, Any]]:
        """Return what a page tells of each group, with its buttons."""
        return [self._row(group) for group in self._groups]

    def _row(self, group: Group) -> dict[str, Any]:
        newest, kind = self._newest[group.newest_pk], self._kinds.get(group.job_type)
        count = self._count(group.count)
        return {
            # Tells groups of a page apart, and stays when the page is read again.
            "key": f"{zlib.crc32(f'{group.job_type} {group.error_fingerprint}'.encode()):08x}",
            "job_type": group.job_type,
            "kind": line(group.job_type, 60),
            "kind_url": self._pages.job_type(kind),
            "is_gone": kind is None,
            "is_paused": kind is not None and kind.is_paused,
            **_told(newest, self._errors.get(newest.pk)),
            "count": count,
            "statuses": [
                (badge(status), self._count(group.statuses[status])) for status in _ORDER if group.statuses[status]
            ],
            "dead": self._count(group.statuses[Status.DEAD_LETTER]),
            "waiting": self._count(group.waiting),
            "next_retry": moment(group.next_retry_at) if group.next_retry_at else "",
            "tenants": [self._tenant(pk, count) for pk, count in self._shown[group.newest_pk]],
            "more_tenants": max(0, len(group.organizations) - self._named),
            "first": moment(group.first),
            "last": moment(group.last),
            "spark": draw_spark([float(count) for count in group.hours], 1.0),
            "last_day": sum(group.hours),
            "newest": newest,
            "newest_link": linked(self._pages.job(newest), newest.name),
            # Of a single job, to retry one is to retry all, and no rate is needed.
            "is_single": count.count == 1 and not count.is_cut,
            **self._hold(group, kind),
            **self._addresses(group),
            "buttons": self._buttons(newest, kind),
        }

    def _hold(self, group: Group, kind: JobType | None) -> dict[str, Any]:
        """Return what holds the jobs of a group if they are retried, and the button that ends it."""
        only = {*group.organizations} if len(group.organizations) == 1 else {None}
        reason = reasons.reason_of(kind, is_held=is_held(self._held, group.job_type, only.pop()))
        here = self._request.get_full_path()
        return {
            "held": str(REASONS[reason].long) if reason else "",
            "held_code": reason,
            "release": reasons.button_for(self._request, self._links, reason, group.job_type, here),
        }

    def _addresses(self, group: Group) -> dict[str, Any]:
        """Return the pages of a group, those that ask before something is done to its jobs, and the buttons' form."""
        links, chosen = self._links, frozenset(self._chosen.filters.status or ())
        named = self._chosen.list_query(job_type=group.job_type, error_fingerprint=group.error_fingerprint)
        return {
            "fields": self._chosen.fields(group),
            "url": links.failure_group(group.job_type, group.error_fingerprint, **self._chosen.without(GROUP)),
            "jobs_url": links.jobs(**named),
            "retry_url": links.page("job_all_retry", **named),
            "cancel_url": links.page("job_all_cancel", **named | {"status": sorted(AWAITING_RETRY & chosen)}),
            "delete_url": links.page("job_all_delete", **named | {"status": [Status.DEAD_LETTER]}),
            "pause_url": links.page("jobtype_pause", group.job_type),
        }

    def _count(self, count: int) -> CappedCount:
        return CappedCount(count=count, is_cut=self._is_cut)

    def _tenant(self, pk: Any, count: int) -> tuple[SafeString, CappedCount]:
        tenant = self._tenants.get(pk)
        name = tenant_name(pk, tenant)
        url = "" if tenant is None else self._chosen.query(organization=id_of(tenant))
        return with_page(name, url, self._tenant_pages.get(pk, "")), self._count(count)

    def _buttons(self, newest: Job, kind: JobType | None) -> dict[str, bool]:
        # The policy is asked anew for each job when its turn comes. Here it is asked once for all groups that the
        # built-in one does not tell apart, since it reads the database.
        permission = kind.requires_permission if kind is not None else ""
        key = (newest.organization_id, permission, newest.owner_id == self._request.user.pk)
        if key not in self._asked:
            scope = scope_of(self._request)
            self._asked[key] = {verb: scope.may(f"can_{verb}", newest) for verb in ("retry", "cancel", "delete")}
            self._asked[key]["pause"] = kind is not None and scope.is_system_admin
        return self._asked[key]


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
    return f"{raised.file}, {raised.line}: {raised.function}"
