"""What the browsable API's pages of batches lead to."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext as _

from django_jobs.models.batch import parse_batch_id
from django_jobs.statuses import RETRYABLE_BY_HAND, BatchState

_UNFINISHED: Final = {BatchState.OPEN, BatchState.RUNNING}


def is_batch(row: Any) -> bool:
    """Return whether this is what the API answers for a batch."""
    return isinstance(row, dict) and parse_batch_id(row.get("batch_id")) is not None


def row_of(view: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """Return a batch as a row of the table on the page of a list."""
    return {**batch, "url": _url(view, "detail", batch["batch_id"])}


def links_of(view: Any, batch: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a batch's page leads to, in groups."""
    jobs = view.address_of("job-list")
    followers = [batch[name] for name in ("then_job", "on_failure_job") if batch.get(name)]
    groups = [
        (
            _("This batch"),
            [(_("Status"), _url(view, "detail", batch["batch_id"])), (_("Jobs"), f"{jobs}?batch={batch['batch_id']}")],
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
        {"label": label, "url": _url(view, verb, batch["batch_id"])}
        for verb, label, is_offered in offered
        if is_offered
    ]


def _url(view: Any, name: str, batch_id: str) -> str:
    return str(view.reverse_action(name, kwargs={"batch_id": batch_id}))
