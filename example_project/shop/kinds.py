"""What the page calls jobs, one and many, in its language.

A job type's own ``display_name`` is one text for all readers; it is shown of types that have no words here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from django.utils.translation import get_language_bidi, ngettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from django_jobs.statuses import Status

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


class Kind(NamedTuple):
    """The words for jobs of a type. ``many`` has the place ``%(count)d``; the others say how one of them stands."""

    one: _StrPromise
    many: _StrPromise
    running: _StrPromise
    done: _StrPromise
    failed: _StrPromise


KINDS: Final[Mapping[str, Kind]] = {
    "pdf_generation": Kind(
        one=_("Sales report as PDF"),
        many=ngettext_lazy("%(count)d sales report", "%(count)d sales reports", "count"),
        running=_("Your sales report is being made"),
        done=_("Your sales report is ready"),
        failed=_("Your sales report could not be made"),
    ),
    "csv_import": Kind(
        one=_("Import customers"),
        many=ngettext_lazy("%(count)d customer import", "%(count)d customer imports", "count"),
        running=_("Your customers are being imported"),
        done=_("Your customers are imported"),
        failed=_("Your customers could not be imported"),
    ),
    "catalog_publish": Kind(
        one=_("Publish the catalog"),
        many=ngettext_lazy("%(count)d publication of the catalog", "%(count)d publications of the catalog", "count"),
        running=_("Your catalog is being published"),
        done=_("Your catalog is published"),
        failed=_("Your catalog could not be published"),
    ),
    "bulk_statements": Kind(
        one=_("Statements for all customers"),
        many=ngettext_lazy("%(count)d run of statements", "%(count)d runs of statements", "count"),
        running=_("A statement is being ordered for each customer"),
        done=_("A statement is ordered for each customer"),
        failed=_("The statements could not be ordered"),
    ),
    "customer_statement": Kind(
        one=_("Statement for a customer"),
        many=ngettext_lazy("%(count)d customer statement", "%(count)d customer statements", "count"),
        running=_("The statement is being written"),
        done=_("The statement is ready"),
        failed=_("The statement could not be written"),
    ),
    "statements_index": Kind(
        one=_("Index of statements"),
        many=ngettext_lazy("%(count)d index of statements", "%(count)d indexes of statements", "count"),
        running=_("The statements are being listed"),
        done=_("The list of statements is ready"),
        failed=_("The statements could not be listed"),
    ),
    "email_report": Kind(
        one=_("Mail a report"),
        many=ngettext_lazy("%(count)d mailed report", "%(count)d mailed reports", "count"),
        running=_("The report is being mailed"),
        done=_("The report is mailed"),
        failed=_("The report could not be mailed"),
    ),
    "email_notification": Kind(
        one=_("Mail a short notice"),
        many=ngettext_lazy("%(count)d short notice", "%(count)d short notices", "count"),
        running=_("The notice is being mailed"),
        done=_("The notice is mailed"),
        failed=_("The notice could not be mailed"),
    ),
    "send_welcome_email": Kind(
        one=_("Welcome a customer"),
        many=ngettext_lazy("%(count)d welcome mail", "%(count)d welcome mails", "count"),
        running=_("The welcome mail is being sent"),
        done=_("The welcome mail is sent"),
        failed=_("The welcome mail could not be sent"),
    ),
    "fax_send": Kind(
        one=_("Send a fax"),
        many=ngettext_lazy("%(count)d fax", "%(count)d faxes", "count"),
        running=_("The fax is being sent"),
        done=_("The fax is sent"),
        failed=_("The fax could not be sent"),
    ),
    "invoice_run": Kind(
        one=_("Invoice run"),
        many=ngettext_lazy("%(count)d invoice run", "%(count)d invoice runs", "count"),
        running=_("Your invoices are being charged, booked and mailed"),
        done=_("Your invoices are charged, booked and mailed"),
        failed=_("Not all of your invoices could be charged, booked and mailed"),
    ),
    "report_ready": Kind(
        one=_("Tell a report request of its file"),
        many=ngettext_lazy("%(count)d answer to a report request", "%(count)d answers to report requests", "count"),
        running=_("The report request is being told of its file"),
        done=_("The report request knows its file"),
        failed=_("The report request could not be told of its file"),
    ),
    "process_item": Kind(
        one=_("Count a product's sales"),
        many=ngettext_lazy("%(count)d count of sales", "%(count)d counts of sales", "count"),
        running=_("The product's sales are being counted"),
        done=_("The product's sales are counted"),
        failed=_("The product's sales could not be counted"),
    ),
}
CANCELED: Final = _("This was canceled")
STOPPING: Final = _("This is being canceled")


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
    name = name_one(job_type, display_names)
    # A name in Latin letters would draw the number to itself where people read from right to left.
    return words % {"kind": f"\u2068{name}\u2069" if get_language_bidi() else name, "count": count}


def words_of(job_type: str) -> dict[str, str]:
    """Return sentences for the states of a job of this type, by the names that ``job_progress`` has for states."""
    kind = KINDS.get(job_type)
    always = {Status.CANCELED.value: str(CANCELED), "stopping": str(STOPPING)}
    if kind is None:
        return always
    running, done, failed = map(str, (kind.running, kind.done, kind.failed))
    ended = {Status.COMPLETED.value: done, "ready": done, Status.DEAD_LETTER.value: failed}
    return {**always, Status.RUNNING.value: running, **ended}
