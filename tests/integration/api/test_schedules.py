"""schedules/: who reads and writes what, what is refused and how, and what a firing tells."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from rest_framework.test import APIClient

from django_jobs import schedule_job
from django_jobs.models import Job, JobType, Membership, Organization, Schedule
from tests.support.api import client_of, codes
from tests.support.brokers import MemoryBroker
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user

URL = "/api/schedules/"


@pytest.fixture
def root(broker: MemoryBroker) -> APIClient:
    return client_of(make_system_admin("root"))


@pytest.fixture
def admin(broker: MemoryBroker, organization: Organization) -> APIClient:
    return client_of(make_user("admin", admin_of=[organization]))


def address(schedule: Schedule) -> str:
    return f"{URL}{schedule.pk}/"


def names(answer: Any) -> list[str]:
    return [row["name"] for row in answer.json()["results"]]


def test_an_admin_makes_reads_changes_and_deletes_one_of_their_organization(
    admin: APIClient, kind: JobType, organization: Organization
) -> None:
    body = {"name": "nightly", "job_type": kind.pk, "organization": organization.name, "cron": "0 2 * * *"}
    made = admin.post(URL, {**body, "timezone": "Asia/Tokyo", "priority": "High", "parameters": {"n": 1}}, "json")
    assert made.status_code == 201
    told = made.json()
    assert made["Location"] == told["url"] == f"http://testserver{URL}{told['id']}/"
    assert told["words"] == "At 02:00"
    assert (told["owner"], told["priority"], told["every"], told["next_run_at"][-9:]) == (
        "admin",
        "High",
        None,
        "17:00:00Z",
    )
    assert admin.get(told["url"]).json() == told
    changed = admin.patch(told["url"], {"every": 90}, "json").json()
    assert (changed["cron"], changed["every"], changed["words"]) == (None, 90, "Every 90 seconds")
    put = admin.put(told["url"], {**body, "name": "nightly", "is_enabled": False}, "json").json()
    assert (put["timezone"], put["priority"], put["parameters"], put["next_run_at"]) == ("UTC", None, {}, None)
    assert admin.delete(told["url"]).status_code == 204
    assert not Schedule.objects.exists()


def test_what_is_not_given_has_its_default(admin: APIClient, kind: JobType, organization: Organization) -> None:
    body = {"name": "nightly", "job_type": kind.pk, "organization": organization.name, "every": "60"}
    made = admin.post(URL, body, "json").json()
    assert (made["is_enabled"], made["jitter"], made["overlap"]) == (True, 0, "skip")
    assert admin.put(made["url"], {**body, "is_enabled": "false"}, "json").json()["is_enabled"] is False
    assert admin.put(made["url"], body, "json").json()["is_enabled"] is True


def test_of_a_gone_organization_what_is_read_and_sent_back_is_for_no_other(root: APIClient, kind: JobType) -> None:
    gone = make_organization()
    url = address(schedule_job("n", kind, gone, every=60))
    gone.delete()
    told = root.get(url).json()
    sent = {name: told[name] for name in ("job_type", "organization", "parameters", "every")}
    assert sent["organization"] == ""
    for call in (root.put, root.patch):
        answer = call(url, {**sent, "every": 90}, "json")
        assert (answer.status_code, list(answer.json())) == (400, ["organization"])
    assert Schedule.objects.get().organization_id is not None
    made = root.post(URL, {**sent, "name": "m"}, "json")
    assert (made.status_code, list(made.json())) == (400, ["organization"])


def test_who_may_make_none_is_not_told_which_names_are_taken(
    root: APIClient, kind: JobType, organization: Organization
) -> None:
    for owner in (organization, None):
        schedule_job("taken", kind, owner, every=60)
    member = client_of(make_user("member", member_of=[organization]))
    for given in ({"job_type": kind.pk}, {"job_type": "none", "organization": organization.name}):
        (one, other) = (member.post(URL, {"name": name, "every": 60, **given}, "json") for name in ("taken", "free"))
        assert (one.status_code, one.json()) == (400, other.json())
    told = root.post(URL, {"name": "taken", "every": 0, "job_type": kind.pk}, "json").json()
    assert sorted(told) == ["every", "name"]


def test_each_change_leaves_one_row_of_history(admin: APIClient, kind: JobType, organization: Organization) -> None:
    body = {"name": "n", "job_type": kind.pk, "organization": organization.name, "every": 60}
    url = admin.post(URL, body, "json").json()["url"]
    for verb in ("pause", "resume"):
        assert admin.post(f"{url}{verb}/").status_code == 200
    admin.delete(url)
    assert [entry.action_flag for entry in LogEntry.objects.order_by("pk")] == [1, 2, 2, 3]


def test_each_sees_those_that_they_manage(
    root: APIClient, admin: APIClient, kind: JobType, organization: Organization
) -> None:
    code = make_job_type(submit_by="code")
    made = {
        "all": schedule_job("all", kind, every=60),
        "code": schedule_job("code", code, organization, every=60),
        "mine": schedule_job("mine", kind, organization, every=60),
        "theirs": schedule_job("theirs", kind, make_organization(), every=60),
        "none": Schedule(pk=10**9),
    }
    assert names(root.get(URL)) == ["all", "code", "mine", "theirs"]
    assert names(admin.get(URL)) == ["mine"]
    member = client_of(make_user(member_of=[organization]))
    assert names(member.get(URL)) == []
    told = set()
    for client, name in ((admin, "theirs"), (admin, "code"), (admin, "all"), (member, "mine"), (root, "none")):
        where = address(made[name])
        answers = [client.get(where), client.patch(where, {"every": 5}, "json"), client.delete(where)]
        answers += [client.post(f"{where}{verb}/") for verb in ("fire", "pause", "resume")]
        answers += [client.get(f"{where}firings/")]
        assert {answer.status_code for answer in answers} == {404}
        told |= {answer.content.decode().replace(str(made[name].pk), "its id") for answer in answers}
    assert len(told) == 1
    assert client_of().get(URL).status_code == 401


@pytest.mark.parametrize("asked", ["nightly", "-1", "1.0", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 19, "9" * 5_000])
def test_what_is_no_id_is_a_404_in_json(root: APIClient, asked: str) -> None:
    for url in (f"{URL}{asked}/", f"/api/jobs/operations/{asked}/"):
        answer = root.get(url)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_who_manages_nothing_there_makes_nothing_there(
    admin: APIClient, kind: JobType, organization: Organization
) -> None:
    def made(client: APIClient, **more: Any) -> Any:
        return client.post(URL, {"name": "n", "job_type": kind.pk, "every": 60, **more}, "json")

    theirs = make_organization()
    assert made(client_of(make_user(member_of=[organization])), organization=organization.name).status_code == 403
    admin = client_of(make_user(admin_of=[organization]))
    unknown = {"organization": ["unknown_organization"]}
    assert codes(made(admin, organization=theirs.name)) == unknown
    assert list(made(admin).json()) == ["organization"]
    assert list(made(admin, organization=organization.name, job_type="none").json()) == ["job_type"]
    url = made(admin, organization=organization.name).json()["url"]
    assert codes(admin.patch(url, {"organization": theirs.name}, "json")) == unknown


def test_what_is_wrong_stands_at_its_field(root: APIClient) -> None:
    body = {
        "name": "n",
        "job_type": "pdf_generation",
        "cron": "0 0 30 2 *",
        "timezone": "Mars",
        "parameters": {"template": "x"},
        "jitter": -1,
        "catch_up": "never",
    }
    errors = root.post(URL, body, "json").json()
    assert list(errors) == ["catch_up"]  # what has no form is refused first
    del body["catch_up"]
    errors = root.post(URL, body, "json").json()
    assert sorted(errors) == ["cron", "jitter", "parameters.template", "timezone"]
    assert root.post(URL, {**body, "crom": "x"}, "json").json().keys() == {"crom"}
    assert not Schedule.objects.exists()


def test_a_name_is_taken_once(root: APIClient, kind: JobType) -> None:
    body = {"name": "n", "job_type": kind.pk, "every": 60}
    assert root.post(URL, body, "json").status_code == 201
    assert codes(root.post(URL, body, "json")) == {"name": ["taken"]}


def test_a_tenant_may_use_any_name_and_each_has_an_address_of_its_own(
    admin: APIClient, root: APIClient, kind: JobType, organization: Organization
) -> None:
    for owner in (make_organization(), None):
        schedule_job("preview", kind, owner, every=60)
    body = {"name": "preview", "job_type": kind.pk, "organization": organization.name, "every": 60}
    made = admin.post(URL, body, "json").json()
    assert admin.get(made["url"]).json() == made
    assert {row["id"]: row["url"] for row in root.get(URL).json()["results"]}[made["id"]] == made["url"]
    assert admin.delete(made["url"]).status_code == 204
    assert Schedule.objects.count() == 2
    assert root.get(f"{URL}preview/", {"every": 60}).json()["words"]


def test_whoever_was_an_admin_reads_pauses_and_deletes_what_runs_in_their_name(
    kind: JobType, organization: Organization
) -> None:
    boss = make_user("boss", admin_of=[organization])
    url = address(schedule_job("n", kind, organization, every=60, user=boss))
    Membership.objects.update(role="member")
    client = client_of(boss)
    assert names(client.get(URL)) == ["n"]
    assert [client.get(where).status_code for where in (url, f"{url}firings/")] == [200, 200]
    refused = [client.patch(url, {"jitter": 5}, "json"), client.post(f"{url}fire/"), client.post(f"{url}resume/")]
    assert {answer.status_code for answer in refused} == {403}
    assert client.post(f"{url}pause/").json()["is_enabled"] is False
    assert client.delete(url).status_code == 204


def test_the_list_is_filtered(root: APIClient, kind: JobType, organization: Organization) -> None:
    schedule_job("a", kind, organization, every=60)
    schedule_job("b", make_job_type(type_name="letters"), every=60, is_enabled=False)
    for query, found in (
        ({"organization": organization.name}, ["a"]),
        ({"job_type": "letters"}, ["b"]),
        ({"is_enabled": "false"}, ["b"]),
        ({"is_enabled": "0"}, ["b"]),
        ({"is_enabled": "True"}, ["a"]),
        ({"is_enabled": ""}, ["a", "b"]),
        ({"search": "LETT"}, ["b"]),
        ({"search": "%"}, []),
    ):
        assert names(root.get(URL, query)) == found
    for wrong in (
        {"organization": "ORG-NONE"},
        {"nmae": "x"},
        {"search": "\x00"},
        {"limit": "x"},
        {"is_enabled": "paused"},
        {"is_enabled": "unknown"},
        {"is_enabled": "\x00"},
    ):
        assert root.get(URL, wrong).status_code == 400


def test_fired_by_hand_it_tells_the_job_and_the_history_has_it(
    admin: APIClient, kind: JobType, organization: Organization
) -> None:
    url = address(schedule_job("n", kind, organization, every=3600))
    fired = admin.post(f"{url}fire/")
    assert fired.status_code == 201
    assert fired.json()["job_id"] == Job.objects.get().name
    assert (fired.json()["outcome"], fired.json()["actor"]) == ("submitted", "admin")
    again = admin.post(f"{url}fire/")
    assert (again.status_code, again.json()["outcome"]) == (202, "skipped")
    assert again.json()["note"] != fired.json()["note"]
    history = admin.get(f"{url}firings/").json()
    assert history["results"] == [again.json(), fired.json()]
    other = address(schedule_job("other", kind, organization, every=3600))
    assert admin.get(f"{other}firings/").json()["results"] == []
    page = admin.get(f"{url}firings/", {"limit": 1}).json()
    assert (page["count"], len(page["results"]), admin.get(page["next"]).json()["results"]) == (2, 1, [fired.json()])
    assert admin.post(f"{url}fire/", {"when": "now"}, "json").status_code == 400


def test_a_firing_names_no_job_that_one_may_not_know_of(
    admin: APIClient, kind: JobType, organization: Organization, settings: Any
) -> None:
    boss = make_user("boss", admin_of=[organization])
    urls = [address(schedule_job(f"of {user}", kind, organization, every=60, user=user)) for user in (None, boss)]

    def told(client: APIClient, url: str) -> bool:
        return client.get(f"{url}firings/").json()["results"][0]["job_id"] is not None

    assert [admin.post(f"{url}fire/").status_code for url in urls] == [201, 201]
    assert [told(admin, urls[0]), told(client_of(boss), urls[1])] == [True, True]
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}
    assert [told(admin, urls[0]), told(client_of(boss), urls[1])] == [False, True]
    Membership.objects.all().delete()
    assert client_of(boss).get(f"{urls[1]}firings/").status_code == 404


def test_what_cannot_fire_says_why(root: APIClient, kind: JobType) -> None:
    url = address(schedule_job("n", kind, make_organization(is_active=False), every=3600))
    fired = root.post(f"{url}fire/")
    assert (fired.status_code, fired.json()["outcome"]) == (202, "failed")
    told = root.get(url).json()
    assert told["fault"] == fired.json()["note"] != ""
    assert told["faulty_since"] is not None


def test_no_state_is_changed_by_get(root: APIClient, kind: JobType) -> None:
    url = address(schedule_job("n", kind, every=60))
    for verb in ("fire", "pause", "resume"):
        assert root.get(f"{url}{verb}/").status_code == 405


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_rule_is_previewed(admin: APIClient, method: str) -> None:
    rule = {"cron": "0 9 * * MON-FRI", "timezone": "Europe/Berlin", "starts_at": "2100-01-01T00:00:00Z"}
    preview = partial(getattr(admin, method), f"{URL}preview/", **({"format": "json"} if method == "post" else {}))
    told = preview(rule).json()
    assert "09:00" in told["words"]
    assert told["next_runs"][:2] == ["2100-01-01T09:00:00+01:00", "2100-01-04T09:00:00+01:00"]
    assert len(told["next_runs"]) == 5
    wrong = preview({"every": "0", "timezone": "Mars"})
    assert (wrong.status_code, sorted(wrong.json())) == (400, ["every", "timezone"])
    assert preview({"crom": "x"}).status_code == 400


def test_hidden_values_are_masked_and_stay_where_nothing_else_is_changed(
    admin: APIClient, kind: JobType, organization: Organization, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("token",)}
    url = address(schedule_job("n", kind, organization, {"token": "s3cret", "n": 1}, every=60))
    told = admin.get(url).json()
    assert told["parameters"] == {"token": "********", "n": 1}
    assert admin.patch(url, {"parameters": told["parameters"], "every": 50}, "json").status_code == 200
    assert Schedule.objects.get().parameters["token"] == "s3cret"
    changed = admin.patch(url, {"parameters": {**told["parameters"], "n": 2}}, "json")
    assert (changed.status_code, list(changed.json())) == (400, ["parameters.token"])


def test_a_browser_gets_pages(root: APIClient, kind: JobType) -> None:
    url = address(schedule_job("a/b", kind, every=60))

    def page(address: str) -> str:
        answer = root.get(address, HTTP_ACCEPT="text/html")
        assert answer.status_code == 200
        return str(answer.content.decode())

    assert url in page(URL)
    one = page(url)
    assert all(f'href="http://testserver{url}{verb}/"' in one for verb in ("pause", "fire", "firings"))
    assert url in page(f"{url}firings/")
    page(f"{URL}preview/?every=60")
    assert root.post(f"{url}fire/", HTTP_ACCEPT="text/html").status_code in {201, 202}
