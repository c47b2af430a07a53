from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from example_project.shop.seeding import seed


class Command(BaseCommand):
    help = (
        "Makes the demo's organizations, orders and accounts; repeating it is harmless. "
        "With DEBUG on the accounts' password is 'demo'; with DEBUG off they have none."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        seed(self.stdout.write)
