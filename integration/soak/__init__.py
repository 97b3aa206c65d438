"""A soak: mixed clients against one server for long, to find what grows or stays unanswered."""
