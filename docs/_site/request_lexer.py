"""A lexer for the requests of docs/api.md, which leave out the version of HTTP that no reader needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pygments.lexer import bygroups
from pygments.lexers.textfmts import HttpLexer
from pygments.token import Name, Text

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FIRST_LINE = r"([A-Z]+)( +)([^ \r\n]+)(\r?\n|\Z)"


class RequestLexer(HttpLexer):
    """Take ``GET /api/jobs/`` for the first line of a request, beside what Pygments takes for one."""

    tokens = {
        **HttpLexer.tokens,
        "root": [
            (FIRST_LINE, bygroups(Name.Function, Text, Name.Namespace, Text), "headers"),
            *HttpLexer.tokens["root"],
        ],
    }

    def get_tokens_unprocessed(self, text: str, stack: tuple[str, ...] = ("root",)) -> Any:
        """Take a body for JSON where no header says otherwise."""
        tokens = super().get_tokens_unprocessed(text, stack)
        self.content_type = "application/json"
        return tokens


def setup(app: Sphinx) -> dict[str, bool]:
    """Have Sphinx use it for the blocks marked ``http``."""
    app.add_lexer("http", RequestLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
