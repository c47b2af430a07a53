"""Who does things to many jobs, in these tests."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from tests.support.factories import make_system_admin


@pytest.fixture
def system_admin() -> User:
    return make_system_admin("system_admin")
