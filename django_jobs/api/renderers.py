"""The browsable pages: links beside the answers."""

from __future__ import annotations

from typing import Any

from rest_framework.renderers import BrowsableAPIRenderer


class JobsBrowsableAPIRenderer(BrowsableAPIRenderer):
    """Adds links: of a list to its rows; of a job or a batch to the jobs that it names."""

    template = "django_jobs/api/page.html"

    def get_context(self, data: Any, accepted_media_type: Any, renderer_context: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(data, accepted_media_type, renderer_context)
        view = renderer_context["view"]
        return context | {"links": _links(view, data) if isinstance(data, dict) and "code" not in data else []}


def _links(view: Any, answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Return where an answer leads to, by its text."""
    key = view.lookup_field
    rows = [row for row in answer.get("results", [answer]) if key in row]
    links = [(str(row[key]), view.reverse_action("detail", kwargs={key: row[key]})) for row in rows]
    named = [*(answer.get("depends_on") or ()), answer.get("then_job"), answer.get("on_failure_job")]
    links += [(job_id, view.address_of("job-detail", job_id=job_id)) for job_id in named if job_id]
    if "batch_id" in answer:
        jobs = f"{view.address_of('job-list')}?batch={answer['batch_id']}"
        links.append((jobs, jobs))
    return links
