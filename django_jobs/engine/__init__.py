"""What happens to a job: one verb a file. Imports no edge: not the broker, not realtime, not the API."""
