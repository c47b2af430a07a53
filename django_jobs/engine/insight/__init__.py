"""What people and programs are told about jobs: status, lists, history, metrics, events, and what is wrong."""

from __future__ import annotations
