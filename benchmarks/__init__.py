"""Speeds, as ratios in one run; run by `make bench`, results in docs/benchmarks.md."""
