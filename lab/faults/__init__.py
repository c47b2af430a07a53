"""Suites that break things on purpose, and the auditor that says afterwards whether a promise was broken.

They take longer than the other layers, and are not part of plain ``pytest``: name the folder of a suite to run it.

- :mod:`lab.faults.audit` looks at every row and log, and says in sentences which invariants do not hold.
- :mod:`tests.support.record` is what handlers write down outside the database, for the auditor to compare.
"""
