"""Template tags for hosts' pages, and in ``job_words`` the words in which people read statuses and reasons."""

from __future__ import annotations
