"""Two releases of django_jobs at once on one new schema: workers and web processes of both, under load."""
