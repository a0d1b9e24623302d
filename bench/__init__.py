"""Benchmarks. Not in the wheel."""
