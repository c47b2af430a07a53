"""Template tags for pages of hosts and of the admin."""
