"""Benchmarks, run by hand: `python -m benchmarks NAME`. Definitions and results are in README.md."""
