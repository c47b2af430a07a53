"""The example project's import of customers: its job type, its command, its action in the admin."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client

from django_jobs import JobCanceled, JobStatus, submit_job
from django_jobs.models import Organization
from django_jobs.testing import make_context, run_jobs
from example_project.shop import customer_import
from example_project.shop.customer_csv import GoodRow
from example_project.shop.jobs import csv_import
from example_project.shop.models import Upload
from example_project.shop.sample_csv import store_upload
from tests.support.factories import make_organization
from tests.support.shop import make_shop, read, run

pytestmark = pytest.mark.django_db

HEADER = "name,email,city\n"


@pytest.fixture
def shop() -> Organization:
    return make_shop()


@pytest.fixture
def neighbour() -> Organization:
    return make_organization(name="ORG-2")


def import_text(shop: Organization, text: str) -> JobStatus:
    return run(submit_job("csv_import", shop, {"upload": store_upload(shop, text).pk}))


def test_an_import_adds_new_customers_and_updates_known_ones(shop: Organization) -> None:
    status = import_text(shop, f"{HEADER}Zoë Núñez,ZOE@example.com,Bonn\nKim,kim@example.com,Kiel\n")
    assert status.result == {"rows": 2, "imported": 2, "bad": 0}
    assert status.output_reference is None
    assert set(shop.customers.values_list("name", "email", "city")) == {
        ("Zoë Núñez", "zoe@example.com", "Bonn"),
        ("Ana", "ana@example.com", "Bonn"),
        ("Kim", "kim@example.com", "Kiel"),
    }


def test_bad_rows_come_back_in_a_file_with_their_lines(shop: Organization) -> None:
    status = import_text(shop, f"{HEADER}Kim,kim@example.com,Kiel\nJo,jo,Kiel\n")
    assert (status.result["imported"], status.result["bad"]) == (1, 1)
    rows = list(csv.reader(read(status.output_reference).splitlines()))
    assert rows[1:] == [["3", "email is not an address", "Jo", "jo", "Kiel"]]


def test_the_same_file_twice_changes_nothing_more(shop: Organization) -> None:
    text = f"{HEADER}Kim,kim@example.com,Kiel\n"
    import_text(shop, text)
    before = list(shop.customers.order_by("pk").values())
    import_text(shop, text)
    assert list(shop.customers.order_by("pk").values()) == before


def test_a_broken_file_is_a_permanent_error_and_stores_nothing(shop: Organization) -> None:
    status = import_text(shop, f'{HEADER}Kim,kim@example.com,Kiel\n"Jo,jo@example.com,Kiel\n')
    assert (status.status, status.error_type) == ("Dead Letter", "Permanent")
    assert status.error_message.startswith("Line 3 is not CSV")
    assert shop.customers.count() == 2


def test_another_organizations_upload_is_not_there(shop: Organization, neighbour: Organization) -> None:
    upload = store_upload(shop, HEADER)
    status = run(submit_job("csv_import", neighbour, {"upload": upload.pk}))
    assert status.error_message == f"ORG-2 has no upload {upload.pk}."


def test_an_import_is_canceled_between_batches(shop: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customer_import.batches, "__defaults__", (2,))
    upload = store_upload(shop, HEADER + "".join(f"N{n},n{n}@example.com,Kiel\n" for n in range(10)))
    context = make_context({"upload": upload.pk}, organization=shop, job_type="csv_import")
    store = customer_import.store_customers

    def store_and_cancel(organization: Any, rows: list[GoodRow]) -> None:
        store(organization, rows)
        context.cancel()

    context.update_progress(0)
    monkeypatch.setattr(customer_import, "store_customers", store_and_cancel)
    with pytest.raises(JobCanceled):
        csv_import(context)
    assert shop.customers.filter(city="Kiel").count() == 2


def test_an_import_says_how_far_it_is(shop: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customer_import.batches, "__defaults__", (2,))
    upload = store_upload(shop, HEADER + "".join(f"N{n},n{n}@example.com,Kiel\n" for n in range(4)))
    context = make_context({"upload": upload.pk}, organization=shop, job_type="csv_import")
    csv_import(context)
    assert context.progress == [(0, "Looking at the file"), (49, "2 of 4 rows"), (99, "4 of 4 rows")]


def test_the_command_stores_a_sample_and_says_how_to_import_it(
    shop: Organization, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("customers_csv", rows=1000, upload="ORG-1")
    upload = Upload.objects.get()
    assert f"Upload {upload.pk}: 1000 rows, 1 of them bad." in capsys.readouterr().out
    assert run(submit_job("csv_import", "ORG-1", {"upload": upload.pk})).result["imported"] == 999


def test_the_command_prints_a_sample_of_the_wanted_length(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("customers_csv", rows=3)
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_command_refuses_an_unknown_organization() -> None:
    with pytest.raises(CommandError, match="no organization 'nobody'"):
        call_command("customers_csv", rows=3, upload="nobody")


def test_the_admin_imports_what_was_uploaded(shop: Organization) -> None:
    admin = get_user_model().objects.create_superuser("root")
    upload = store_upload(shop, f"{HEADER}Kim,kim@example.com,Kiel\n")
    client = Client()
    client.force_login(admin)
    client.post("/admin/shop/upload/", {"action": "import_customers", "_selected_action": [upload.pk]})
    (status,) = run_jobs()
    assert (status.owner, status.result["imported"]) == ("root", 1)
