"""These tests need settings of their own; tests/acceptance/test_third_party_tasks.py runs them with those."""

from __future__ import annotations

from django.conf import settings

collect_ignore_glob = [] if "maintenance_tasks" in settings.INSTALLED_APPS else ["test_*.py"]
