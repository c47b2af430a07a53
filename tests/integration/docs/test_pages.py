"""Pages whose examples run as they stand, and lists that are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import BaseCommand, get_commands, load_command_class

import django_jobs
from django_jobs.conf import DEFAULTS
from django_jobs.statuses import TRANSITIONS, Status
from django_jobs.values import WAITING_REASONS
from tests.support import verbs
from tests.support.documents import DOCS, examples_of, run_examples
from tests.support.factories import make_job_type, make_organization
from tests.support.walk import README

# Children follow their parents when something is committed.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _setting(broker: object) -> None:
    make_organization(name="ORG-2026-00001")
    make_job_type(type_name="send_letter", deduplication_window=300)
    make_job_type(type_name="file_receipt")


@pytest.mark.parametrize(
    "page", ["lifecycle.md", "flow.md", "schedules.md", "batches.md", "troubleshooting.md", "metrics.md"]
)
def test_the_examples_run_in_their_order(page: str) -> None:
    assert examples_of(page)
    run_examples(page, {"__name__": __name__})


def test_the_settings_page_names_every_setting_and_shows_none_that_is_unknown() -> None:
    shown = run_examples("settings.md", {"__name__": __name__})["DJANGO_JOBS"]
    text = (DOCS / "settings.md").read_text()
    assert set(shown) <= set(DEFAULTS)
    assert [name for name in DEFAULTS if f"`{name}`" not in text] == []


def test_the_settings_page_names_every_check_in_the_order_of_their_numbers() -> None:
    files = (Path(django_jobs.__file__).parent / "checks").glob("*.py")
    ids = {found for file in files for found in re.findall(r'id="(django_jobs\.[EW]\d+)"', file.read_text())}
    text = (DOCS / "settings.md").read_text()
    assert sorted(check for check in ids if f"`{check}`" not in text) == []
    rows = re.findall(r"^\| `django_jobs\.([EW])(\d+)` \|", text, re.MULTILINE)
    assert rows == sorted(rows, key=lambda row: (int(row[1]), row[0]))


def test_the_diagram_shows_only_arrows_that_exist() -> None:
    arrows = re.findall(r"^ {4}(\w+) --> (\w+):", (DOCS / "lifecycle.md").read_text(), re.MULTILINE)
    by_name = {status.value.replace(" ", ""): status for status in Status}
    wrong = [(a, b) for a, b in arrows if by_name[b] not in TRANSITIONS[by_name[a]]]
    assert len(arrows) > 15
    assert not wrong


def test_every_reason_why_a_job_waits_is_told() -> None:
    table = (DOCS / "lifecycle.md").read_text().partition("## Why does it not run yet?")[2].partition("\n## ")[0]
    told = {name for row in re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert told == {*WAITING_REASONS, "waiting_for"}
    sentence = (DOCS / "api.md").read_text().partition("`waiting_for` says why")[2].partition(".")[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == set(WAITING_REASONS)


def test_every_reason_why_a_job_waits_has_words_in_the_admin() -> None:
    assert verbs.REASONS.keys() >= set(WAITING_REASONS)


def test_the_pages_name_only_events_that_are_logged() -> None:
    event = re.compile(r"event=([a-z_]+)")
    texts = [file.read_text() for file in Path(django_jobs.__file__).parent.rglob("*.py")]
    logged = {name for text in texts for name in event.findall(text) + re.findall(r', "([a-z_]+)"\)', text)}
    logged |= {status.lower().replace(" ", "_") for status in Status.values}
    told = {name for page in DOCS.glob("*.md") for name in event.findall(page.read_text())}
    assert sorted(told - logged) == []


def test_every_option_of_every_command_is_told() -> None:
    pages = "".join(page.read_text() for page in DOCS.glob("*.md"))
    plain = {option for action in BaseCommand().create_parser("", "")._actions for option in action.option_strings}
    found = [name for name, app in get_commands().items() if app == "django_jobs"]
    parsers = {name: load_command_class("django_jobs", name).create_parser("", name) for name in found}
    options = [
        f"{name} {option}"
        for name, parser in parsers.items()
        for action in parser._actions
        for option in action.option_strings
        if option not in plain
    ]
    assert len(options) > 8
    assert [option for option in options if f"`{option.split()[1]}" not in pages and option not in pages] == []
    assert [name for name in parsers if f"`manage.py {name}" not in pages] == []


def test_every_link_of_the_pages_leads_to_a_heading_or_a_file_that_is_there() -> None:
    pages = [README, *DOCS.glob("*.md")]
    wrong = [
        f"{page.name}: {link}"
        for page in pages
        for link in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", page.read_text())
        if not leads_somewhere(page, link)
    ]
    assert wrong == []


def leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not target.is_file():
        return False
    headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE) if anchor else []
    return not anchor or anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}


def test_every_page_is_reached_from_the_readme() -> None:
    assert [page.name for page in DOCS.glob("*.md") if f"(docs/{page.name})" not in README.read_text()] == []
