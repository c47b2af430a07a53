"""The browsable pages: forms, links and buttons beside the answers."""

from __future__ import annotations

import re
from typing import Any, Final

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.renderers import BrowsableAPIRenderer

from django_jobs.engine.json_storage import clean_text
from django_jobs.models import JobDependency
from django_jobs.models.batch import parse_batch_id
from django_jobs.models.job import format_job_id, parse_job_id
from django_jobs.statuses import RETRYABLE_BY_HAND, TERMINAL, BatchState

# What the browsable API's pages of batches lead to.


_UNFINISHED: Final = {BatchState.OPEN, BatchState.RUNNING}


def is_batch(row: Any) -> bool:
    """Return whether this is what the API answers for a batch."""
    return isinstance(row, dict) and parse_batch_id(row.get("batch_id")) is not None


def row_of(view: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """Return a batch as a row of the table on the page of a list."""
    return {**batch, "url": _batch_url(view, "detail", batch["batch_id"])}


def links_of(view: Any, batch: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a batch's page leads to, in groups."""
    jobs = view.address_of("job-list")
    followers = [batch[name] for name in ("then_job", "on_failure_job") if batch.get(name)]
    groups = [
        (
            _("This batch"),
            [
                (_("Status"), _batch_url(view, "detail", batch["batch_id"])),
                (_("Jobs"), f"{jobs}?batch={batch['batch_id']}"),
            ],
        ),
        (_("Followed by"), [(job_id, view.address_of("job-detail", job_id=job_id)) for job_id in followers]),
    ]
    return [{"title": title, "links": links} for title, links in groups if links]


def buttons_of(view: Any, batch: dict[str, Any]) -> list[dict[str, str]]:
    """Return what may be done to a batch in its state, as buttons."""
    state, counts = batch.get("state"), batch.get("by_status", {})
    offered = [
        ("close", _("Close"), state == BatchState.OPEN),
        ("cancel", _("Cancel"), state in _UNFINISHED),
        ("retry", _("Retry"), state != BatchState.CANCELED and any(counts.get(status) for status in RETRYABLE_BY_HAND)),
    ]
    return [
        {"label": label, "url": _batch_url(view, verb, batch["batch_id"])}
        for verb, label, is_offered in offered
        if is_offered
    ]


def _batch_url(view: Any, name: str, batch_id: str) -> str:
    return str(view.reverse_action(name, kwargs={"batch_id": batch_id}))


# What the browsable API shows beside schedules: links to their pages, and buttons for what may be done.


def page_context(view: Any, data: Any) -> dict[str, Any]:
    """Return the values for the template of a page of the browsable API."""
    if status.is_client_error(view.response.status_code):
        return {}
    if "id" in view.kwargs:
        return _of_one(view, view.kwargs["id"], data)
    rows = data.get("results", []) if isinstance(data, dict) else []
    return {"listed_schedules": rows} if view.action == "list" else {}


def _of_one(view: Any, pk: str, data: Any) -> dict[str, Any]:
    def address(route: str) -> str:
        return str(view.reverse_action(route, kwargs={"id": pk}))

    links = [(_("Schedule"), address("detail")), (_("Firings"), address("firings"))]
    buttons = [{"label": _("Fire now"), "url": address("fire")}]
    told = data if isinstance(data, dict) else {}
    is_enabled = told.get("is_enabled")
    if is_enabled is not None:
        verb, label = ("pause", _("Pause")) if is_enabled else ("resume", _("Resume"))
        buttons.append({"label": label, "url": address(verb)})
    title = _("Schedule {name}").format(name=told.get("name", pk))
    return {"job_links": [{"title": title, "links": links}], "job_buttons": buttons}


# The browsable API's pages, with the links and buttons that belong to a job.
#
# A view of something else gives its own by the method ``page_context``.


#: Links to parents, and links to children, on the page of a job.
MAX_RELATIVES: Final = 50
#: A word of code in a docstring.
_CODE: Final = re.compile(r"``(.+?)``", re.DOTALL)


class JobsBrowsableAPIRenderer(BrowsableAPIRenderer):
    """Add links to a job's pages: its history, output, parents and children, and buttons for what may be done."""

    template = "django_jobs/api/page.html"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> Any:
        """Return the page in text that can be sent. A form shows what was typed, and that may hold a lone surrogate."""
        return clean_text(super().render(data, accepted_media_type, renderer_context))

    def get_filter_form(self, data: Any, view: Any, request: Any) -> Any:
        """Return the form of a list's filters; open, with what was typed and the errors, where they were refused."""
        if _refuses_filters(view):
            self.filter_template = "django_jobs/api/filters.html"
            data = {"results": []}  # with these the REST framework takes the answer for a list
        return super().get_filter_form(data, view, request)

    def get_description(self, view: Any, status_code: int) -> SafeString:
        """Return the view's description with its words of code shown as such."""
        escaped = super().get_description(view, status_code)
        return mark_safe(_CODE.sub(r"<code>\1</code>", escaped))  # noqa: S308

    def get_context(self, data: Any, accepted_media_type: Any, renderer_context: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(data, accepted_media_type, renderer_context)
        view = renderer_context["view"]
        is_list = getattr(view, "action", "") == "list" and isinstance(data, dict)
        rows = data.get("results", []) if is_list else [data]
        batches = [row for row in rows if is_batch(row)]
        jobs = [row for row in rows if isinstance(row, dict) and parse_job_id(row.get("job_id")) is not None]
        if _refuses_filters(view):
            context["wrong_filters"] = context.pop("filter_form", None)
        elif hasattr(view, "page_context"):
            context |= view.page_context(data)
        elif is_list:
            context["listed_jobs"] = [_row(view, job) for job in jobs]
            context["listed_batches"] = [row_of(view, batch) for batch in batches]
        elif jobs:
            context["job_links"] = _links(view, jobs[0])
            context["job_buttons"] = _buttons(view, jobs[0])
        elif batches:
            context["job_links"] = links_of(view, batches[0])
            context["job_buttons"] = buttons_of(view, batches[0])
        return context


def _refuses_filters(view: Any) -> bool:
    is_bad = view.response.status_code == status.HTTP_400_BAD_REQUEST
    return is_bad and getattr(view, "action", "") == "list"


def _url(view: Any, name: str, job_id: str) -> str:
    return str(view.reverse_action(name, kwargs={"job_id": job_id}))


def _row(view: Any, job: dict[str, Any]) -> dict[str, Any]:
    return {**job, "url": _url(view, "detail", job["job_id"])}


def _links(view: Any, job: dict[str, Any]) -> list[dict[str, Any]]:
    """What a job's page leads to, in groups."""
    job_id = job["job_id"]
    own = [(_("Status"), "detail"), (_("History"), "history")]
    if job.get("output_reference"):
        own.append((_("Output"), "output"))
    groups = [(_("This job"), [(label, _url(view, name, job_id)) for label, name in own])]
    for title, ids in (
        (_("Waits for"), job.get("depends_on", [])[:MAX_RELATIVES]),
        (_("Waited for by"), _children(job_id)),
    ):
        groups.append((title, [(other, _url(view, "detail", other)) for other in ids]))
    return [{"title": title, "links": links} for title, links in groups if links]


def _children(job_id: str) -> list[str]:
    pk, _ = parse_job_id(job_id) or (0, 0)
    rows = JobDependency.primary.filter(parent_id=pk).order_by("child_id")
    found = rows.values_list("child_id", "child__created_at")[:MAX_RELATIVES]
    return [format_job_id(child, created_at.year) for child, created_at in found]


def _buttons(view: Any, job: dict[str, Any]) -> list[dict[str, str]]:
    status = job.get("status")
    buttons = []
    if status is not None and status not in TERMINAL:
        buttons.append({"label": _("Cancel"), "url": _url(view, "cancel", job["job_id"])})
    if status in RETRYABLE_BY_HAND:
        buttons.append({"label": _("Retry"), "url": _url(view, "retry", job["job_id"])})
    return buttons
