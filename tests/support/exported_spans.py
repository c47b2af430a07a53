"""Workers whose spans go into a file. Django loads this module before there are models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from django.apps import AppConfig
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from django_jobs.signals import worker_process_started

#: The file.
VARIABLE: Final = "DJANGO_JOBS_TEST_SPANS"


class SpansToFile(AppConfig):
    """Has the processes of a worker export their spans, as a host would, into the file that the environment names."""

    name = "tests.support"
    label = "spans_to_file"

    def ready(self) -> None:
        worker_process_started.connect(_export, weak=False)


def _export(kind: str, **kwargs: Any) -> None:
    with Path(f"{os.environ[VARIABLE]}.processes").open("a") as started:
        started.write(f"{kind}\n")
    file = Path(os.environ[VARIABLE]).open("a", buffering=1)  # noqa: SIM115
    exporter = ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")
    provider = TracerProvider()
    # Nothing is exported in the meantime: what the file has was sent when the process ended.
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=600_000))
    trace.set_tracer_provider(provider)
