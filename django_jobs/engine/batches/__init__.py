"""Jobs that are followed together: making a batch, adding up its counts, and what is submitted at its end."""

from __future__ import annotations
