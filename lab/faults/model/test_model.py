"""Random verbs, one after the other and two at once: the engine's rows are the model's after each."""

from __future__ import annotations

import faulthandler
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from lab.faults.model.engine import SETTINGS
from lab.faults.model.machine import Machine
from tests.support.tuning import Tuning

#: Of the default profile: less than a minute.
EXAMPLES: Final = 30
STEPS: Final = 40


@pytest.mark.django_db(transaction=True)
def test_the_engine_does_what_the_model_says(settings: Any, tuning: Tuning) -> None:
    faulthandler.cancel_dump_traceback_later()  # making a failure small takes up to five minutes
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **SETTINGS}
    tuning.set(worker_fresh_seconds=3_600)  # the worker of an example is there until its end
    run_state_machine_as_test(Machine, settings=profile())


def profile() -> settings:
    """The settings of hypothesis: those of its profile, smaller where none was asked for.

    Its profile ``ci``, which it chooses by itself where the environment says CI, would play four times as long, and the
    same in every run.
    """
    chosen = settings(deadline=None, suppress_health_check=[*HealthCheck], print_blob=True)
    if settings.get_current_profile_name() not in {"default", "ci"}:
        return chosen
    return settings(chosen, max_examples=EXAMPLES, stateful_step_count=STEPS, derandomize=False)
