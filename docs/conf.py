"""How Sphinx builds the site of the documentation: CONTRIBUTING.md has the command.

The source directory is the checkout, so that a link leads to the same place on the site and on GitHub. The pages are
plain GitHub Markdown. ``_toc.yml`` is the navigation: a page that it lacks breaks the build. Those below ``python``
are made of docstrings.
"""

from __future__ import annotations

import sys
from pathlib import Path

import django
from django.conf import settings

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_site")]

# Docstrings are read from the imported modules, which need the apps. Nothing connects to a database or to Redis.
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "django_filters",
        "django_rq",
        "channels",
        "django_jobs",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    RQ_QUEUES={f"jobs-{name}": {"URL": "redis://127.0.0.1:6379/0"} for name in ("critical", "high", "normal", "low")},
    USE_TZ=True,
)
django.setup()

import django_jobs  # noqa: E402  (its public names need the apps)

project = "django_jobs"
version = release = django_jobs.__version__
copyright = "the django_jobs authors"  # noqa: A001  (Sphinx calls it so)

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_external_toc", "diagrams", "request_lexer"]
include_patterns = ["docs/**.md", "docs/**.rst", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = [".*", "build", "dist", "var", "tests", "django_jobs", "example_project", "**/node_modules"]
external_toc_path = "docs/_toc.yml"

# Markup that GitHub does not know stays text, and is seen on the site; a test looks for directives.
myst_disable_syntax = ["myst_role", "myst_block_break", "myst_line_comment", "myst_target"]
myst_heading_anchors = 4

nitpicky = True
# Types in signatures that are not ours to describe: Python's, Django's, and names within the engine.
nitpick_ignore_regex = [
    ("py:(class|data|obj)", r"(?!django_jobs\.(\w+$|models(?!.*\._)|exceptions|statuses|values)).*")
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"django_jobs {version}"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
templates_path = ["_site/templates"]
# The pages lie below docs/; who opens the site's own address is led there.
html_additional_pages = {"index": "to_start.html"}
html_copy_source = False
html_show_sphinx = False
