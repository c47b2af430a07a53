"""The rules of jobs: what may happen to one, who may ask for it, and how it is stored.

The packages build on each other in one order, which ``docs/architecture.md`` tells. A package imports those before it
and never those behind it. What seems to need the other direction is a hook (in ``transitions``).
"""

from __future__ import annotations
