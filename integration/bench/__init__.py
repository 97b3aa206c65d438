"""Benchmarks: the time of a reconstruction by stage, for the bare model and the whole service."""
