"""Models that follow the service's contract, and tools to build and measure them."""
