"""What people and programs are told about jobs.

``status`` describes one job or many as ``JobStatus``; ``listing``, ``history``, ``metrics`` and ``failures`` read;
``job_filter`` names a set of jobs, and the modules beside it named ``filter_…`` read, tell and find its values;
``rollups`` sums up what happened for charts; ``events`` tells of changes by log, signal and broadcast;
``diagnostics`` finds what is wrong.
"""

from __future__ import annotations
