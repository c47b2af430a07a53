"""The file for Docker Compose."""

from __future__ import annotations

from typing import Any

import pytest

from lab.deploying import files


@pytest.fixture(scope="module")
def services() -> Any:
    return files.compose(**files.ENVIRON)["services"]


def test_compose_refuses_to_start_without_its_secrets(subtests: pytest.Subtests) -> None:
    for name in files.ENVIRON:
        with subtests.test(name), pytest.raises(ValueError, match=f"{name}.*write it into .env"):
            files.compose(**{key: value for key, value in files.ENVIRON.items() if key != name})


def test_the_example_of_the_environment_names_what_compose_asks_for() -> None:
    lines = (files.FILES / "environment.example").read_text().splitlines()
    assert set(files.ENVIRON) <= {line.partition("=")[0] for line in lines}


def test_the_token_of_scrapes_reaches_the_web() -> None:
    environ = {**files.ENVIRON, "METRICS_TOKEN": "of-the-scraper"}
    assert files.compose(**environ)["services"]["web"]["environment"]["METRICS_TOKEN"] == "of-the-scraper"


def test_everything_waits_for_the_migration_and_that_for_the_database(services: Any) -> None:
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    for name in ("web", "worker", "scheduler"):
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_whatever_stays_is_looked_at(services: Any) -> None:
    assert [name for name, service in services.items() if "healthcheck" not in service] == ["migrate"]


def test_a_process_is_asked_where_it_answers(services: Any) -> None:
    for name, port, path in (("web", 8000, "health/ready"), ("worker", 9808, "ready"), ("scheduler", 9808, "ready")):
        assert f"'http://localhost:{port}/{path}'" in services[name]["healthcheck"]["test"][-1]
        assert str(port) in services[name]["command"]


def test_a_worker_is_given_the_time_that_its_end_needs(services: Any) -> None:
    assert files.seconds(services["worker"]["stop_grace_period"]) > files.WORKER_SECONDS


def test_redis_evicts_nothing(services: Any) -> None:
    assert services["redis"]["command"][-1] == "noeviction"
