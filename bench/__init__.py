"""Benchmarks: `make bench`, or `python -m bench drain latency` for some (docs/benchmarks.md).

Each compares things within one run, in turns, and gives medians and ratios: an absolute time tells
more about the machine than about the code.
"""
