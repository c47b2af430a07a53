"""Which store stands for a database, also while several threads ask for the first time."""

from __future__ import annotations

import pytest

from tests.support import verbs
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, Store


@pytest.fixture(autouse=True)
def nothing_chosen(tuning: Tuning) -> None:
    tuning.set(chosen_stores={})


def test_threads_that_ask_for_the_first_time_at_once_get_the_same_store(interpose: Interpose) -> None:
    others: list[Store] = []
    kind_for = verbs.store_class_for

    def while_another_thread_asks(vendor: str) -> type[Store]:
        if not others:
            others.append(Store("default"))
            others[0] = verbs.store_of("default")
        return kind_for(vendor)

    interpose("store_class_for", while_another_thread_asks)

    found = verbs.store_of("default")
    assert others == [found]
    assert verbs.store() is found


def test_a_vendor_that_nobody_knows_gets_what_is_right_everywhere() -> None:
    assert verbs.store_class_for("oracle") is Store
