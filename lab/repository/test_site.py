"""What the site of the documentation is built from. Building it, in CI, finds broken links and names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import django_jobs
from django_jobs import testing

CHECKOUT: Final = Path(os.environ.get("DJANGO_JOBS_CHECKOUT") or Path(__file__).resolve().parents[2])
DOCS: Final = CHECKOUT / "docs"
PAGES: Final = [*DOCS.rglob("*.md"), *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
NAVIGATION: Final = re.findall(r"^ +- file: (\S+)$", (DOCS / "_toc.yml").read_text(), re.MULTILINE)


def test_every_page_has_one_place_in_the_navigation() -> None:
    pages = [*PAGES, *(DOCS / "python").glob("*.rst")]
    names = {page.relative_to(CHECKOUT).with_suffix("").as_posix() for page in pages}
    assert sorted(NAVIGATION) == sorted(names - {"docs/index"})


def test_the_index_leads_to_the_pages_in_the_order_of_the_navigation() -> None:
    links = re.findall(r"\]\(([^)#]+)\.(?:md|rst)\)", (DOCS / "index.md").read_text())
    told = [os.path.normpath(Path("docs") / link) for link in links]
    assert told[1:] == [name for name in NAVIGATION if "docs/python/" not in name or name.endswith("/index")][:-1]
    assert told[0] == NAVIGATION[-1] == "CHANGELOG"


def test_the_pages_have_no_markup_that_github_does_not_know() -> None:
    directive = re.compile(r"^ *(?:`{3,}|:{3,}) *\{", re.MULTILINE)
    assert [page.name for page in PAGES if directive.search(page.read_text())] == []


def test_links_to_elsewhere_are_well_formed_addresses() -> None:
    links = {link for page in PAGES for link in re.findall(r"\]\((\w+:[^)]*)\)", page.read_text())}
    parts = [urlsplit(link) for link in sorted(links)]
    assert [part.geturl() for part in parts if part.scheme != "https" or "." not in part.netloc] == []


def test_every_public_name_has_its_docstring_on_the_site() -> None:
    pages = "".join(page.read_text() for page in (DOCS / "python").glob("*.rst"))
    written = set(re.findall(r"^\.\. auto\w+:: django_jobs\.(\w+)", pages, re.MULTILINE))
    errors = {name for name in django_jobs.__all__ if name in dir(django_jobs.exceptions)}
    assert set(django_jobs.__all__) - written == errors
    assert {"exceptions", "signals", "testing"} <= written


def test_every_public_name_has_a_docstring() -> None:
    public = [getattr(django_jobs, name) for name in django_jobs.__all__]
    public += [getattr(testing, name) for name in testing.__all__]
    assert [found.__name__ for found in public if not found.__doc__] == []
