"""Benchmarks: one folder per claim, run by ``python -m benchmarks.run NAME``."""
