"""What durable acknowledgements cost."""
