"""What is for some hosts, each with an extra of its own to install. Nothing else of the package needs these."""
