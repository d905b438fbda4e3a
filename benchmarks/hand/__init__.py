"""Loops written by hand for one structure each, to see what generality costs: `python -m benchmarks.hand`."""
