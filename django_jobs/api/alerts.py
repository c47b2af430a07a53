"""Alarms over HTTP: read by system admins, and by others where their organizations are concerned."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from dataclasses import field
from typing import Any, Final

from rest_framework import serializers
from rest_framework.response import Response

from django_jobs.api.base import RowsView, ViewCall
from django_jobs.api.fields import StatusSerializer
from django_jobs.api.pagination import JobsPagination
from django_jobs.engine.alerts.reading import AlertsSeen, names_of_concerned, read_alerts
from django_jobs.engine.alerts.rules import RULES
from django_jobs.engine.alerts.telling import plain_text
from django_jobs.models import Alert
from django_jobs.values import Answer

#: Facts that are told in another form, or are of no use to a client.
_LEFT_OUT: Final = frozenset({"organizations", "has_more", "schedule", "error_of"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AlertStatus(Answer):
    """Something that is wrong, or was within the last day."""

    id: int | None = field(metadata={"help_text": "Null for `no_scheduler`, which nobody stores."})
    rule: str = field(metadata={"words": list(RULES), "help_text": "The rule of the setting ALERTS that found it."})
    subject: str = field(metadata={"help_text": "A job type, pool, queue (`pool/priority`) or schedule; or empty."})
    text: str = field(metadata={"help_text": "All in a sentence, in English, with moments in UTC."})
    since: dt.datetime = field(metadata={"help_text": "Since when it is wrong, which may be before it was raised."})
    raised_at: dt.datetime
    seen_at: dt.datetime = field(metadata={"help_text": "When it was found for the last time."})
    cleared_at: dt.datetime | None = field(metadata={"help_text": "Null while it is open."})
    organizations: dict[str, int] = field(
        metadata={
            "help_text": "Organizations of yours that are concerned, with the number of their jobs that failed of late."
        }
    )
    facts: dict[str, Any] = field(
        metadata={"help_text": "The numbers and texts of the sentence; which ones, the rule decides."}
    )


class AlertSerializer(StatusSerializer):
    """Something that is wrong, or was within the last day."""

    kind = AlertStatus


class AlertParameters(serializers.Serializer[Any]):
    """The parameters of the list."""

    rule = serializers.ChoiceField(choices=list(RULES), required=False)
    is_open = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="False: those that were over within the last day."
    )


class AlertViewSet(RowsView[Alert]):
    """What is wrong: the open alarms, the most urgent first, and those that were over within the last day."""

    pagination_class = JobsPagination
    filter_backends = []
    queryset = Alert.objects.none()
    calls = {"list": ViewCall("list", answers={200: AlertSerializer}, query=AlertParameters)}

    def list(self, request: Any, **kwargs: Any) -> Response:
        """The alarms that concern you; system admins see all."""
        wanted = self.get_parameters()
        found = read_alerts(request.user, has_over=True)
        alerts: Any = [alert for alert in [*found.open, *found.over] if _matches(alert, wanted)]
        page: Any = self.paginate_queryset(alerts) or []
        return self.get_paginated_response(rows_of(page, found))


def _matches(alert: Alert, wanted: dict[str, Any]) -> bool:
    is_open = wanted["is_open"]
    return wanted.get("rule") in {None, alert.rule} and is_open in {None, alert.is_open}


def rows_of(alerts: Sequence[Alert], found: AlertsSeen) -> list[dict[str, Any]]:
    """Return alarms as a client reads them, with the ids of organizations in one statement."""
    names = names_of_concerned(alerts)
    return [
        AlertStatus(
            id=alert.pk,
            rule=alert.rule,
            subject=alert.subject,
            text=plain_text(alert, found.moment),
            since=alert.since,
            raised_at=alert.raised_at,
            seen_at=alert.seen_at,
            cleared_at=alert.cleared_at,
            organizations={names[key]: count for key, count in alert.organizations.items() if key in names},
            facts={name: value for name, value in alert.facts.items() if name not in _LEFT_OUT},
        ).as_dict()
        for alert in alerts
    ]
