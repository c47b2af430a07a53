"""The worker's processes: a supervisor, its children, and how a handler is stopped."""
