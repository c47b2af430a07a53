"""Random verbs, one after the other and two at once: the engine's rows are the model's after each."""

from __future__ import annotations

import faulthandler
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.model.engine import SETTINGS
from tests.faults.model.machine import Machine

#: Of the default profile: less than a minute.
EXAMPLES: Final = 30
STEPS: Final = 40


@pytest.mark.django_db(transaction=True)
def test_the_engine_does_what_the_model_says(settings: Any) -> None:
    faulthandler.cancel_dump_traceback_later()  # making a failure small takes up to five minutes
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **SETTINGS}
    run_state_machine_as_test(Machine, settings=profile())


def profile() -> settings:
    """The settings of hypothesis: those of its profile, smaller where none was asked for."""
    chosen = settings(deadline=None, suppress_health_check=[*HealthCheck], print_blob=True)
    if settings.get_current_profile_name() != "default":
        return chosen
    return settings(chosen, max_examples=EXAMPLES, stateful_step_count=STEPS)
