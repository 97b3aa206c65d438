"""Load by sockets: many that are idle, and some that ping and upload."""
