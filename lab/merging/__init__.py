"""Merges modules of the package into fewer by a plan, and changes all that names them. It goes with the last plan."""
