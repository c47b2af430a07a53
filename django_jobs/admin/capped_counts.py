"""Numbers of jobs that were counted up to a bound, and how people read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext_lazy as _

from django_jobs.admin.numbers import format_number

#: Nothing was found before the bound, and what lies behind it is not known.
NOT_COUNTED: Final = _("not counted")


@dataclass(frozen=True, slots=True, kw_only=True)
class CappedCount:
    """A number of jobs. With ``is_cut``, counting ended at a bound, and there may be more."""

    count: int
    is_cut: bool = False

    def __str__(self) -> str:
        if self.is_cut and not self.count:
            return str(NOT_COUNTED)
        return f"{format_number(self.count)}{'+' if self.is_cut else ''}"
