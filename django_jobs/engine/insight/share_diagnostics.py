"""Diagnostics of the organizations' shares: whether the access policy answers with weights and limits that count."""

from __future__ import annotations

import itertools
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

from django_jobs.engine.access import cause_of
from django_jobs.engine.dispatch import tenant_shares
from django_jobs.engine.insight.findings import OK, PROBLEM, WARNING, Finding
from django_jobs.engine.insight.inspection import jobs, waiting
from django_jobs.engine.store.organization_ids import read_tenants
from django_jobs.exceptions import PolicyFailed
from django_jobs.statuses import IN_FLIGHT
from django_jobs.texts import say

SUBJECT: Final = "shares"
#: How many organizations the policy is asked about, and how many bad answers are told.
ASKED: Final = 100
MAX_NAMED: Final = 3


def examine_shares() -> Finding:
    """Ask the policy for the shares of some busy organizations, and report what does not count."""
    try:
        if not tenant_shares.are_asked():
            text = say(
                "all organizations weigh the same, with up to %(limit)s jobs in flight each.",
                code="not_asked",
                limit=tenant_shares.default_limit(),
            )
            return Finding(level=OK, subject=SUBJECT, text=text)
        bad = list(itertools.islice(tenant_shares.bad_answers(_busy_organizations()), MAX_NAMED + 1))
    except (PolicyFailed, ImproperlyConfigured) as error:
        text = say(
            "the access policy cannot be asked: %(error)r. Until it can, all weigh the same.",
            code="policy_failed",
            error=cause_of(error),
        )
        return Finding(level=PROBLEM, subject=SUBJECT, text=text)
    if not bad:
        text = say("weights and limits of organizations are in order.", code="in_order")
        return Finding(level=OK, subject=SUBJECT, text=text)
    text = say(
        "the access policy gives answers that do not count. %(told)s%(more)s",
        code="bad_answers",
        told=" ".join(map(str, bad[:MAX_NAMED])),
        more=" There are more." if len(bad) > MAX_NAMED else "",
    )
    return Finding(level=WARNING, subject=SUBJECT, text=text)


def _busy_organizations() -> list[Any]:
    """Return organizations that have jobs in the lanes or in flight, ASKED of each at most."""
    pks: set[Any] = set()
    for rows in (waiting(), jobs().filter(status__in=sorted(IN_FLIGHT))):
        pks.update(rows.order_by().values_list("organization_id", flat=True).distinct()[:ASKED])
    return list(read_tenants(pks).values())
