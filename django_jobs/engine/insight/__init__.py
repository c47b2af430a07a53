"""What people and programs are told about jobs.

``status`` describes one job or many as ``JobStatus``; ``listing``, ``history``, ``metrics`` and ``dead_letters``
read; ``rollups`` sums up what happened for charts; ``events`` tells of changes by log, signal and broadcast;
``diagnostics`` finds what is wrong.
"""

from __future__ import annotations
