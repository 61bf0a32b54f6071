"""Benchmarks of the speed and the memory. `make bench` measures every row of RESULTS.md."""
