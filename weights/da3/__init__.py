"""Depth Anything 3: depth, confidence and cameras of any number of views (arXiv 2511.10647)."""
