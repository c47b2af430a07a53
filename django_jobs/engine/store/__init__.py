"""What a database does for the engine: transactions, locks, its clock, and what each vendor says in its own way."""

from __future__ import annotations
