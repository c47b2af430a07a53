"""Measures what is promised for failures, and writes the table of ``docs/guarantees.md``.

``python -m lab.faults.guarantees`` prints the table; with ``--write`` it puts it into the page, too. It starts
servers and workers of its own, takes some minutes, and wants a quiet machine, root, and the programs of
PostgreSQL, Redis and iproute2.
"""
