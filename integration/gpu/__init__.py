"""Everything that can only be checked on a GPU, in one command that needs no network."""
