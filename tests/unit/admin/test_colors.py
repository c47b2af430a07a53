"""Red means an open alarm and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

import django_jobs
from tests.support.colors import colors_in, is_red, rules

PACKAGE: Final = Path(django_jobs.__file__).parent
SHEETS: Final = sorted((PACKAGE / "static").rglob("*.css"))
#: What of a page may be red: an alarm's border and its name, and the number of alarms in the bar.
RED: Final = {
    (".djobs-alarm", "border"),
    (".djobs-alarm strong", "color"),
    (".djobs-alarm strong a", "color"),
    (".djobs-nav-alarm .djobs-nav-count", "border-color"),
    (".djobs-nav-alarm .djobs-nav-count", "background"),
    (".djobs-nav-alarm .djobs-nav-count", "color"),
}
#: Django's own reds, for errors of forms and for deleting. Our style sheets take none of them.
OF_DJANGO: Final = ("--error-fg", "--message-error-bg", "--delete-button", "--close-button")
NAMED: Final = {"red", "crimson", "darkred", "firebrick", "tomato", "indianred", "orangered"}


def test_only_alarms_take_the_color_of_alarms() -> None:
    takes = {
        (selector, name)
        for sheet in SHEETS
        for selector, name, value in rules(sheet)
        if "var(--djobs-alarm)" in value or "var(--djobs-on-alarm)" in value
    }
    assert takes == RED


def test_only_parts_about_alarms_have_a_class_of_alarms() -> None:
    templates = PACKAGE / "templates"
    found = {
        str(page.relative_to(templates))
        for page in templates.rglob("*.html")
        if any(name in page.read_text() for name in ('class="djobs-alarm', "djobs-nav-alarm"))
    }
    own = "admin/django_jobs"
    assert {page for page in found if not page.startswith(f"{own}/alerts/")} == {f"{own}/navigation.html"}


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_no_other_color_is_red(sheet: Path) -> None:
    reds = [
        (selector, name, value)
        for selector, name, value in rules(sheet)
        if "alarm" not in name
        and (
            any(map(is_red, colors_in(value)))
            or any(word in value for word in OF_DJANGO)
            or NAMED.intersection(value.split())
        )
    ]
    assert reds == []


def test_the_color_of_alarms_is_red() -> None:
    values = [value for _, name, value in rules(PACKAGE / "static/django_jobs/palette.css") if name == "--djobs-alarm"]
    assert values
    assert all(map(is_red, values))
