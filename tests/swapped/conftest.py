"""These tests need settings of their own; tests/acceptance/test_swapped_organization.py runs them with those."""

from __future__ import annotations

from django.conf import settings

collect_ignore_glob = [] if "tests.swapped" in settings.INSTALLED_APPS else ["test_*.py"]
