"""All checks that need a GPU, in one command that needs no network."""
