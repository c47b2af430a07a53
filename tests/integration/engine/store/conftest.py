"""The store that each test of this package asks: every class that is right on the database of the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stores import fitting_kinds, used
from tests.support.verbs import Store


@pytest.fixture(params=fitting_kinds(), ids=lambda kind: kind.__name__)
def each_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The store that the engine uses during the test."""
    with used(request.param) as store:
        yield store
