"""What the page calls jobs, one and many, in its language.

A job type's own ``display_name`` is one text for all readers; it is shown of types that have no words here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, ngettext_lazy

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


class Kind(NamedTuple):
    """The words for jobs of a type. ``many`` has the place ``%(count)d``."""

    one: _StrPromise
    many: _StrPromise


KINDS: Final[Mapping[str, Kind]] = {
    "pdf_generation": Kind(
        _("Sales report as PDF"), ngettext_lazy("%(count)d sales report", "%(count)d sales reports", "count")
    ),
    "csv_import": Kind(
        _("Import customers"), ngettext_lazy("%(count)d customer import", "%(count)d customer imports", "count")
    ),
    "catalog_publish": Kind(
        _("Publish the catalog"),
        ngettext_lazy("%(count)d publication of the catalog", "%(count)d publications of the catalog", "count"),
    ),
    "bulk_statements": Kind(
        _("Statements for all customers"),
        ngettext_lazy("%(count)d run of statements", "%(count)d runs of statements", "count"),
    ),
    "customer_statement": Kind(
        _("Statement for a customer"),
        ngettext_lazy("%(count)d customer statement", "%(count)d customer statements", "count"),
    ),
    "statements_index": Kind(
        _("Index of statements"),
        ngettext_lazy("%(count)d index of statements", "%(count)d indexes of statements", "count"),
    ),
    "email_report": Kind(
        _("Mail a report"), ngettext_lazy("%(count)d mailed report", "%(count)d mailed reports", "count")
    ),
    "email_notification": Kind(
        _("Mail a short notice"), ngettext_lazy("%(count)d short notice", "%(count)d short notices", "count")
    ),
    "send_welcome_email": Kind(
        _("Welcome a customer"), ngettext_lazy("%(count)d welcome mail", "%(count)d welcome mails", "count")
    ),
    "fax_send": Kind(_("Send a fax"), ngettext_lazy("%(count)d fax", "%(count)d faxes", "count")),
    "invoice_run": Kind(_("Invoice run"), ngettext_lazy("%(count)d invoice run", "%(count)d invoice runs", "count")),
    "report_ready": Kind(
        _("Tell a report request of its file"),
        ngettext_lazy("%(count)d answer to a report request", "%(count)d answers to report requests", "count"),
    ),
    "process_item": Kind(
        _("Count a product's sales"), ngettext_lazy("%(count)d count of sales", "%(count)d counts of sales", "count")
    ),
}


def name_one(job_type: str, display_names: Mapping[str, str]) -> str:
    """Return what a job of this type is called. ``display_names`` has those of types that have no words here."""
    kind = KINDS.get(job_type)
    return display_names.get(job_type) or job_type if kind is None else str(kind.one)


def name_many(job_type: str, count: int, display_names: Mapping[str, str]) -> str:
    """Return what so many jobs of this type are called, such as ``48 welcome mails``."""
    kind = KINDS.get(job_type)
    if kind is not None:
        return kind.many % {"count": count}
    words = ngettext("%(kind)s: %(count)d job", "%(kind)s: %(count)d jobs", count)
    return words % {"kind": name_one(job_type, display_names), "count": count}
