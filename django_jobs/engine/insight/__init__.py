"""What people and programs are told about jobs.

``status`` describes one job or many as ``JobStatus``; ``inspection``, ``metrics`` and ``failures`` read; ``filter``
names a set of jobs, and ``search`` finds one by what a person types; ``rollups`` sums up what happened for charts;
``events`` tells of changes by log, signal and broadcast; ``problems`` finds what is wrong.
"""

from __future__ import annotations
