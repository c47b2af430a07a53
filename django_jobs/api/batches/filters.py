"""The parameters of a list of batches, and which batches each of them finds."""

from __future__ import annotations

from typing import Any, Final

import django_filters
from django import forms
from django.db.models import Q

from django_jobs.api.filter_fields import MomentFilter, SeveralFilter, check_encodable, read_state
from django_jobs.api.list_filters import ListFilter
from django_jobs.engine.insight.filter import made_in
from django_jobs.models import Batch
from django_jobs.models.batch import BatchQuerySet, parse_batch_id
from django_jobs.statuses import BatchState

#: How many of the newest batches are searched by their names, which have no index.
RECENT: Final = 10_000


class StateFilter(SeveralFilter):
    """Find the batches that are in one of the states."""

    def filter(self, qs: Any, value: Any) -> Any:
        if not value:
            return qs
        first, *others = (qs.in_state(state) for state in sorted(set(value)))
        for other in others:
            first |= other
        return first


class BatchFilter(ListFilter):
    """Find batches by the parameters of a list. Only ``state`` may be repeated."""

    # After the organization and before the others, so that it looks among the newest batches of the organization.
    search = django_filters.CharFilter(
        label="Search",
        method="having",
        max_length=200,
        validators=[check_encodable],
        help_text=f"A batch id, or a part of the name, among the newest {RECENT:,} of your batches.",
    )
    state = StateFilter(label="State", parse=read_state, widget=forms.SelectMultiple(choices=BatchState.choices))
    created_after = MomentFilter(
        label="Created after", method="created", help_text="At this moment (ISO 8601) or later."
    )
    created_before = MomentFilter(label="Created before", method="created", help_text="Before this moment (ISO 8601).")

    class Meta:
        model = Batch
        fields: list[str] = []

    def having(self, rows: BatchQuerySet, name: str, value: str) -> BatchQuerySet:
        """Return the batch with this id, or those among the newest whose name contains the text."""
        parsed = parse_batch_id(value.strip())
        if parsed is not None:
            return rows.filter(made_in(parsed[1]), pk=parsed[0])
        too_old = rows.order_by("-pk").values_list("pk", flat=True)[RECENT : RECENT + 1]
        return rows.filter(Q(name__icontains=value), pk__gt=next(iter(too_old), 0))
