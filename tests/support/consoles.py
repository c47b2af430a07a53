"""The examples of a page that are typed at a shell: ``$ python manage.py …`` with the lines that it answers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.support.commands import call
from tests.support.documents import DOCS

#: What differs from run to run: ids of jobs, numbers of operations.
NUMBERED: Final = re.compile(r"JOB-\d{4}-\d+|(?<=[Oo]peration )\d+")
PROMPT: Final = "$ "
MANAGE: Final = "python manage.py "


class Typed(NamedTuple):
    """What somebody types, and what stands below it."""

    line: str
    answer: list[str]


def typed_in(page: str) -> list[Typed]:
    """All lines with a prompt in the blocks marked ``console``, in their order."""
    blocks = re.findall(r"^```console\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    found: list[Typed] = []
    for line in "".join(blocks).splitlines():
        if line.startswith(PROMPT):
            found.append(Typed(line.removeprefix(PROMPT), []))
        else:
            found[-1].answer.append(line)
    return found


def type_all(page: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Type all of them; yield each line with what it answers, and with what the page says, in this run's numbers."""
    known: dict[str, str] = {}
    code = 0

    def here(text: str) -> str:
        return re.sub(r"JOB-\d{4}-\d+|\b\d+\b", lambda found: known.get(found[0], found[0]), text)

    for line, told in typed_in(page):
        if line.startswith(MANAGE):
            name, *arguments = shlex.split(here(line.removeprefix(MANAGE)))
            answer = call(name, *arguments)
            code, lines = answer.code, (answer.out + answer.err).splitlines()
        else:
            lines = [str(code)]
        for mine, theirs in zip(lines, told, strict=False):
            known |= dict(zip(NUMBERED.findall(theirs), NUMBERED.findall(mine), strict=False))
        yield line, lines, [here(item) for item in told]
