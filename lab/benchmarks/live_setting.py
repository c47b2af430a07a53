"""The stage of the benchmarks of live progress: organizations, their admin, an ASGI server, workers without layer."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from django_jobs.models import Organization
from lab.benchmarks import setting
from tests.support.addresses import free_port
from tests.support.server import listens
from tests.support.verbs import SOCKETS_A_USER


def make_organizations(number: int) -> list[str]:
    setting.reset()
    names = [f"LIVE-{index:04}" for index in range(number)]
    Organization.objects.bulk_create([Organization(name=name) for name in names], ignore_conflicts=True)
    return names


async def admins_headers(sockets: int) -> list[dict[str, str]]:
    """What so many sockets authenticate with: of as many system admins as may open them."""
    headers: list[dict[str, str]] = []
    while len(headers) < sockets:
        name = f"bench-{len(headers)}"
        user, _ = await User.objects.aget_or_create(username=name, defaults={"is_superuser": True})
        token, _ = await Token.objects.aget_or_create(user=user)
        headers += [{"Authorization": f"Token {token.key}"}] * SOCKETS_A_USER
    return headers[:sockets]


@contextlib.contextmanager
def server() -> Iterator[tuple[psutil.Process, int]]:
    """One ASGI process."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "example_project.asgi:application", "--port", str(port)]
    command += ["--lifespan", "off", "--log-level", "warning", "--timeout-graceful-shutdown", "1"]
    process = subprocess.Popen(command, env=os.environ)
    try:
        while not listens(port):
            time.sleep(0.1)
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def without_layer() -> Iterator[None]:
    """The workers that are started in here find no CHANNEL_LAYERS."""
    os.environ["DJANGO_JOBS_BENCH_LAYER"] = "0"
    try:
        yield
    finally:
        del os.environ["DJANGO_JOBS_BENCH_LAYER"]
