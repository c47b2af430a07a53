"""The pages' Mermaid diagrams on the site, as pictures.

GitHub draws a block that is marked ``mermaid`` by itself. The site shows a picture of it instead, so that its pages
load no script of three megabytes. The picture remembers the text that it was drawn from: the build warns when a
diagram was changed and not drawn again. To draw all of them, with a Chromium and ``npm install mermaid``:

    MERMAID=node_modules/mermaid/dist/mermaid.min.js python docs/_site/diagrams.py
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS: Final = Path(__file__).resolve().parents[1]
PICTURES: Final = DOCS / "images"
BLOCK: Final = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: The theme's own sans-serif, and texts in SVG alone: browsers show no HTML in an <img>'s SVG.
OPTIONS: Final = "{startOnLoad: false, htmlLabels: false, flowchart: {htmlLabels: false}, fontFamily: 'sans-serif'}"

logger = logging.getLogger(__name__)


def picture_of(page: str, number: int) -> Path:
    """Return where the picture of a page's n-th diagram lies."""
    return PICTURES / f"diagram-{page}-{number}.svg"


def mark_of(diagram: str) -> str:
    """Return the comment by which a picture remembers its diagram."""
    return f"<!-- drawn from {hashlib.sha256(diagram.strip().encode()).hexdigest()} -->"


class DiagramPictures(SphinxTransform):
    """Put pictures in the places of the diagrams of a page."""

    default_priority = 5  # before Sphinx collects the images of the page

    def apply(self, **kwargs: object) -> None:
        """Replace each block that is marked ``mermaid``; warn where its picture is missing or old."""
        page = Path(self.env.docname).name
        blocks = [block for block in self.document.findall(nodes.literal_block) if block.get("language") == "mermaid"]
        for number, block in enumerate(blocks, start=1):
            picture = picture_of(page, number)
            if not picture.is_file() or mark_of(block.astext()) not in picture.read_text():
                logger.warning("draw the diagrams again: %s", Path(__file__).name, location=block)
            image = nodes.image(uri=f"images/{picture.name}", alt=block.astext())
            block.replace_self(nodes.container("", image, classes=["diagram"]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Have Sphinx show pictures."""
    app.add_transform(DiagramPictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def draw_all() -> None:
    """Draw the diagrams of all pages."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        tab = browser.new_page()
        tab.add_script_tag(path=os.environ["MERMAID"])
        tab.evaluate(f"mermaid.initialize({OPTIONS})")
        for path in sorted(DOCS.glob("*.md")):
            for number, diagram in enumerate(BLOCK.findall(path.read_text()), start=1):
                name = f"{path.stem}-{number}"
                drawn = tab.evaluate("async ([id, text]) => (await mermaid.render(id, text)).svg", [name, diagram])
                picture_of(path.stem, number).write_text(f"{mark_of(diagram)}\n{drawn}\n")
        browser.close()


if __name__ == "__main__":
    draw_all()
