"""Benchmarks: each figure a ratio against a named baseline measured in the same run. ``python -m bench`` lists them."""
