"""What people do to a batch from its page: each button asks first, acts by the engine's own verb, and reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from django_jobs.admin.base import OwnPages, View
from django_jobs.admin.formatting import badge, state_badge
from django_jobs.admin.numbers import format_number
from django_jobs.engine.control import batches
from django_jobs.engine.insight.problems import reason_of
from django_jobs.engine.submission.targets import may_cancel_batch, may_manage_batch
from django_jobs.exceptions import JobsError
from django_jobs.models import Batch
from django_jobs.statuses import RETRYABLE_BY_HAND, UNFINISHED
from django_jobs.texts import in_english, told


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAction:
    """A button. ``fits`` says of a batch with its status whether the action can succeed.

    ``words`` stand on it, and ``yes`` on the button of the page that asks. ``code`` is that of the message afterwards.
    """

    code: str
    words: Any
    yes: Any
    past: Any
    consequence: Any
    perform: Callable[..., Batch]
    fits: Callable[[Any], bool]
    #: Whether this user may, as far as that is known beforehand. A retry also asks for each type of the failed jobs.
    may: Callable[[Any, Any], bool]
    #: Statuses of the jobs that it is about; without any, the page does not count jobs.
    concerns: frozenset[str] = frozenset()


ACTIONS: Final = {
    "retry": BatchAction(
        code="retried",
        words=gettext_lazy("Retry failed"),
        yes=gettext_lazy("Yes, retry failed"),
        past=gettext_lazy("Retried: its failed jobs start over, with all their retries."),
        consequence=gettext_lazy(
            "Each of its failed jobs starts over with all its retries; error, result and times are cleared. "
            "What has completed is not run again. Once all have completed, what follows the batch is submitted."
        ),
        perform=batches.retry_batch,
        may=may_manage_batch,
        fits=lambda batch: batch.canceled_at is None and count_in(batch, RETRYABLE_BY_HAND) > 0,
        concerns=RETRYABLE_BY_HAND,
    ),
    "follow-up": BatchAction(
        code="submitted",
        words=gettext_lazy("Submit what follows"),
        yes=gettext_lazy("Yes, submit what follows"),
        past=gettext_lazy("Submitted: what follows this batch."),
        consequence=gettext_lazy(
            "What should have followed this batch, and could not be submitted when it ended, is submitted now. "
            "Mend the cause first: it is told again if it is still there."
        ),
        perform=batches.retry_batch,
        may=may_manage_batch,
        fits=lambda batch: (
            bool(batch.fault)
            and batch.completed_at is not None
            and batch.canceled_at is None
            and not count_in(batch, RETRYABLE_BY_HAND)
        ),
    ),
    "close": BatchAction(
        code="closed",
        words=pgettext_lazy("to end a batch", "Close"),
        yes=gettext_lazy("Yes, close"),
        past=gettext_lazy("Closed: it ends with the last of its jobs."),
        consequence=gettext_lazy(
            "It takes no more jobs, but for those that its own jobs add. When the last of them has ended, what "
            "follows the batch is submitted. It cannot be opened again."
        ),
        perform=batches.close_batch,
        may=may_cancel_batch,
        fits=lambda batch: batch.closed_at is None,
    ),
    "cancel": BatchAction(
        code="canceled",
        words=gettext_lazy("Cancel"),
        yes=gettext_lazy("Yes, cancel"),
        past=gettext_lazy("Canceled: what waits of it ends, and what runs is asked to stop."),
        consequence=gettext_lazy(
            "Its waiting jobs end at once. Running ones are asked to stop and end within moments. It takes no "
            "more jobs, and cannot be retried as a whole afterwards."
        ),
        perform=batches.cancel_batch,
        may=may_cancel_batch,
        fits=lambda batch: batch.completed_at is None and batch.canceled_at is None,
        concerns=UNFINISHED,
    ),
}


def count_in(batch: Any, statuses: frozenset[str]) -> int:
    """Return how many of a batch's jobs are in these statuses."""
    return sum(batch.told.by_status[status] for status in statuses)


class BatchActions(OwnPages):
    """The buttons of a batch's page. A button is only an offer: the engine asks the access policy."""

    def act_views(self) -> dict[str, tuple[str, View]]:
        """Return the views of the buttons, by name."""
        return {verb: (f"<path:object_id>/{verb}/", partial(self._act, verb=verb)) for verb in ACTIONS}

    def buttons(self, request: HttpRequest, batch: Any) -> list[tuple[str, str]]:
        """Return what this user may do to the batch now: the words and the address of each button."""
        return [
            (act.words, self.url_of(verb, batch.pk))
            for verb, act in ACTIONS.items()
            if act.fits(batch) and act.may(request.user, batch)
        ]

    def _act(self, request: HttpRequest, object_id: str, *, verb: str) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        batch = self.find(request, object_id)
        if batch is None:
            return self.gone(request, object_id)
        if not ACTIONS[verb].may(request.user, batch):
            raise PermissionDenied
        if request.method != "POST":
            return self._confirm(request, batch, ACTIONS[verb])
        self._perform(request, batch, ACTIONS[verb])
        return self.go_to(batch.pk)

    def _confirm(self, request: HttpRequest, batch: Any, act: BatchAction) -> HttpResponse:
        """Return the page that says what would happen."""
        title = _("%(action)s: %(batch)s") % {"action": act.words, "batch": batch}
        return self.page(
            request,
            "batch/confirm.html",
            title,
            title,
            act=act,
            fits=act.fits(batch),
            state=state_badge(batch.told.state),
            counts=[
                (format_number(count), badge(status))
                for status, count in batch.told.by_status.items()
                if count and status in act.concerns
            ],
            back_url=self.url_of("change", batch.pk),
        )

    def _perform(self, request: HttpRequest, batch: Any, act: BatchAction) -> None:
        try:
            changed = act.perform(batch, user=request.user)
        except JobsError as refusal:
            self.message_user(request, told(refusal), messages.WARNING, extra_tags=refusal.code)
            return
        self.remember(request, [changed], in_english(act.past))
        if act.concerns and changed.refused:
            text = ngettext(
                "%(count)s job is left as it is: the access policy refuses it.",
                "%(count)s jobs are left as they are: the access policy refuses them.",
                changed.refused,
            )
            text %= {"count": format_number(changed.refused)}
            self.message_user(request, text, messages.WARNING, extra_tags="refused_by_policy")
        if changed.fault and changed.completed_at is not None:
            text = _("Not submitted yet: %(reason)s") % {"reason": reason_of(changed.fault)}
            self.message_user(request, text, messages.WARNING, extra_tags="not_submitted")
        else:
            self.message_user(request, act.past, extra_tags=act.code)
