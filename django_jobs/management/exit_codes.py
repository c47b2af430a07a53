"""The exit codes of our commands, the one list of them; ``docs/commands.md`` has the same in a table."""

from __future__ import annotations

from typing import Final

#: It was done, or was so already.
DONE: Final = 0
#: It was refused, or done to some of what was named; of a job that was waited for: it failed.
REFUSED: Final = 1
#: The arguments cannot be: an unknown option, a name or an id that is not there, no JSON.
USAGE: Final = 2
#: The database is away, or has not been migrated.
UNAVAILABLE: Final = 3
#: It goes on, and is no longer waited for: the time ran out, or somebody pressed Ctrl+C.
NOT_AWAITED: Final = 4
#: The job that was waited for was canceled.
CANCELED: Final = 5
#: ``jobs_replay --wait``, and others that wait for an operation: it was paused or stopped before it came to its end.
#: It shares its number with USAGE.
NOT_FINISHED: Final = 2
