"""Hostile MSRP (issue "Bad input"): what no parser expects gets its answer and harms nobody else."""
