from __future__ import annotations

from hypothesis import settings

#: ``--hypothesis-profile=long``: for an hour rather than a minute.
settings.register_profile("long", max_examples=2_000, stateful_step_count=80)
