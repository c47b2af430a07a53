"""Every text of the code that people read goes through gettext: in the admin, the models' words, and the labels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.untranslated import untranslated

PACKAGE: Final = Path(__file__).resolve().parents[2] / "django_jobs"
FILES: Final = sorted(
    str(path.relative_to(PACKAGE))
    for pattern in ("apps.py", "statuses.py", "admin/**/*.py", "models/**/*.py", "templatetags/**/*.py")
    for path in PACKAGE.glob(pattern)
)
#: Texts that stay English, and why.
ENGLISH: Final = {
    "admin/jobs.py": {"text/csv; charset=utf-8"},  # an export is data
    "models/batch.py": {"batches"},  # what migrations know; ``in_words`` has what people read
    "models/base.py": {"{} is not a priority; use one of {}."},  # the API's words
    "models/job.py": {  # Django stores the names of permissions
        "Can see and manage the jobs of every organization",
        "Can read the sensitive parameters and results of jobs",
        *("monitor", "failure", "failures"),  # as in batch.py
    },
    "models/coordination.py": {  # no page shows these rows
        *("Minute", "Hour", "Day", "type activity", "organization activity", "{} from {} of {}"),
    },
}


def texts_in(file: str) -> list[tuple[int, str]]:
    found = untranslated((PACKAGE / file).read_text())
    return [(line, text) for line, text in found if text not in ENGLISH.get(file, ())]


@pytest.mark.parametrize("file", FILES)
def test_a_file_marks_all_its_texts_for_translation(file: str) -> None:
    assert texts_in(file) == []


def test_the_texts_that_stay_english_are_there() -> None:
    found = {file: {text for _, text in untranslated((PACKAGE / file).read_text())} for file in ENGLISH}
    assert {file: texts - found[file] for file, texts in ENGLISH.items() if texts - found[file]} == {}


def test_gettext_is_called_by_names_that_makemessages_knows() -> None:
    other_name = re.compile(r"\bn?p?gettext\w* as (?!_\b)")
    assert [path for path in PACKAGE.rglob("*.py") if other_name.search(path.read_text())] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"A docstring that nobody translates."', []),
        ('x = "Two words"', ["Two words"]),
        ('x = _("Two words")', []),
        ('x = ngettext("One job", "Two jobs", n)', []),
        ('x = f"{n} jobs"', ["{} jobs"]),
        ('x = f"django_jobs_{n}"', []),
        ('title = "state"', ["state"]),
        ("title = state", []),
        ('admin.display(description="name")(f)', ["name"]),
        ('@fact("owner", "owner_name")\ndef f(): ...', ["owner"]),
        ('self.message_user(request, "Done")', ["Done"]),
        ('raise ValidationError("wrong")', ["wrong"]),
        ('raise TypeError("No such argument is known.")', []),
        ('logger.info("event=x job=%s and more words")', []),
        ('facts = [("Type", kind)]', ["Type"]),
        ('format_html("<p>late</p>")', ["<p>late</p>"]),
        ('format_html("<p>{}</p>", x)', []),
        ('attrs = {"class": "wide field"}', []),
        ('class Color(TextChoices):\n    RED = "Deep Red", "Deep red"', ["Deep red"]),
        ('class Color(TextChoices):\n    RED = "Deep Red", _("Deep red")', []),
        ('class C:\n    def __str__(self): return f"row of {self.x}"', []),
        ('label = "yes" if x else "no"', ["yes", "no"]),
    ],
)
def test_the_finder_finds_what_people_would_read(source: str, found: list[str]) -> None:
    assert [text for _, text in untranslated(source)] == sorted(found)
