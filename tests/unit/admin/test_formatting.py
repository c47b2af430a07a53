"""Texts and moments as pages show them."""

from __future__ import annotations

import datetime as dt
import re
from zoneinfo import ZoneInfo

from django.utils import timezone, translation

from django_jobs.admin.writing import WHOLE, block, moment_text


def test_a_text_that_is_too_long_to_show_says_so_and_leads_to_no_more_of_it() -> None:
    shown = str(block("x" * (WHOLE + 1), whole=True))
    assert ("<a " in shown, re.findall(r"[\d,]+", shown.partition("</pre>")[2])) == (False, ["1,500,001"])


def test_the_sign_of_a_zone_without_a_name_stays_before_its_number() -> None:
    with timezone.override(ZoneInfo("America/Sao_Paulo")), translation.override("ar"):
        assert "\u2066-03\u2069" in moment_text(dt.datetime(2026, 10, 1, 12, tzinfo=dt.UTC))
