"""The text of metrics, and the files for Prometheus and Grafana that name them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from django_jobs.contrib import prometheus
from django_jobs.contrib.prometheus import exposition
from django_jobs.contrib.prometheus.exposition import BOUNDS
from django_jobs.engine.insight.metrics import Gauges
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.documents import DOCS
from tests.support.probes import scraped, value_of
from tests.support.prometheus import promtool
from tests.support.verbs import COUNTED_TYPES, HealthNotes, ProcessCounts, Tally

OPERATING = DOCS / "operating"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def notes() -> HealthNotes:
    found = HealthNotes()
    found.children = (2, 1)
    found.leads = lambda: True
    found.database.answered()
    return found


def gauges(**changes: Any) -> Gauges:
    values: dict[str, Any] = {
        "jobs": {str(status): 3 for status in Status},
        "backlog": {"Critical": 0, "Low": 5},
        "oldest_waiting_seconds": 7.5,
        "workers": {("default", False): 2, ("default", True): 1},
        "slots": {"default": 20},
        "breakers": {"mail": ("open", "all")},
        "alerts": {"no_worker": 1},
    }
    return Gauges(**{**values, **changes})


def counts(*tallies: Tally, job_type: str = "mail", organizations: int = 0) -> ProcessCounts:
    found = ProcessCounts(organizations=organizations)
    for tally in tallies:
        found.add(job_type, "ORG-1", tally)
    return found


def text_of(*known: Any, **more: Any) -> str:
    answer = verbs.scrape_metrics("", *known, **more)
    assert answer.code == 200
    return answer.body.decode()


def everything() -> Tally:
    tally = Tally(submitted=5, completed=4)
    tally.attempts.update({Status.COMPLETED: 4})
    tally.measure("attempt", 4.0, verbs.histogram_class(1.0), 4)
    tally.measure("wait", 0.8, verbs.histogram_class(0.2), 4)
    return tally


EVERYTHING = everything()


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bdjango_jobs_\w+", text))


def families() -> list[Any]:
    return list(exposition.JobsCollector(notes(), gauges(), counts(EVERYTHING)).collect())


def known_names() -> set[str]:
    """Every name that a query may use."""
    return {sample.name for family in families() for sample in family.samples}


def test_all_that_is_known_is_told() -> None:
    text = text_of(notes(), gauges(), counts(EVERYTHING))
    assert value_of(text, "django_jobs_attempts_total", job_type="mail", outcome="completed") == 4
    assert value_of(text, "django_jobs_submitted_total", job_type="mail") == 5
    assert value_of(text, "django_jobs_backlog", priority="low") == 5
    assert value_of(text, "django_jobs_workers", pool="default", state="active") == 2
    assert value_of(text, "django_jobs_breaker_open", job_type="mail", state="open", organizations="all") == 1
    assert value_of(text, "django_jobs_dead_letters") == value_of(text, "django_jobs_jobs", status="dead_letter") == 3
    assert (value_of(text, "django_jobs_children"), value_of(text, "django_jobs_children_wanted")) == (1, 2)
    assert (value_of(text, "django_jobs_database_up"), value_of(text, "django_jobs_broker_up")) == (1, 0)
    follower = notes()
    follower.leads = lambda: False
    told = [text, text_of(follower)]
    assert [value_of(item, "django_jobs_scheduler_leads") for item in told] == [1, 0]


def test_a_first_failure_is_an_increase() -> None:
    text = text_of(notes(), counts=counts(EVERYTHING))
    key = ("django_jobs_attempts_total", frozenset({("job_type", "mail"), ("outcome", "failed")}))
    assert scraped(text)[key] == 0


def test_a_histogram_has_each_duration_on_the_right_side_of_its_bounds() -> None:
    durations = [0.001, 0.011, 0.012, 1.11, 1.13, 5.6, 5.7, 20_000]
    tally = Tally()
    for seconds in durations:
        tally.measure("attempt", seconds, verbs.histogram_class(seconds))
    text = text_of(notes(), counts=counts(tally))
    for _, bound in BOUNDS:
        below = sum(seconds <= float(bound) for seconds in durations)
        assert value_of(text, "django_jobs_run_seconds_bucket", le=bound) == below, bound
    assert value_of(text, "django_jobs_run_seconds_count") == len(durations)
    assert value_of(text, "django_jobs_run_seconds_sum") == pytest.approx(sum(durations))


def test_organizations_are_a_label_only_where_the_setting_says_so() -> None:
    assert "ORG-1" not in text_of(notes(), counts=counts(EVERYTHING))
    text = text_of(notes(), counts=counts(EVERYTHING, organizations=5))
    assert value_of(text, "django_jobs_attempts_total", organization="ORG-1") == 4


def test_old_gauges_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    old = gauges(moment=time.monotonic() - exposition.OLDEST_GAUGES_SECONDS - 1)
    text = text_of(notes(), old)
    assert "django_jobs_backlog" not in text
    assert value_of(text, "django_jobs_database_up") == 1


def test_who_asks_for_openmetrics_gets_it() -> None:
    answer = verbs.scrape_metrics(OPENMETRICS, notes(), gauges(), counts(EVERYTHING))
    assert answer.content_type.startswith("application/openmetrics-text")
    assert "django_jobs_attempts" in {found.name for found in text_string_to_metric_families(answer.body.decode())}  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("accept", ["*/*", "text/plain;version=abc", ";;;", "application/json", "\x00"])
def test_a_strange_accept_header_gets_plain_text(accept: str) -> None:
    assert verbs.scrape_metrics(accept, notes()).content_type.startswith("text/plain")


def test_names_of_types_with_strange_characters_are_escaped() -> None:
    strange = 'task:a"b\\c\nd'
    text = text_of(notes(), counts=counts(Tally(submitted=1), job_type=strange))
    assert value_of(text, "django_jobs_submitted_total", job_type=strange) == 1


def test_a_scrape_of_the_most_that_there_can_be_is_quick() -> None:
    counts = ProcessCounts()
    for number in range(COUNTED_TYPES):
        counts.add(f"type-{number}", "", EVERYTHING)
    known = notes(), gauges(), counts
    text_of(*known)  # imports
    began = time.thread_time()
    text_of(*known)
    assert time.thread_time() - began < 1.0


def test_without_the_library_a_scrape_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "find_spec", lambda _: None)
    answer = verbs.scrape_metrics("", notes())
    assert answer.code == 501
    assert b"pip install 'django-durable-jobs[prometheus]'" in answer.body


def test_probes_do_without_the_library() -> None:
    code = (
        "import sys, django; django.setup()\n"
        "from django_jobs.api import health_urls, metrics_urls\n"
        "from django_jobs.management import health_port\n"
        "print('django_jobs.contrib.prometheus.exposition' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_commands_without_a_health_port_load_nothing_for_it() -> None:
    code = (
        "import sys, django; django.setup()\n"
        "from django_jobs.management.commands import jobs_scheduler, jobs_worker\n"
        "names = ('django_jobs.contrib', 'django_jobs.health.server', 'django_jobs.health.lookouts')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def queries_of_the_dashboard(dashboard: Any) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_the_dashboard_uses_metrics_that_exist() -> None:
    dashboard = json.loads((OPERATING / "grafana-dashboard.json").read_text())
    queries = queries_of_the_dashboard(dashboard)
    queries += [item["definition"] for item in dashboard["templating"]["list"] if item["type"] == "query"]
    assert len(queries) > 20
    assert names_in("\n".join(queries)) - known_names() == set()


def test_the_alerts_use_metrics_that_exist() -> None:
    rules = yaml.safe_load((OPERATING / "alert-rules.yaml").read_text())["groups"][0]["rules"]
    queries = "\n".join(rule["expr"] for rule in rules)
    assert names_in(queries)
    assert names_in(queries) - known_names() == set()
    assert all(rule["annotations"]["summary"] for rule in rules)


def test_the_page_of_metrics_tells_each_of_them_and_no_other() -> None:
    text = (DOCS / "metrics.md").read_text()
    told = set(re.findall(r"^\| `(django_jobs_\w+)`", text, re.MULTILINE))
    suffix = {"counter": "_total"}
    assert told == {f"{family.name}{suffix.get(family.type, '')}" for family in families()}
    assert names_in(text) - known_names() - told == set()


def test_promtool_accepts_the_alerts() -> None:
    assert "10 rules found" in promtool("check", "rules", str(OPERATING / "alert-rules.yaml"))


def test_promtool_understands_the_queries_of_the_dashboard_and_of_the_page(tmp_path: Path) -> None:
    table = (DOCS / "metrics.md").read_text().partition("| question | PromQL |")[2]
    queries = [query.replace("\\|", "|") for query in re.findall(r"^\|[^|]+\| `(.+)` \|$", table, re.MULTILINE)]
    assert len(queries) == 6
    dashboard = json.loads((OPERATING / "grafana-dashboard.json").read_text())
    queries += [query.replace("$__rate_interval", "5m") for query in queries_of_the_dashboard(dashboard)]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.yaml").write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(queries)} rules found" in promtool("check", "rules", str(tmp_path / "queries.yaml"))


def test_promtool_finds_nothing_to_say_of_the_metrics() -> None:
    text = text_of(notes(), gauges(), counts(EVERYTHING))
    assert promtool("check", "metrics", text=text) == ""


def _fires(alert: str, at: str, series: dict[str, str], **labels: str) -> dict[str, Any]:
    """A test of promtool: with these series, a value a minute, the alert fires then with these labels."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": at, "alertname": alert, "exp_alerts": [{"exp_labels": labels}] if labels else []}
        ],
    }


DEAD_OF_MAIL = 'django_jobs_ended_total{job_type="mail",outcome="dead_letter"}'
OF_MAIL = {"job_type": "mail", "state": "open", "organizations": "all"}
BREAKER_OF_MAIL = 'django_jobs_breaker_open{job_type="mail",state="open",organizations="all"}'
ATTEMPTS_OF_MAIL = 'django_jobs_attempts_total{job_type="mail",outcome="%s"}'


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    most_fail = {ATTEMPTS_OF_MAIL % "failed": "0+3x30", ATTEMPTS_OF_MAIL % "completed": "0+1x30"}
    few_fail = {ATTEMPTS_OF_MAIL % "failed": "0+1x30", ATTEMPTS_OF_MAIL % "completed": "0+3x30"}
    leads, workers = 'django_jobs_scheduler_leads{instance="%s"}', 'django_jobs_workers{pool="gpu",state="active"}'
    rules = yaml.safe_load((OPERATING / "alert-rules.yaml").read_text())
    for rule in rules["groups"][0]["rules"]:
        rule["annotations"], rule["labels"] = {}, {"severity": "bad"}
    (tmp_path / "rules.yaml").write_text(json.dumps(rules))
    tests = [
        _fires("DjangoJobsNoScheduler", "5m", {"up": "1x9"}, severity="bad"),
        _fires("DjangoJobsNoScheduler", "5m", {leads % "a": "0x9", leads % "b": "1x9"}),
        _fires("DjangoJobsNoWorker", "9m", {workers: "0x9"}, severity="bad", pool="gpu"),
        _fires("DjangoJobsNoWorker", "9m", {workers: "1x9"}),
        _fires("DjangoJobsTypeFails", "25m", most_fail, severity="bad", job_type="mail"),
        _fires("DjangoJobsTypeFails", "25m", few_fail),
        _fires("DjangoJobsDatabaseAway", "5m", {"django_jobs_database_up": "0x9"}, severity="bad"),
        _fires("DjangoJobsBrokerAway", "5m", {"django_jobs_broker_up": "0x9"}, severity="bad"),
        _fires("DjangoJobsWaiting", "9m", {"django_jobs_oldest_waiting_seconds": "400x9"}, severity="bad"),
        _fires("DjangoJobsWaiting", "9m", {"django_jobs_oldest_waiting_seconds": "200x9"}),
        _fires("DjangoJobsDeadLetters", "9m", {DEAD_OF_MAIL: "0+3x9"}, severity="bad", job_type="mail"),
        _fires("DjangoJobsDeadLetters", "9m", {DEAD_OF_MAIL: "5x9"}),
        _fires("DjangoJobsBreakerOpen", "9m", {BREAKER_OF_MAIL: "1x9"}, severity="bad", **OF_MAIL),
        _fires("DjangoJobsChildrenDie", "9m", {'django_jobs_child_exits_total{how="clean"}': "0+9x9"}),
    ]
    (tmp_path / "tests.yaml").write_text(json.dumps({"rule_files": ["rules.yaml"], "tests": tests}))
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "tests.yaml"))
