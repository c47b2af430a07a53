"""What a kind of job is: its declaration in code, its handler, its parameters and their schema."""

from __future__ import annotations
