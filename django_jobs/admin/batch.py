"""Batches: the list, the page of one, and what people do to them."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobs.admin.base import SeesJobs, View
from django_jobs.admin.batch_actions import BatchActions, count_in
from django_jobs.admin.batch_facts import BatchFacts
from django_jobs.admin.batch_failures import BatchFailure, read_failures
from django_jobs.admin.batch_graph import Box, read_graph
from django_jobs.admin.batch_list import BatchColumns, BatchList, note, note_code, progress_of, search, with_status
from django_jobs.admin.batch_notices import notices_of
from django_jobs.admin.formatting import badge, line, linked, state_badge
from django_jobs.admin.graph_drawing import draw_graph
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.news import News, sentence
from django_jobs.admin.numbers import format_number
from django_jobs.engine.batches import up_to_date
from django_jobs.models import Batch, JobType
from django_jobs.models.batch import parse_batch_id
from django_jobs.statuses import UNFINISHED_STATES, WITH_ERRORS, BatchState

#: Characters of an error.
ERROR: Final = 400
#: Milliseconds after which an open page asks again, and jobs of a batch up to which that is soon.
QUICK_PAUSE: Final = 2_000
PAUSE: Final = 5_000
MAX_QUICK: Final = 1_000


@admin.register(Batch)
class BatchAdmin(BatchActions, BatchColumns, BatchFacts, SeesJobs):
    """Puts together what the ``batch_*`` files give: columns, filters, facts, buttons, failures and the graph."""

    change_list_template = "admin/django_jobs/batch/change_list.html"
    change_form_template = "admin/django_jobs/batch/change_form.html"

    def own_views(self) -> dict[str, tuple[str, View]]:
        """Return the views of the buttons."""
        return self.act_views()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return Batch.primary.visible_to(request.user).order_by("-pk")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BatchList

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        return search(queryset, search_term), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the batch with this primary key or this batch id, with its status, if the user may see it."""
        parsed = parse_batch_id(object_id)
        batch = super().get_object(request, str(parsed[0]) if parsed else object_id, from_field)
        if batch is None or (parsed and batch.created_at.year != parsed[1]):
            return None
        found = with_status(list(up_to_date(Batch.primary.filter(pk=batch.pk))))
        return found[0] if found else None

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        batch = context["original"]
        context |= self._page_of(request, batch) if batch is not None else {}
        return super().render_change_form(request, context, *args, **kwargs)

    def _page_of(self, request: HttpRequest, batch: Any) -> dict[str, Any]:
        """Return what stands on a batch's page around its facts."""
        links = Links(self.admin_site.name)
        notices, failed = notices_of(batch), self._failures(batch)
        return {
            "subtitle": None,
            "title": str(batch),
            "state_badge": state_badge(batch.told.state),
            "note": note(batch),
            "note_code": note_code(batch),
            "notices": notices,
            "news": _news_of(batch, failed.get("failures", []), [str(notice.text) for notice in notices]),
            "progress": progress_of(batch),
            "pause": QUICK_PAUSE if batch.total <= MAX_QUICK else PAUSE,
            "is_over": batch.told.state not in UNFINISHED_STATES,
            "jobs_url": links.jobs_of_batch(batch.batch_id),
            "counts": [
                (links.jobs_of_batch(batch.batch_id, status), format_number(count), badge(status))
                for status, count in batch.told.by_status.items()
                if count
            ],
            "buttons": self.buttons(request, batch),
            **failed,
            **self._graph(links, batch),
        }

    @staticmethod
    def _failures(batch: Any) -> dict[str, Any]:
        """Return what failed. Nothing is read where nothing did."""
        if not count_in(batch, WITH_ERRORS):
            return {}
        found = read_failures(batch.pk)
        kinds = JobType.primary.in_bulk({group.first.job_type_id for group in found.groups})
        rows = [_failure_row(batch, group, kinds.get(group.first.job_type_id)) for group in found.groups]
        return {"failures": rows, "more_failures": found.more_groups, "failures_are_cut": found.is_cut}

    @staticmethod
    def _graph(links: Links, batch: Any) -> dict[str, Any]:
        """Return the drawing of the dependencies among its jobs, where there are some."""
        graph = read_graph(batch.pk, batch.total)
        if graph is None:
            return {}

        def address_of(box: Box) -> str:
            if box.count == 1:
                return links.page("django_jobs_job_change", box.node.pk)
            return links.jobs_of_batch(batch.batch_id, box.node.status, box.node.job_type)

        return {"graph": graph, "drawing": draw_graph(graph, address_of), "unlinked": max(0, batch.total - graph.jobs)}


def _news_of(batch: Any, failures: list[dict[str, Any]], notices: list[str]) -> News:
    """Return how far the batch is, and what is wrong first: the error of its largest group, or else a notice."""
    state = str(BatchState(batch.told.state).label)
    failed = count_in(batch, WITH_ERRORS)
    # Translators: the name of a batch, its state, and how many of its jobs have ended.
    told = _("%(batch)s: %(state)s, %(count)s of %(most)s ended") % {
        "batch": batch.name or batch.batch_id,
        "state": state,
        "count": format_number(batch.ended),
        "most": format_number(batch.total),
    }
    if failed:
        told = f"{told}, {ngettext('%(count)s failed', '%(count)s failed', failed) % {'count': format_number(failed)}}"
    reasons = [row["said"] for row in failures[:1]] or notices[:1]
    return News(text=sentence(told, note(batch), *reasons), state=f"{state} {note(batch)} {reasons}")


def _failure_row(batch: Any, group: BatchFailure, kind: JobType | None) -> dict[str, Any]:
    job, pages = group.first, batch.pages
    # A host's policy may hide single jobs from people who see the organization.
    url = pages.job(job)
    error = (job.error_message or _("(without a text)")) if url else _("(its error is not shown to you)")
    return {
        "kind": linked(pages.job_type(kind) or pages.links.jobs_of_type(job.job_type_id), line(job.job_type_id, 60)),
        "count": group.count,
        "error": line(error, ERROR),
        "said": error[:ERROR],
        "name": job.name,
        "url": url,
        "badge": badge(job.status),
        "list_url": pages.links.jobs_of_batch(batch.batch_id, job.status, job.job_type_id),
        "is_consequence": group.is_consequence,
        "is_retried": group.is_retried,
    }
