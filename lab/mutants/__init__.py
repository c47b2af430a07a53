"""Mistakes that a tired person could make, each of which some test must notice: ``python -m lab.mutants``."""
