"""Models behind the service's contract, and the tools that build and measure them."""
