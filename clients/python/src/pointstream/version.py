"""The version of this package, and of the protocol that it speaks."""

__version__ = "0.1.0"

# A server with the same first number understands this client.
PROTOCOL_VERSION = "1.0.0"
