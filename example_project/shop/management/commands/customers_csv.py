from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_jobs.models import Organization
from example_project.shop.sample_csv import count_bad, customers_csv, store_upload


class Command(BaseCommand):
    help = "Makes a CSV file of customers with some bad rows, for the job type csv_import."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rows", type=int, default=50_000, help="Below the header (%(default)s).")
        parser.add_argument("--seed", type=int, default=1, help="Another seed, other names (%(default)s).")
        parser.add_argument("--upload", metavar="ORGANIZATION", help="Store it as an upload of this organization.")

    def handle(self, *args: Any, **options: Any) -> None:
        text = customers_csv(options["rows"], options["seed"])
        if options["upload"] is None:
            self.stdout.write(text, ending="")
            return
        try:
            organization = Organization.objects.get(name=options["upload"])
        except Organization.DoesNotExist as error:
            raise CommandError(f"There is no organization {options['upload']!r}.") from error
        upload = store_upload(organization, text)
        submit = f'submit_job("csv_import", "{organization.name}", {{"upload": {upload.pk}}})'
        self.stdout.write(f"Upload {upload.pk}: {options['rows']} rows, {count_bad(options['rows'])} of them bad.")
        self.stdout.write(f"To import it: {submit}")
