"""Benchmark of a long stream of images: whether an update costs the same at any length."""
