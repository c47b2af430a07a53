"""A small shop that uses django_jobs: what a host project looks like."""
