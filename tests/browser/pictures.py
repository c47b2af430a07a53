"""Takes the pictures of the docs: ``pytest tests/browser/pictures.py``. Look at each of them before you commit it.

A run of all browser tests does not collect this file.
"""

from __future__ import annotations

import io
from collections import Counter
from math import dist
from typing import Any, Final, NamedTuple

import pytest
from PIL import Image
from playwright.sync_api import Page

from tests.browser.conftest import Visit
from tests.support.catalogs import CHECKOUT
from tests.support.console_pages import ADMIN
from tests.support.everyday_shops import EverydayShops
from tests.support.factories import make_user

IMAGES: Final = CHECKOUT / "docs" / "images"
#: So many colors are enough for texts, badges and lines, and keep a picture small.
COLORS: Final = 192


class Picture(NamedTuple):
    """A file in ``docs/images``, the page that it shows, and the size of the window."""

    name: str
    address: str
    height: int
    width: int = 1360
    scheme: str = "light"
    language: str = "en"


PICTURES: Final = (
    Picture("admin-workers", "worker/", 800),
    Picture("admin-monitor", "monitor/?range=week", 1500),
    Picture("admin-alarms", "alert/", 1030),
    Picture("admin-failures", "failure/", 1000),
    Picture("admin-arabic", "failure/", 1000, language="ar"),
    Picture("admin-phone", "failure/", 1100, width=390),
    Picture("admin-jobs", "job/", 1000),
    Picture("admin-job", "job/{shops.job.pk}/change/", 1720, scheme="dark"),
    Picture("admin-operation", "operation/{shops.operation.pk}/change/", 780),
    Picture("admin-batch", "batch/{shops.batch.pk}/change/", 1000),
    Picture("admin-schedules", "schedule/", 680),
)
#: The admin remembers whether its sidebar is open; without it the pages have the room that they have on most screens.
CLOSE_SIDEBAR: Final = "localStorage.setItem('django.admin.navSidebarIsOpen', 'false')"


def save(page: Page, name: str) -> None:
    """Write what the window shows in its most frequent colors and one of each shade; other colors become the next."""
    shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    parts = shown.tobytes()
    pixels = list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))
    counted = Counter(pixels)
    frequent = [color for color, _count in counted.most_common()]
    shades = {tuple(part >> 5 for part in color): color for color in reversed(frequent)}
    palette = list(dict.fromkeys([*list(reversed(shades.values()))[: COLORS // 2], *frequent]))[:COLORS]
    places = {color: min(range(len(palette)), key=lambda place: dist(palette[place], color)) for color in counted}
    few = Image.frombytes("P", shown.size, bytes(places[color] for color in pixels))
    few.putpalette([part for color in palette for part in color])
    few.save(IMAGES / f"{name}.png", optimize=True)


@pytest.mark.usefixtures("broker")
def test_take_the_pictures(transactional_db: None, visit: Visit) -> None:
    shops = EverydayShops(make_user("robin", is_staff=True, is_superuser=True))
    for picture in PICTURES:
        shops.keep_workers()
        size = {"width": picture.width, "height": picture.height}
        options: dict[str, Any] = {"viewport": size, "color_scheme": picture.scheme, "locale": picture.language}
        address = f"{ADMIN}/{picture.address.format(shops=shops)}"
        page = visit(shops.operator, address, **options)
        page.evaluate(CLOSE_SIDEBAR)
        page.goto(address, wait_until="networkidle")
        save(page, picture.name)
